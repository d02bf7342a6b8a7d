"""The state of a CloudWatch alarm, from its metric's datapoints and the time.

Source: "Alarm evaluation" and "Configuring how CloudWatch alarms treat missing data" in the CloudWatch user guide.
The guide names the evaluation range by one example, 5 datapoints for 3 evaluation periods; here it is always two more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

OK, ALARM, INSUFFICIENT_DATA = "OK", "ALARM", "INSUFFICIENT_DATA"
COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanThreshold": lambda value, threshold: value > threshold,
    "GreaterThanOrEqualToThreshold": lambda value, threshold: value >= threshold,
    "LessThanThreshold": lambda value, threshold: value < threshold,
    "LessThanOrEqualToThreshold": lambda value, threshold: value <= threshold,
}
BEYOND = 2  # periods of the evaluation range beyond the evaluation periods

Point = dict[str, Any]  # one stored datum, with its Timestamp in seconds
Statistic = Callable[[list[Point]], float | None]  # the alarm's statistic of a period's points, None without one


def state(alarm: dict[str, Any], points: Sequence[Point], now: float, statistic: Statistic) -> str | None:
    """The state that the alarm takes at `now`, or None where it keeps the one it has.

    Windows end with a whole minute, as they slide on every minute. The minute under way counts as well, where what is
    still to come cannot undo what it says: it may set off an alarm on values above a threshold, and bring the first
    data of an alarm that has none.
    """
    step = 60 if alarm["Period"] >= 60 else 10
    whole = now // step * step
    settled = judged(alarm, windows(alarm, points, whole, statistic))
    if not alarm["ComparisonOperator"].startswith("Greater"):
        return settled
    under_way = windows(alarm, points, whole + step, statistic)
    if under_way[-1] is None:
        return settled
    growing = judged(alarm, under_way)
    return growing if growing == ALARM or settled == INSUFFICIENT_DATA else settled


def windows(alarm: dict[str, Any], points: Sequence[Point], end: float, statistic: Statistic) -> list[float | None]:
    """The datapoints of the evaluation range that ends at `end`, the newest last; None for a missing one."""
    count, period = alarm["EvaluationPeriods"] + BEYOND, alarm["Period"]
    found: list[list[Point]] = [[] for _ in range(count)]
    for point in points:
        place = int((point["Timestamp"] - end) // period)  # -1 for the newest
        if -count <= place < 0:
            found[place].append(point)
    return [statistic(window) if window else None for window in found]


def judged(alarm: dict[str, Any], values: Sequence[float | None]) -> str | None:
    """The state by the datapoints of an evaluation range, the newest last; None where the alarm keeps its state."""
    periods = alarm["EvaluationPeriods"]
    needed = alarm.get("DatapointsToAlarm") or periods
    breaches, threshold = COMPARISONS[alarm["ComparisonOperator"]], alarm["Threshold"]
    breaching = [breaches(value, threshold) for value in values if value is not None][-periods:]
    treated = treatment(alarm)
    filled = periods - len(breaching) if treated == "breaching" else 0
    if sum(breaching) + filled >= needed:
        return ALARM
    if treated in ("breaching", "notBreaching") or not all(breaching):
        return OK
    if treated == "ignore":
        return None
    if not breaching:
        return INSUFFICIENT_DATA
    # All there is breaches: the alarm goes off too early, as AWS says, unless the next datapoint may still help.
    oldest = next(place for place, value in enumerate(values) if value is not None)
    return ALARM if len(values) - oldest >= needed else OK


def treatment(alarm: dict[str, Any]) -> str:
    """How the alarm treats missing data; for DynamoDB's metrics CloudWatch always ignores it."""
    return "ignore" if alarm.get("Namespace") == "AWS/DynamoDB" else alarm.get("TreatMissingData") or "missing"

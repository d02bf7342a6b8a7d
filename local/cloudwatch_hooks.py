"""The changes to MiniStack's CloudWatch: a clock that tests put ahead, alarms as AWS evaluates them. See emulator."""

from __future__ import annotations

import functools
import json
import logging
import time
from collections.abc import Callable
from typing import Any

from ministack.services import cloudwatch

from local import alarm_evaluation
from local.embedded_metrics import Metric
from local.home import ACCOUNT, REGION
from local.metric_points import Key, Points, Recorder, kept

logger = logging.getLogger("slipway.metrics")

NAMES: dict[str, dict[str, list[str] | None]] = {  # as in emulator_hooks
    "services.cloudwatch": {
        "_alarms": None,
        "_calc_stats": ["points"],
        "_dims_from_list": ["dimensions"],
        "_dims_key": ["dims"],
        "_dispatch_alarm_actions": ["alarm", "old_state", "new_state", "reason"],
        "_evaluate_alarm": ["alarm"],
        "_evaluate_all_alarms": [],
        "_evaluate_parent_alarms": ["child", "seen"],
        "_evict_old_metrics": [],
        "_get_metric_data": ["params", "cbor_data", "is_cbor", "is_json"],
        "_describe_alarms": ["params", "cbor_data", "is_cbor", "is_json"],
        "_metric_bucket": ["key"],
        "_metrics": None,
        "_record_history": ["alarm_name", "old_state", "new_state", "reason", "alarm_type", "reason_data"],
        "_stat_value": ["stats", "stat_name", "points"],
        "record_metric": ["namespace", "metric_name", "value", "unit", "dimensions"],
        "time": None,
    }
}
LOOK_SECONDS = 1.0  # between two evaluations that nobody asked for
TIDY_SECONDS = 60.0


class Clock:
    """CloudWatch's clock, in the place of MiniStack's module `time`: real time, or as far ahead as a test wants."""

    def __init__(self) -> None:
        self.ahead = 0.0  # seconds

    def time(self) -> float:
        return time.time() + self.ahead


class Dimensions(dict[str, str]):
    """The dimensions of a query; none at all name the metric that has none, not every metric of the name."""

    def __bool__(self) -> bool:
        return True


clock = Clock()
recorder = Recorder()
_done = {"look": 0.0, "tidy": 0.0}  # when each was last done, on the machine's own clock
_mark: list[Callable[[str], None]] = []
_sample: list[Callable[[], None]] = []


def install(mark: Callable[[str], None], sample: Callable[[], None]) -> None:
    """Let CloudWatch go by our clock, evaluate alarms as AWS does, and keep datapoints cheaply.

    `sample` records what nothing else does, before the alarms are evaluated.
    """
    _mark.append(mark)
    _sample.append(sample)
    module: Any = cloudwatch
    describe, dimensions = cloudwatch._describe_alarms, cloudwatch._dims_from_list
    get_data = cloudwatch._get_metric_data

    def describe_alarms(*args: Any, **kwargs: Any) -> Any:
        evaluate_alarms()
        return describe(*args, **kwargs)

    def get_metric_data(params: dict, data: dict, is_cbor: bool, is_json: bool = False) -> Any:
        """The figures with the newest first, as AWS has them unless it is asked otherwise. Our clients speak JSON."""
        status, headers, body = get_data(params, data, is_cbor, is_json)
        if is_json and data.get("ScanBy") != "TimestampAscending":
            answer = json.loads(body)
            for result in answer["MetricDataResults"]:
                result |= {name: result[name][::-1] for name in ("Timestamps", "Values")}
            body = json.dumps(answer).encode()
        return status, headers, body

    module.time = clock
    module._get_metric_data = get_metric_data
    module._evaluate_alarm = evaluate
    module._evaluate_all_alarms = evaluate_alarms
    module._describe_alarms = describe_alarms
    module._dims_from_list = lambda found: Dimensions(dimensions(found))
    module._evict_old_metrics = tidy
    module._metric_bucket = bucket
    module.record_metric = record


def move_clock(seconds: float) -> None:
    """Put CloudWatch's clock this far ahead of real time, and let the alarms see it."""
    clock.ahead = seconds
    evaluate_alarms()


def each_tick() -> None:
    """Evaluate the alarms once a second, so that their actions happen while nobody looks."""
    if time.monotonic() - _done["look"] >= LOOK_SECONDS:
        evaluate_alarms()
    tidy()


# --- Datapoints ------------------------------------------------------------------------------------------------------


def bucket(key: Key) -> Points:
    """The datapoints of a metric of our one account, to add to."""
    found = cloudwatch._metrics.get_scoped(ACCOUNT, REGION, key)
    if not isinstance(found, Points):  # none yet, or loaded from disk
        found = Points(found or ())
        cloudwatch._metrics.set_scoped(ACCOUNT, REGION, key, found)
    return found


def record(
    namespace: str, metric_name: str, value: float, unit: str = "None", dimensions: dict[str, str] | None = None
) -> None:
    """Record one value of a metric that AWS's services publish, as of now. Any thread may call it."""
    found = dimensions or {}
    key = key_of(namespace, metric_name, tuple(found.items()))
    recorder.add(bucket, key, value, unit, found, clock.time())


@functools.lru_cache(maxsize=4096)
def key_of(namespace: str, metric_name: str, dimensions: tuple[tuple[str, str], ...]) -> Key:
    """Under what a metric is kept: every request asks for some twenty."""
    return namespace, metric_name, cloudwatch._dims_key(dict(dimensions))


def put(metric: Metric) -> None:
    """Add what a log line says of a metric."""
    key = key_of(metric.namespace, metric.name, tuple(metric.dimensions.items()))
    at = time.time() if metric.time is None else metric.time  # a function's clock is the machine's
    at += clock.ahead
    found = {"Timestamp": at, "Unit": metric.unit, "Dimensions": metric.dimensions}
    with recorder.lock:
        bucket(key).extend({**found, "Value": value} for value in metric.values)


def tidy() -> None:
    """Drop what is too old, at most once a minute."""
    if time.monotonic() - _done["tidy"] < TIDY_SECONDS:
        return
    _done["tidy"] = time.monotonic()
    with recorder.lock:
        for key, points in cloudwatch._metrics.items():
            if left := kept(key[0], points, time.time()):
                cloudwatch._metrics[key] = left
            else:
                del cloudwatch._metrics[key]


# --- Alarms ----------------------------------------------------------------------------------------------------------


def evaluate_alarms() -> None:
    """Evaluate every alarm."""
    _done["look"] = time.monotonic()
    for sample in _sample:
        sample()
    for alarm in cloudwatch._alarms.values():
        evaluate(alarm)


def evaluate(alarm: dict[str, Any]) -> None:
    """Give an alarm its state, and do what it says is to be done when that is another one."""
    if alarm.get("ComparisonOperator") not in alarm_evaluation.COMPARISONS or not alarm.get("MetricName"):
        return
    dimensions = cloudwatch._dims_from_list(alarm.get("Dimensions") or [])
    points = cloudwatch._metrics.get(key_of(alarm["Namespace"], alarm["MetricName"], tuple(dimensions.items()))) or []
    if unit := alarm.get("Unit"):
        points = [point for point in points if point["Unit"] == unit]
    name = alarm.get("ExtendedStatistic") or alarm.get("Statistic", "Average")

    def statistic(found: list[dict[str, Any]]) -> float | None:
        return cloudwatch._stat_value(cloudwatch._calc_stats(found), name, found)

    state, before = alarm_evaluation.state(alarm, points, clock.time(), statistic), alarm["StateValue"]
    if state is None or state == before:
        return
    reason = f"{name} of {alarm['MetricName']}: {state} by {alarm['ComparisonOperator']} {alarm['Threshold']:g}."
    now = int(clock.time())
    alarm |= {"StateValue": state, "StateReason": reason, "StateUpdatedTimestamp": now}
    alarm["StateTransitionedTimestamp"] = now
    logger.info("The alarm %s is %s.", alarm["AlarmName"], state)
    cloudwatch._record_history(alarm["AlarmName"], before, state, reason)
    cloudwatch._dispatch_alarm_actions(alarm, before, state, reason)
    cloudwatch._evaluate_parent_alarms(alarm)
    for mark in _mark:
        mark("cloudwatch")

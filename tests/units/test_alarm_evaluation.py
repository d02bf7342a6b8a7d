"""States of CloudWatch alarms against the tables of AWS's user guide.  `pytest tests/units/test_alarm_evaluation.py`"""

from typing import Any

import pytest

from local.alarm_evaluation import judged, state

OK, ALARM, NONE, KEPT = "OK", "ALARM", "INSUFFICIENT_DATA", None
NOW = 1_800_000_000.0 + 30  # half a minute into a minute


def alarm(**changes: Any) -> dict[str, Any]:
    return {
        "Namespace": "Slipway",
        "Period": 60,
        "EvaluationPeriods": 1,
        "Threshold": 0.5,
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "missing",
    } | changes


def total(points: list[dict[str, Any]]) -> float:
    return sum(point["Value"] for point in points)


def at(*values: float, ago: float = 0) -> list[dict[str, Any]]:
    return [{"Timestamp": NOW - ago, "Value": value} for value in values]


# "How alarm state is evaluated when data is missing": both tables, 3 evaluation periods, 5 datapoints, X breaches.
@pytest.mark.parametrize(
    ("needed", "datapoints", "missing", "ignore", "breaching", "not_breaching"),
    [
        (3, "0 - X - X", OK, OK, OK, OK),
        (3, "0 - - - -", OK, OK, OK, OK),
        (3, "- - - - -", NONE, KEPT, ALARM, OK),
        (3, "0 X X - X", ALARM, ALARM, ALARM, ALARM),
        (3, "- - X - -", ALARM, KEPT, ALARM, OK),
        (2, "0 - X - X", ALARM, ALARM, ALARM, ALARM),
        (2, "0 0 X 0 X", ALARM, ALARM, ALARM, ALARM),
        (2, "0 - X - -", OK, OK, ALARM, OK),
        (2, "- - - - 0", OK, OK, ALARM, OK),
        (2, "- - - X -", ALARM, KEPT, ALARM, OK),
        # "Avoiding premature transitions to alarm state": not before the next datapoint may still help.
        (3, "- - - - X", OK, KEPT, ALARM, OK),
        (3, "- - - X -", OK, KEPT, ALARM, OK),
        (3, "- - X - 0", OK, OK, OK, OK),
    ],
)
def test_missing_data_is_treated_as_aws_documents(
    needed: int, datapoints: str, missing: str, ignore: str, breaching: str, not_breaching: str
) -> None:
    values = [{"0": 0.0, "X": 1.0, "-": None}[mark] for mark in datapoints.split()]
    treatments = {"missing": missing, "ignore": ignore, "breaching": breaching, "notBreaching": not_breaching}
    for treatment, expected in treatments.items():
        asked = alarm(EvaluationPeriods=3, DatapointsToAlarm=needed, TreatMissingData=treatment)
        assert judged(asked, values) == expected, treatment


def test_missing_data_of_dynamodb_is_always_ignored() -> None:
    assert judged(alarm(Namespace="AWS/DynamoDB", TreatMissingData="breaching"), [None, None, None]) is KEPT


@pytest.mark.parametrize(
    ("operator", "value", "expected"),
    [
        ("GreaterThanThreshold", 1, OK),
        ("GreaterThanOrEqualToThreshold", 1, ALARM),
        ("LessThanThreshold", 1, OK),
        ("LessThanOrEqualToThreshold", 1, ALARM),
    ],
)
def test_a_value_on_the_threshold_breaches_where_the_operator_says_so(operator: str, value: float, expected: str):
    assert judged(alarm(ComparisonOperator=operator, Threshold=1), [None, None, value]) == expected


def test_the_minute_under_way_sets_off_an_alarm_and_does_not_clear_it():
    quiet, loud = at(0.1, ago=60), at(0.1)
    assert state(alarm(), quiet + at(0.1, 0.2, 0.3), NOW, total) == ALARM
    assert state(alarm(), at(1.0, ago=60) + loud, NOW, total) == ALARM, "the minute may still bring more"
    assert state(alarm(), at(1.0, ago=60) + loud, NOW + 60, total) == OK


def test_a_value_that_may_still_rise_is_not_too_low():
    low = alarm(ComparisonOperator="LessThanThreshold", Threshold=5)
    assert state(low, at(9, ago=60) + at(1), NOW, total) == OK
    assert state(low, at(9, ago=60) + at(1), NOW + 60, total) == ALARM


def test_the_first_data_of_the_minute_under_way_are_enough_for_ok():
    assert state(alarm(), at(0.1), NOW, total) == OK


def test_windows_slide_with_every_minute():
    # "at the end of minute 6, the alarm is evaluated based on the data from minutes 2 to 6"
    points = at(0.3, ago=300) + at(0.3, ago=60)
    assert state(alarm(Period=300), points, NOW, total) == ALARM
    assert state(alarm(Period=300), points, NOW + 60, total) == OK, "the first has left the newest window"


def test_an_alarm_without_new_data_looks_two_periods_back_and_no_further():
    seen = [state(alarm(TreatMissingData="notBreaching"), at(1.0), NOW + 60 * n, total) for n in range(6)]
    assert seen == [ALARM, ALARM, ALARM, ALARM, OK, OK]


def test_data_of_the_future_do_not_count():
    assert state(alarm(), at(1.0, ago=-60), NOW, total) == NONE

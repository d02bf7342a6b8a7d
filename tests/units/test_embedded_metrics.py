"""CloudWatch's embedded metric format.  `pytest tests/units/test_embedded_metrics.py`"""

import json
from typing import Any

import pytest

from local.embedded_metrics import Metric, metrics


def document(**changes: Any) -> dict[str, Any]:
    """A document in the format, with some members of its directive changed."""
    directive = {
        "Namespace": "Slipway",
        "Dimensions": [["stage"]],
        "Metrics": [{"Name": "Failures", "Unit": "Count"}],
    } | changes
    metadata = {"Timestamp": 1_800_000_000_500, "CloudWatchMetrics": [directive]}
    return {"_aws": metadata, "stage": "dev", "service": "jobs", "Failures": 2, "job": "job-1"}


def lines(found: dict[str, Any]) -> list[Metric]:
    return metrics(json.dumps(found))


FOUND = Metric("Slipway", "Failures", {"stage": "dev"}, "Count", (2.0,), 1_800_000_000.5)


def test_a_document_becomes_a_metric():
    assert lines(document()) == [FOUND]
    assert metrics("2026-11-22T06:00:00Z\t4f2c\t" + json.dumps(document())) == [FOUND], "Lambda's own words before it"


def test_each_set_of_dimensions_is_a_metric_of_its_own():
    found = lines(document(Dimensions=[["stage", "service"], ["stage"], []]))
    assert [metric.dimensions for metric in found] == [{"stage": "dev", "service": "jobs"}, {"stage": "dev"}, {}]


def test_several_values_and_several_metrics():
    several = document(Metrics=[{"Name": "Failures"}, {"Name": "Seconds", "Unit": "Seconds", "StorageResolution": 1}])
    found = lines(several | {"Seconds": [1, 2.5]})
    assert [(metric.name, metric.unit, metric.values) for metric in found] == [
        ("Failures", "None", (2.0,)),
        ("Seconds", "Seconds", (1.0, 2.5)),
    ]


def test_a_metric_whose_value_is_absent_is_left_out():
    assert lines(document(Metrics=[{"Name": "Absent"}, {"Name": "Failures", "Unit": "Count"}])) == [FOUND]


def test_a_document_without_a_time_leaves_it_to_cloudwatch():
    untimed = document()
    del untimed["_aws"]["Timestamp"]
    assert [metric.time for metric in lines(untimed)] == [None]


@pytest.mark.parametrize(
    "broken",
    [
        document() | {"stage": 3},
        document() | {"stage": ""},
        document() | {"Failures": "2"},
        document() | {"Failures": True},
        document() | {"Failures": [1.0] * 101},
        document() | {"_aws": []},
        document(Namespace=""),
        document(Namespace=None),
        document(Dimensions="stage"),
        document(Dimensions=["stage"]),
        document(Dimensions=[["absent"]]),
        document(Dimensions=[["stage"] * 31]),
        document(Metrics={}),
        document(Metrics=["Failures"]),
        document(Metrics=[{"Unit": "Count"}]),
        document(Metrics=[{"Name": "Failures"}] * 101),
    ],
)
def test_what_does_not_keep_to_the_format_is_a_log_line_only(broken: dict[str, Any]):
    assert lines(broken) == []


def test_other_lines_are_none_either():
    assert [
        metrics(line) for line in ("", "text", "{", '{"CloudWatchMetrics"', '{"message": "CloudWatchMetrics"}')
    ] == [[]] * 5

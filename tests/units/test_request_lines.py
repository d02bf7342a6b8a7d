"""What log lines add to the metrics.  `pytest tests/units/test_request_lines.py`"""

import json
from decimal import Decimal
from typing import Any

import pytest

from cdk_app.constructs.rest_api import ACCESS_LOG
from lambdas.metrics.catalogue import METRICS
from lambdas.metrics.observations import Observation, Unreadable, request_of

ANSWERED = {
    "level": "INFO",
    "message": "request",
    "service": "jobs",
    "request_id": "r-1",
    "method": "GET",
    "route": "/jobs/{job_id}",
    "status": 200,
    "milliseconds": 12.3,
    "username": "ada",
    "code": None,
}
REFUSED = dict.fromkeys(ACCESS_LOG, "-") | {
    "request_id": "r-2",
    "method": "POST",
    "route": "/datasets",
    "status": "429",
    "milliseconds": "1",
    "error": "THROTTLED",
}
ANALYSIS = {
    "language": "en",
    "text_length": 42,
    "sentiment": "POSITIVE",
    "confidence": 0.99,
    "entities": 3,
    "comprehend_seconds": {"DetectSentiment": 0.12, "DetectEntities": 0.1},
}


def observed(line: dict[str, Any]) -> list[tuple[str, tuple[str, ...], Decimal]]:
    """Return what a line adds, as tuples."""
    return [(each.metric, each.labels, each.value) for each in request_of(json.dumps(line)).observations]


def test_an_answer_is_counted_by_its_template_and_class_with_its_latency_and_without_its_user() -> None:
    assert request_of(json.dumps(ANSWERED)).id == "r-1"
    assert observed(ANSWERED) == [
        ("request_count", ("GET", "/jobs/{job_id}", "2xx"), Decimal(1)),
        ("request_latency_seconds", ("GET", "/jobs/{job_id}"), Decimal("0.0123")),
    ]


def test_an_answer_is_counted_without_what_the_logger_leaves_out() -> None:
    # The route, where none took the request, is None, and what is None is not written.
    line = {name: value for name, value in ANSWERED.items() if name not in ("route", "code", "username")}
    assert observed(line)[0] == ("request_count", ("GET", "unmatched", "2xx"), Decimal(1))


def test_an_error_is_counted_by_its_code() -> None:
    found = observed(ANSWERED | {"status": 404, "code": "not_found"})
    assert found[0][1] == ("GET", "/jobs/{job_id}", "4xx")
    assert found[2] == ("error_count", ("not_found",), Decimal(1))


def test_what_api_gateway_refused_is_counted_by_its_response_type() -> None:
    assert request_of(json.dumps(REFUSED)).id == "r-2"
    assert observed(REFUSED) == [
        ("request_count", ("POST", "/datasets", "4xx"), Decimal(1)),
        ("error_count", ("throttled",), Decimal(1)),
    ]


@pytest.mark.parametrize("line", [ANSWERED | {"route": None}, REFUSED | {"route": "-"}])
def test_a_path_that_no_route_took_is_no_label(line: dict[str, Any]) -> None:
    assert observed(line)[0][1][1] == "unmatched"


@pytest.mark.parametrize(
    ("changes", "metric", "label"),
    [
        ({"method": "PROPFIND"}, "request_count", "other"),
        ({"status": 500, "code": "Robert'); DROP"}, "error_count", "other"),
        ({"status": 500, "code": None}, "error_count", "other"),
    ],
)
def test_labels_are_bounded(changes: dict[str, Any], metric: str, label: str) -> None:
    assert label in next(labels for name, labels, _ in observed(ANSWERED | changes) if name == metric)


def test_an_analysed_text_adds_its_figures() -> None:
    assert observed(ANSWERED | {"analysis": ANALYSIS})[2:] == [
        ("sentiment_count", ("POSITIVE",), Decimal(1)),
        ("sentiment_confidence", ("POSITIVE",), Decimal("0.99")),
        ("text_length", (), Decimal(42)),
        ("entities_per_text", (), Decimal(3)),
        ("comprehend_latency_seconds", ("DetectSentiment",), Decimal("0.12")),
        ("comprehend_latency_seconds", ("DetectEntities",), Decimal("0.1")),
    ]


@pytest.mark.parametrize(
    "message",
    [
        "",
        "REPORT RequestId: 1",
        "null",
        "[]",
        '{"message": "unexpected"}',
        json.dumps(ANSWERED | {"request_id": None}),
        json.dumps(ANSWERED | {"status": 99}),
        json.dumps(ANSWERED | {"milliseconds": -1}),
        json.dumps(ANSWERED).replace("12.3", "NaN"),
        json.dumps(ANSWERED | {"route": "/" + "x" * 300}),
        json.dumps(ANSWERED | {"analysis": ANALYSIS | {"sentiment": "CHEERFUL"}}),
        json.dumps(ANSWERED | {"analysis": ANALYSIS | {"comprehend_seconds": {"x y": 1}}}),
        json.dumps(REFUSED | {"error": "-"}),
        json.dumps(REFUSED | {"status": "-"}),
    ],
)
def test_any_other_line_is_refused(message: str) -> None:
    with pytest.raises(Unreadable):
        request_of(message)


def test_every_observation_is_of_a_known_metric_with_its_labels() -> None:
    lines = [ANSWERED | {"status": 500, "analysis": ANALYSIS}, REFUSED]
    found: list[Observation] = [each for line in lines for each in request_of(json.dumps(line)).observations]
    assert all(len(each.labels) == len(METRICS[each.metric].labels) for each in found)
    of_requests = {name for name, metric in METRICS.items() if metric.kind != "gauge" and not name.startswith("job_")}
    assert {each.metric for each in found} == of_requests

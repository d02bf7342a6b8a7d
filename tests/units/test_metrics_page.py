"""The page that Prometheus reads, parsed back by Prometheus' own client.  `pytest tests/units/test_metrics_page.py`"""

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from lambdas.common.tallies import counted, observed, total
from lambdas.metrics.catalogue import METRICS, REQUEST_SECONDS
from lambdas.metrics.exposition import page
from lambdas.metrics.service import Figures

ROUTE = ("GET", '/odd"\\\n{name}')  # whatever a label holds, it comes back
COUNTERS = {
    ("request_count", (*ROUTE, "2xx")): counted(Decimal(7)),
    ("request_latency_seconds", ROUTE): total(
        observed(Decimal(seconds), REQUEST_SECONDS) for seconds in ("0.005", "0.006", "0.3", "29", "31")
    ),
}
GAUGES = {("jobs_active", ("running",)): 2, ("slipway_source_up", ("cloudwatch",)): 0.0}
PAGE = Figures(COUNTERS, GAUGES)
OPENMETRICS = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,*/*;q=0.1"
Parser = Callable[[str], Iterable[Any]]
FORMATS: Any = pytest.mark.parametrize(
    ("accept", "content_type", "parse"),
    [
        (None, "text/plain; version=0.0.4", parse_text),
        ("text/html,*/*", "text/plain; version=0.0.4", parse_text),
        (OPENMETRICS, "application/openmetrics-text; version=1.0.0", parse_openmetrics),
    ],
)


@FORMATS
def test_every_metric_comes_back_with_its_name_and_type(accept: str | None, content_type: str, parse: Parser) -> None:
    body, given = page(PAGE, accept)
    assert given.startswith(content_type)
    assert {each.name: each.type for each in parse(body.decode())} == {n: m.kind for n, m in METRICS.items()}


@FORMATS
def test_values_come_back(accept: str | None, content_type: str, parse: Parser) -> None:
    samples = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in parse(page(PAGE, accept)[0].decode())
        for sample in family.samples
    }
    route = [("method", ROUTE[0]), ("route", ROUTE[1])]
    assert samples["request_count_total", *route, ("status", "2xx")] == 7
    buckets = {
        float(dict(labels)["le"]): value
        for (name, *labels), value in samples.items()
        if name == "request_latency_seconds_bucket"
    }
    infinite = float("inf")
    assert (buckets[0.005], buckets[0.01], buckets[0.25], buckets[0.5], buckets[30], buckets[infinite]) == (
        1, 2, 2, 3, 4, 5,
    )  # fmt: skip
    assert sorted(buckets) == [*REQUEST_SECONDS, infinite]
    assert list(buckets.values()) == sorted(buckets.values())
    assert samples["request_latency_seconds_count", *route] == 5
    assert samples["request_latency_seconds_sum", *route] == pytest.approx(60.311)
    assert samples["jobs_active", ("status", "running")] == 2
    assert samples["slipway_source_up", ("source", "cloudwatch")] == 0


def test_what_has_no_labels_is_at_zero_before_it_is_counted_and_what_did_not_answer_is_absent() -> None:
    text = page(Figures({}, {}), None)[0].decode().splitlines()
    assert "text_length_count 0.0" in text
    assert not [line for line in text if line.startswith(("gpu_utilization_ratio", "active_requests"))]


def test_bounds_that_are_added_or_left_out_later_keep_buckets_cumulative() -> None:
    from lambdas.common.tallies import cumulative

    tally = total(observed(Decimal(value), (1, 5, 10)) for value in (1, 4, 5, 9, 11))
    assert cumulative(tally, (1, 5, 10)) == [(1, 1), (5, 3), (10, 4), (float("inf"), 5)]
    assert cumulative(tally, (1, 7, 10)) == [(1, 1), (7, 3), (10, 4), (float("inf"), 5)]
    assert cumulative(tally, (10,)) == [(10, 4), (float("inf"), 5)]

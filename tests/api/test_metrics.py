"""Metrics: each request counts once whatever is delivered how often, and the page says what is true.

Run: python -m pytest tests/api/test_metrics.py -s
"""

import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from lambdas.common import aws
from lambdas.metrics import counting, gauges
from lambdas.metrics.tasks import count
from tests.api.client import Answer, ApiClient
from tests.api.crashes import Killed, deaths, dying_at
from tests.api.jobs import created, end, new_job, table
from tests.api.metrics import delivery, line, requests_of, samples, types

SCOPED = {"token_use": "access", "scope": "slipway/metrics.read", "client_id": "prometheus"}


@pytest.fixture
def admin(api: Callable[..., ApiClient]) -> ApiClient:
    gauges._remembered.clear()
    return api("metrics", group="admin")


@pytest.fixture
def route() -> str:
    """A route that no other test counts."""
    return f"/things/{secrets.token_hex(4)}"


def page(admin: ApiClient) -> Any:
    """Return the samples of the page."""
    answer = admin.get("/metrics")
    assert answer.status == 200, answer.body
    return samples(answer.body)


def counted(route: str) -> dict[str, int]:
    """Return how many requests of a route were counted, by class of status."""
    found = {series: tally for series, tally in counting.counters().items() if series[0] == "request_count"}
    return {labels[2]: int(tally["count"]) for (_, labels), tally in found.items() if labels[1] == route}


def lines(number: int, route: str, **more: Any) -> list[str]:
    """Return the lines of as many requests."""
    return [line(secrets.token_hex(8), route, **more) for _ in range(number)]


# ---------------------------------------------------------------------------------------------- counting


def test_a_request_counts_once_however_often_its_line_arrives(route: str) -> None:
    some, others = lines(5, route), lines(3, route, status=404, code="not_found")
    assert count(delivery(some), None) == {"lines": 5, "counted": 5}
    assert count(delivery([*some, *others, *some]), None) == {"lines": 13, "counted": 3}
    assert count(delivery([*others, *some]), None) == {"lines": 8, "counted": 0}
    assert counted(route) == {"2xx": 5, "4xx": 3}


def test_a_line_that_is_none_holds_up_no_other(route: str, caplog: pytest.LogCaptureFixture) -> None:
    assert count(delivery(["REPORT", *lines(2, route), '{"message": "other"}']), None)["counted"] == 2
    assert counted(route) == {"2xx": 2}
    assert [record.message for record in caplog.records] == ["not counted"] * 2


def test_the_probe_of_a_new_subscription_is_nothing(route: str) -> None:
    assert count(delivery(lines(1, route), "CONTROL_MESSAGE"), None) == {"lines": 0, "counted": 0}
    assert counted(route) == {}


def test_a_large_delivery_takes_one_transaction_per_hundred_actions(route: str) -> None:
    with dying_at(1000) as made:
        assert count(delivery(lines(250, route)), None)["counted"] == 250
    assert made == ["TransactWriteItems"] * 3
    assert counted(route) == {"2xx": 250}


def test_deliveries_at_the_same_moment_count_each_request_once(route: str) -> None:
    every = lines(120, route)
    halves = [every[:80], every[40:], every, every[::-1], every[::2], every[1::2]]

    def deliver(messages: list[str]) -> None:
        for _ in range(20):  # as Lambda does, though not as often
            try:
                count(delivery(messages), None)
                return
            except counting.NotCounted:
                continue
        raise AssertionError("never counted")

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(deliver, halves))
    assert counted(route) == {"2xx": 120}


def test_a_function_that_dies_at_any_call_has_counted_whole_groups_and_the_next_counts_the_rest(route: str) -> None:
    deliveries = [lines(250, route)]
    for death in deaths(lambda: count(delivery(deliveries[-1]), None)):
        missing = 250 * len(deliveries) - counted(route).get("2xx", 0)
        assert 0 < missing <= 250 and (death == 1 or missing < 250)
        assert count(delivery(deliveries[-1]), None)["counted"] == missing
        assert counted(route) == {"2xx": 250 * len(deliveries)}
        deliveries.append(lines(250, route))
    assert counted(route) == {"2xx": 250 * len(deliveries)}
    assert len(deliveries) == 4


@contextmanager
def conflicts(number: int) -> Iterator[list[str]]:
    """Cancel the first transactions as DynamoDB does while others change the same items; gives the shards tried."""
    send, shards = BaseClient._make_api_call, []

    def sent(client: Any, operation: str, arguments: Any) -> Any:
        if operation == "TransactWriteItems":
            shards.append(arguments["TransactItems"][-1]["Update"]["Key"]["id"]["S"])
            if len(shards) <= number:
                codes = ["None"] * (len(arguments["TransactItems"]) - 1) + ["TransactionConflict"]
                error: Any = {
                    "Error": {"Code": "TransactionCanceledException", "Message": "Transaction cancelled"},
                    "CancellationReasons": [{"Code": code} for code in codes],
                }
                raise client.exceptions.TransactionCanceledException(error, operation)
        return send(client, operation, arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseClient, "_make_api_call", sent)
        yield shards


def test_a_busy_shard_is_left_for_another(route: str) -> None:
    with conflicts(6) as shards:
        assert count(delivery(lines(2, route)), None)["counted"] == 2
    assert len(shards) == 7 and len({*shards}) > 1
    assert counted(route) == {"2xx": 2}


def test_who_cannot_count_says_so_and_has_counted_nothing(route: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "TURNS", 4)  # each waits twice as long as the one before
    messages = lines(2, route)
    with conflicts(1000), pytest.raises(counting.NotCounted):
        count(delivery(messages), None)
    assert counted(route) == {}
    assert count(delivery(messages), None)["counted"] == 2


def test_a_transaction_that_fails_for_another_reason_is_not_taken_for_counted(
    route: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METRICS_TABLE", "no-such-table")
    with pytest.raises(ClientError):
        count(delivery(lines(1, route)), None)


def test_markers_expire_after_deliveries_have_ended_and_counts_do_not(route: str) -> None:
    (message,) = lines(1, route)
    count(delivery([message]), None)
    items = boto3.client("dynamodb").scan(TableName="slipway-test-metrics-table")["Items"]
    with_time = [item for item in items if "expires_at" in item]
    expiring = {item["id"]["S"].partition("#")[0]: int(item["expires_at"]["N"]) for item in with_time}
    assert set(expiring) == {"request"}
    days = (expiring["request"] - datetime.now(UTC).timestamp()) / 86_400
    assert 1.9 < days < 2.1


# ---------------------------------------------------------------------------------------------- who reads


def test_admins_and_programs_with_the_scope_read_and_nobody_else(admin: ApiClient, api: Callable[..., Any]) -> None:
    def answer(client: ApiClient, claims: dict[str, str] | None = None) -> tuple[int, str | None]:
        given = client.call("GET", "/metrics", claims=claims)
        return given.status, given.body["code"] if isinstance(given.body, dict) else None

    assert answer(admin) == (200, None)
    assert answer(admin, SCOPED) == (200, None)
    assert answer(admin, SCOPED | {"scope": "other/scope slipway/metrics.read"}) == (200, None)
    assert answer(admin, SCOPED | {"scope": "aws.cognito.signin.user.admin"}) == (401, "unauthenticated")
    assert answer(admin, SCOPED | {"scope": "slipway/metrics.reader"}) == (401, "unauthenticated")
    assert answer(admin, SCOPED | {"token_use": "refresh"}) == (401, "unauthenticated")
    assert answer(admin, {}) == (401, "unauthenticated")
    for group in (None, "viewer"):
        assert answer(api("metrics", group=group)) == (403, "forbidden")
    assert "slipway/metrics.read" in api("metrics").get("/metrics").body["detail"]


# ---------------------------------------------------------------------------------------------- the page


def test_the_page_is_text_or_openmetrics_as_asked(admin: ApiClient) -> None:
    assert admin.get("/metrics").headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    event_headers = {"Accept": "application/openmetrics-text;version=1.0.0"}
    answer = with_headers(admin, event_headers)
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert answer.body.endswith("# EOF\n")


def with_headers(client: ApiClient, headers: dict[str, str]) -> Answer:
    """Ask for the page with more headers."""

    def handler(event: dict[str, Any], context: Any) -> Any:
        event["headers"] |= headers
        event["multiValueHeaders"] |= {name: [value] for name, value in headers.items()}
        return client.handler(event, context)

    return ApiClient(handler, client.username, client.group).get("/metrics")


def test_the_page_has_the_names_and_types_that_dashboards_ask_for(admin: ApiClient) -> None:
    found = types(admin.get("/metrics").body)
    assert found == {
        "request_count": "counter",
        "error_count": "counter",
        "sentiment_count": "counter",
        "job_count": "counter",
        "request_latency_seconds": "histogram",
        "text_length": "histogram",
        "comprehend_latency_seconds": "histogram",
        "sentiment_confidence": "histogram",
        "entities_per_text": "histogram",
        "job_duration_seconds": "histogram",
        "active_requests": "gauge",
        "jobs_active": "gauge",
        "endpoint_count": "gauge",
        "queue_depth": "gauge",
        "queue_oldest_seconds": "gauge",
        "gpu_utilization_ratio": "gauge",
        "slipway_source_up": "gauge",
    }


def test_the_page_shows_what_was_counted(admin: ApiClient, route: str) -> None:
    count(delivery([*lines(2, route, milliseconds=30), *lines(1, route, status=503, milliseconds=700)]), None)
    found = page(admin)
    assert {key: n for key, n in requests_of(found).items() if key[1] == route} == {
        ("GET", route, "2xx"): 2,
        ("GET", route, "5xx"): 1,
    }
    at = (("method", "GET"), ("route", route))
    assert found["request_latency_seconds_bucket", ("le", "0.05"), *at] == 2
    assert found["request_latency_seconds_bucket", ("le", "1.0"), *at] == 3
    assert found["request_latency_seconds_sum", *at] == pytest.approx(0.76)


def test_jobs_that_end_are_counted_with_how_long_they_ran(admin: ApiClient, api: Callable[..., ApiClient]) -> None:
    from lambdas.jobs.service import JOBS
    from tests.api.jobs import record

    ada = api("jobs")
    dataset = table(ada)
    before = page(admin)
    never_ran, ran = created(ada, new_job(dataset)), created(ada, new_job(dataset))
    waiting = page(admin)
    JOBS.update(record(ran), started_at=datetime.now(UTC).isoformat())
    end(never_ran, "cancelled")
    end(ran, "completed")
    end(ran, "failed")  # it has ended, and stays as it is
    after = page(admin)

    def grown(name: str, *labels: tuple[str, str], before: Any = before, after: Any = after) -> float:
        return after.get((name, *labels), 0) - before.get((name, *labels), 0)

    counts = {status: grown("job_count_total", ("status", status)) for status in ("completed", "failed", "cancelled")}
    assert counts == {"completed": 1, "failed": 0, "cancelled": 1}
    assert grown("job_duration_seconds_count", ("status", "completed")) == 1
    assert grown("job_duration_seconds_bucket", ("le", "60.0"), ("status", "completed")) == 1
    assert grown("job_duration_seconds_count", ("status", "cancelled")) == 0
    assert grown("jobs_active", ("status", "pending"), after=waiting) == 2
    assert grown("queue_depth", ("instance_type", "ml.m5.large"), after=waiting) == 2
    assert waiting["queue_oldest_seconds", ("instance_type", "ml.m5.large")] >= 0
    assert grown("jobs_active", ("status", "pending")) == 0


def test_the_end_of_a_job_that_dies_is_counted_once(admin: ApiClient, api: Callable[..., ApiClient]) -> None:
    ada = api("jobs")
    dataset = table(ada)
    key = ("job_count_total", ("status", "failed"))
    before, job = page(admin).get(key, 0), created(ada, new_job(dataset))
    for call in (1, 2, 3):
        with dying_at(call):
            try:
                end(job)
            except Killed:
                pass
        end(job)
        assert page(admin)[key] == before + 1


# --------------------------------------------------------------------------------------------- the gauges


def test_a_source_that_does_not_answer_is_left_out_and_said(admin: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    found = page(admin)
    for source in ("jobs", "endpoints", "cloudwatch"):
        assert found["slipway_source_up", ("source", source)] == 1
    assert found["endpoint_count", ("status", "in_service")] >= 0
    monkeypatch.setenv("WAITS_TABLE", "no-such-table")
    monkeypatch.setenv("ENDPOINTS_TABLE", "no-such-table")
    found = page(admin)
    assert found["slipway_source_up", ("source", "jobs")] == found["slipway_source_up", ("source", "endpoints")] == 0
    assert found["slipway_source_up", ("source", "cloudwatch")] == 1
    names = {name for name, *_ in found}
    assert not names & {"jobs_active", "queue_depth", "queue_oldest_seconds", "endpoint_count"}
    assert "active_requests" in names


def test_without_the_counts_there_is_no_page(admin: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICS_TABLE", "no-such-table")
    assert admin.get("/metrics").status == 500


def test_active_requests_are_the_functions_newest_added_up_and_asked_for_once_a_minute(
    admin: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def put(function: str, value: float) -> None:
        dimensions: Any = [{"Name": "FunctionName", "Value": function}]
        data: Any = {"MetricName": "ConcurrentExecutions", "Dimensions": dimensions, "Value": value}
        aws.client("cloudwatch").put_metric_data(Namespace="AWS/Lambda", MetricData=[data])

    put("jobs-function", 3)
    put("models-function", 2)
    put("somebody-elses", 50)
    with dying_at(1000) as first:
        assert page(admin)["active_requests",] == 5
    with dying_at(1000) as second:
        assert page(admin)["active_requests",] == 5
    monkeypatch.setattr(gauges, "CLOUDWATCH_SECONDS", 0)
    with dying_at(1000) as a_minute_later:
        page(admin)
    asked = [made.count("GetMetricData") for made in (first, second, a_minute_later)]
    assert asked[1] == 0 and asked[0] == asked[2] > 0  # twice where a job or an endpoint has GPUs

"""API Gateway's access log and metrics on the local cloud.  `pytest tests/local/test_access_log.py`"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
import requests

from local import front_door
from tests.local.small import Small, eventually


@pytest.fixture
def stack(observed_stack: dict[str, str], observed_api: str) -> dict[str, str]:
    """The stack, its API behind the front door."""
    return observed_stack


@pytest.fixture
def line(small: Small, stack: dict[str, str]) -> Callable[[str], dict[str, str]]:
    """A function that returns the access log's one line of a request."""

    def line(request_id: str) -> dict[str, str]:
        def look() -> list[dict[str, Any]]:
            pattern = f'"{request_id}"'
            return small.client("logs").filter_log_events(logGroupName=stack["AccessLog"], filterPattern=pattern)[
                "events"
            ]

        found = eventually(look)
        assert len(found) == 1
        return json.loads(found[0]["message"])

    return line


def test_an_answer_of_a_function_is_one_line_with_the_id_that_the_function_knows(small: Small, line: Any) -> None:
    answer = requests.get(f"{small.api_url}/open", params={"status": "404"})
    context = answer.json()
    found = line(context["requestId"])
    assert answer.headers["x-amzn-requestid"] == context["requestId"]
    assert int(found.pop("milliseconds")) >= 0
    assert time.strptime(found.pop("time"), "%d/%b/%Y:%H:%M:%S +0000")
    assert found == {
        "request_id": context["requestId"],
        "method": "GET",
        "route": "/open",
        "status": "404",
        "username": "-",
        "address": "127.0.0.1",
        "error": "-",
        "integration_error": "-",
    }


@pytest.mark.parametrize(
    ("path", "headers", "status", "error", "route"),
    [
        ("/guarded", {}, 401, "UNAUTHORIZED", "/guarded"),
        ("/guarded", {"Authorization": "Bearer a.b.c"}, 401, "UNAUTHORIZED", "/guarded"),
        ("/nowhere", {}, 404, "MISSING_AUTHENTICATION_TOKEN", "-"),
        ("/crash", {}, 500, "DEFAULT_5XX", "/crash"),
    ],
)
def test_what_the_gateway_answers_itself_is_a_line_with_its_type(
    small: Small, line: Any, path: str, headers: dict[str, str], status: int, error: str, route: str
) -> None:
    answer = requests.post(f"{small.api_url}{path}", headers=headers)
    found = line(answer.json()["request_id"])
    assert (answer.status_code, found["status"]) == (status, str(status))
    assert (found["error"], found["route"], found["method"]) == (error, route, "POST")
    assert (found["integration_error"] == "-") is (path != "/crash")


def test_what_the_front_door_refuses_is_a_line_too(small: Small, line: Any) -> None:
    for body in (bytes(front_door.MAX_BODY_BYTES + 1), (bytes(1024 * 1024) for _ in range(12))):
        answer = requests.post(f"{small.api_url}/open", data=body)
        found = line(answer.json()["request_id"])
        assert (found["status"], found["error"], found["route"]) == ("413", "REQUEST_TOO_LARGE", "/open")


def test_refused_requests_reach_who_subscribes_to_them(small: Small, stack: dict[str, str]) -> None:
    logs = small.client("logs")
    taker = small.client("lambda").get_function_configuration(FunctionName=stack["Taker"])["FunctionArn"]
    logs.put_subscription_filter(
        logGroupName=stack["AccessLog"], filterName="refused", filterPattern='{ $.error != "-" }', destinationArn=taker
    )
    fine = requests.get(f"{small.api_url}/open").json()["requestId"]
    denied = requests.get(f"{small.api_url}/guarded").json()["request_id"]

    def taken(key: str) -> dict[str, Any] | None:
        found = small.client("dynamodb").get_item(TableName=stack["Table"], Key={"id": {"S": key}})
        return found.get("Item")

    assert eventually(lambda: taken(denied))["tries"] == {"N": "1"}
    assert taken(fine) is None
    logs.delete_subscription_filter(logGroupName=stack["AccessLog"], filterName="refused")


def test_requests_are_counted_for_the_api_and_its_stage(small: Small, stack: dict[str, str]) -> None:
    api = {"Name": "ApiName", "Value": "observed"}
    stage = {"Name": "Stage", "Value": "api"}

    def figures(metric: str, *dimensions: dict[str, str]) -> dict[str, float]:
        now = time.time()
        (found,) = small.client("cloudwatch").get_metric_statistics(
            Namespace="AWS/ApiGateway", MetricName=metric, Dimensions=list(dimensions), StartTime=now - 86400,
            EndTime=now + 86400, Period=864000, Statistics=["Sum", "SampleCount", "Average", "Maximum"],
        )["Datapoints"] or [{"Sum": 0.0, "SampleCount": 0.0}]  # fmt: skip
        return found

    names = ("Count", "4XXError", "5XXError", "Latency", "IntegrationLatency")
    before = {name: figures(name, api, stage) for name in names}
    for path in ("/open", "/open", "/guarded", "/crash"):
        requests.get(f"{small.api_url}{path}")
    after = {name: figures(name, api, stage) for name in names}
    added = {name: after[name]["Sum"] - before[name]["Sum"] for name in ("Count", "4XXError", "5XXError")}
    assert added == {"Count": 4, "4XXError": 1, "5XXError": 1}
    samples = {name: after[name]["SampleCount"] - before[name]["SampleCount"] for name in names}
    assert samples == {"Count": 4, "4XXError": 4, "5XXError": 4, "Latency": 4, "IntegrationLatency": 3}
    assert {name: figures(name, api) for name in names} == after
    assert after["Latency"]["Maximum"] >= after["IntegrationLatency"]["Maximum"] > 0

"""An endpoint that nobody forgets: lease, idleness, sleep and waking by a moved clock, and statistics that are true.

Run: python -m pytest tests/journeys/test_endpoint_life.py
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.api_client import ApiClient
from tests.journeys.conftest import PARAMETERS, functions, invoke, upload
from tests.local.small import eventually
from tests.platform import Platform

INVOKE = "/endpoints/{id}/invoke"


@pytest.fixture(scope="module")
def grace(new_user: Callable[..., ApiClient], member: ApiClient, trained: dict[str, Any]) -> Iterator[ApiClient]:
    """A user whose calls are all made here; the member's model is shared with them meanwhile."""
    share(member, trained, "shared")
    grace = new_user()
    yield grace
    for endpoint in grace.call("GET", "/endpoints")["items"]:
        grace.call("DELETE", f"/endpoints/{endpoint['id']}")
    share(member, trained, "private")


def share(member: ApiClient, trained: dict[str, Any], visibility: str) -> None:
    path = f"/ai-models/{trained['user_id']}/{trained['model']['model_id']}"
    member.call("PUT", path, {"visibility": visibility})


def sweep_after(platform: Platform, **passed: float) -> None:
    """Let the schedule's event come with the time that it would have then."""
    clock = (datetime.now(UTC) + timedelta(**passed)).isoformat(timespec="seconds")
    invoke(platform, "endpoints_watch", {"detail-type": "Scheduled Event", "time": clock})


def at_sagemaker(platform: Platform, id: str) -> str | None:
    try:
        found = platform.client("sagemaker").describe_endpoint(EndpointName=f"slipway-local-{id}")
    except ClientError:
        return None
    return found["EndpointStatus"]


def access_log(platform: Platform, function: str, username: str) -> list[dict[str, Any]]:
    """The lines that a function has written of a user's requests."""
    described = platform.client("lambda").get_function_configuration(FunctionName=functions(platform)[function])
    pages = (
        platform.client("logs")
        .get_paginator("filter_log_events")
        .paginate(logGroupName=described["LoggingConfig"]["LogGroup"], filterPattern=f'"{username}"')
    )
    lines = [json.loads(event["message"]) for page in pages for event in page["events"]]
    return [line for line in lines if line["message"] == "request" and line["username"] == username]


def all_of(lines: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """The lines of the calls to an endpoint once all of them are there."""
    calls = [line for line in lines if line["route"] == INVOKE]
    return calls if len(calls) >= count else []


def test_an_endpoints_life_and_its_figures(
    platform: Platform,
    grace: ApiClient,
    member: ApiClient,
    trained: dict[str, Any],
    rows: list[dict[str, Any]],
) -> None:
    username = grace.username
    assert username
    model = {"user_id": trained["user_id"], "model_id": trained["model"]["model_id"]}
    began = time.monotonic()
    id = grace.call("POST", "/endpoints", {"name": "Life", "model": model})["id"]
    path = f"/endpoints/{id}"
    endpoint = grace.wait(path, "in_service", "failed")
    assert endpoint["status"] == "in_service" and endpoint["lease_hours"] == 24, endpoint
    assert endpoint["cost_per_hour"] == 0.115 and "estimate" in endpoint["cost_note"]

    # ---- statistics equal the access log
    row = {name: value for name, value in rows[0].items() if name != PARAMETERS["target"]}
    for body in [{"instances": [row]}] * 9 + [{"instances": [{"unknown": 1}]}] * 2:
        grace.request("POST", f"{path}/invoke", json=body)
    counted = eventually(
        lambda: (found := grace.call("GET", f"{path}/metrics"))["total"]["invocations"] >= 11 and found, 30
    )
    logged = eventually(lambda: all_of(access_log(platform, "endpoints", username), 11), 30)
    by_status = Counter(line["status"] for line in logged)
    assert counted["total"] == {
        "invocations": len(logged),
        "errors": len(logged) - by_status[200],
        "errors_4xx": by_status[400],
        "errors_5xx": 0,
    }
    slowest = max(line["milliseconds"] for line in logged)
    for point in counted["points"]:
        latency = point["model_latency_ms"]
        assert 0 < latency["p50"] <= latency["p99"] < slowest
    print(f"\n{len(logged)} lines of the access log {dict(by_status)}: {counted['total']}")
    assert eventually(lambda: grace.call("GET", f"{path}/logs")["items"], 30)

    # ---- idle: 240 minutes without a call
    assert grace.call("GET", path)["last_invoked_at"] is not None
    sweep_after(platform, minutes=230)
    assert grace.call("GET", path)["status"] == "in_service"
    sweep_after(platform, minutes=245)
    asleep = grace.call("GET", path)
    assert asleep["status"] == "sleeping" and asleep["reason"] == "Nobody called it for 240 minutes."
    eventually(lambda: at_sagemaker(platform, id) is None, 30)
    refused = grace.request("POST", f"{path}/invoke", json={"instances": [row]})
    assert refused.status_code == 409 and f"POST {path}/wake" in refused.json()["detail"]
    assert 0.4 < asleep["cost_so_far"] < 0.6, "four hours"
    held = member.request("DELETE", f"/ai-models/{model['user_id']}/{model['model_id']}?version=v1")
    assert held.status_code == 409 and id in held.json()["detail"]

    # ---- wake, and the lease's end
    woken = eventually(lambda: (r := grace.request("POST", f"{path}/wake")).status_code == 202 and r.json(), 30)
    assert woken["status"] == "creating"
    endpoint = grace.wait(path, "in_service", "sleeping")
    assert endpoint["status"] == "in_service", endpoint
    assert len(grace.call("POST", f"{path}/invoke", {"instances": [row]})["predictions"]) == 1
    grace.call("PUT", f"{path}/lease", {"hours": 2})
    sweep_after(platform, hours=1.9)
    assert grace.call("GET", path)["status"] == "in_service"
    sweep_after(platform, hours=2.1)
    assert grace.call("GET", path)["reason"].startswith("Its lease ended at ")
    eventually(lambda: at_sagemaker(platform, id) is None, 30)
    page = grace.call("GET", "/dashboard")
    assert page["system"]["status"] == "ok" and page["models"]["shared_with_you"] >= 1
    assert id not in [holder["id"] for holder in page["holders"]]

    eventually(lambda: grace.request("DELETE", path).status_code == 202, 30)
    eventually(lambda: grace.request("GET", path).status_code == 404, 30)
    print(f"lease, idleness, sleep and waking in {time.monotonic() - began:.1f} s")


def test_what_a_user_did_is_what_the_access_log_says(
    platform: Platform, new_user: Callable[..., ApiClient], rows: list[dict[str, Any]]
) -> None:
    user = new_user()
    assert user.username
    dataset = upload(user, rows)
    body = {"name": "Later", "dataset_id": dataset["id"], "parameters": PARAMETERS, "hold": True}
    first, second = (user.call("POST", "/jobs", body) for _ in range(2))
    assert user.request("POST", "/jobs", json=body | {"parameters": {"colour": 1}}).status_code == 400
    user.call("POST", f"/jobs/{first['id']}/stop")
    user.call("DELETE", f"/jobs/{first['id']}")
    form = {"model_id": "config", "name": "Config"}
    assert user.request("POST", "/ai-models/upload/single", data=form, files={"file": ("a.json", b"{}")}).ok

    def counted(function: str) -> Counter[tuple[str, str]]:
        """How often each route answered that it did what it was asked."""
        lines = access_log(platform, function, user.username or "")
        return Counter((line["method"], line["route"]) for line in lines if line["status"] < 300)

    logged = eventually(lambda: (found := counted("jobs"))["DELETE", "/jobs/{id}"] and found, 30)
    models = eventually(lambda: (found := counted("models"))["POST", "/ai-models/upload/single"] and found, 30)
    (mine,) = user.call("GET", "/stats/contributions")["items"]
    assert mine["runs"]["total"] == logged["POST", "/jobs"] == 2
    assert mine["runs"]["cancelled"] == logged["POST", "/jobs/{id}/stop"] == 1
    assert mine["datasets"] == counted("datasets")["POST", "/datasets"] == 1
    assert mine["model_versions_registered"] == models["POST", "/ai-models/upload/single"] == 1
    page = user.call("GET", "/dashboard?days=2")
    assert sum(day["created"] for day in page["activity"]) == logged["POST", "/jobs"]
    user.call("POST", f"/jobs/{second['id']}/stop")


def test_the_dashboard_and_run_counts_are_what_was_done(member: ApiClient, trained: dict[str, Any]) -> None:
    found = {item["model_id"]: item for item in member.call("GET", "/stats/models")["items"]}
    runs = found[trained["model"]["model_id"]]["runs"]
    jobs = [
        job
        for job in member.call("GET", "/jobs?limit=100")["items"]
        if job["model"]["model_id"] == trained["model"]["model_id"]
    ]
    assert runs["completed"] >= 1 and runs["total"] >= len(jobs)
    (mine,) = member.call("GET", "/stats/contributions")["items"]
    # A job that left no model is in the user's count and in no model's.
    assert mine["runs"]["total"] >= sum(item["runs"]["total"] for item in found.values())
    page = member.call("GET", "/dashboard?days=2")
    assert sum(day["created"] for day in page["activity"]) == mine["runs"]["total"]
    assert page["datasets"]["total"] == len(member.call("GET", "/datasets?limit=100")["items"])

"""Endpoints that nobody forgets: leases, idleness, sleep and waking, on our SageMaker with a moved clock.

Run: python -m pytest tests/api/test_endpoints_life.py
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest

from lambdas.common import aws, workflows
from lambdas.endpoints import metrics, tasks
from lambdas.endpoints.endpoint_request import VARIANT
from lambdas.models.records import MODELS
from tests.api.client import Answer, ApiClient
from tests.api.crashes import deaths, dying_at
from tests.api.endpoints import (
    SERVE,
    deploy,
    deployed,
    is_awake,
    put_to_sleep,
    record,
    recovered,
    remove_all,
    servable,
    settled,
)
from tests.api.sagemaker import our_sagemaker
from tests.local.services import Services


@pytest.fixture(scope="module")
def sagemaker(stage: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with our_sagemaker(tmp_path_factory.mktemp("sagemaker"), SERVE) as services:
        yield services


@pytest.fixture
def ada(sagemaker: Services, api: Callable[..., ApiClient]) -> Iterator[ApiClient]:
    yield api("endpoints")
    remove_all(sagemaker)


@pytest.fixture
def model(ada: ApiClient, api: Callable[..., ApiClient]) -> str:
    return servable(api, ada.username)


def sweep_after(**passed: float) -> None:
    """Let the schedule come when so much time has passed."""
    clock = datetime.now(UTC) + timedelta(**passed)
    tasks.watch({"detail-type": "Scheduled Event", "time": clock.isoformat(timespec="seconds")}, None)


def called(endpoint: dict[str, Any], after: timedelta) -> None:
    """Let CloudWatch know of a call when so much time has passed, as SageMaker does."""
    dimensions: Any = [
        {"Name": "EndpointName", "Value": record(endpoint).endpoint_name},
        {"Name": "VariantName", "Value": VARIANT},
    ]
    boto3.client("cloudwatch").put_metric_data(
        Namespace=metrics.NAMESPACE,
        MetricData=[
            {
                "MetricName": "Invocations",
                "Dimensions": dimensions,
                "Value": 1,
                "Timestamp": datetime.now(UTC) + after,
            }
        ],
    )


@contextmanager
def calls_to(service: str) -> Iterator[list[str]]:
    """Count the operations that the functions ask a service for."""
    made: list[str] = []

    def count(model: Any, **_: Any) -> None:
        made.append(model.name)

    events = aws.client(service).meta.events
    events.register(f"before-call.{service}", count)
    try:
        yield made
    finally:
        events.unregister(f"before-call.{service}", count)


def eventually(look: Callable[[], Any], seconds: float = 15) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)
    return found


def status(ada: ApiClient, endpoint: dict[str, Any]) -> str:
    return ada.get(f"/endpoints/{endpoint['id']}").body["status"]


class TestLease:
    def test_it_begins_in_service_and_says_when_and_why_it_ends(self, ada: ApiClient, model: str) -> None:
        endpoint = deployed(ada, model, lease_hours=2)
        left = datetime.fromisoformat(endpoint["lease_until"]) - datetime.now(UTC)
        assert timedelta(minutes=119) < left <= timedelta(hours=2)
        assert 3500 < endpoint["time_left_seconds"] <= 3600, "it is idle for an hour before its lease ends"
        assert "60 minutes in which nobody called it" in endpoint["sleeps_because"]
        assert endpoint["lease_hours"] == 2

    def test_it_is_the_stages_when_none_is_asked_for_and_no_longer_one_is_given(
        self, ada: ApiClient, model: str
    ) -> None:
        body = {"name": "Parrot", "model": {"model_id": model}}
        refused = ada.post("/endpoints", body | {"lease_hours": 25})
        assert refused.status == 400 and refused.body["errors"][0]["field"] == "lease_hours"
        assert "24 hours" in refused.body["detail"]
        assert ada.post("/endpoints", body).body["lease_hours"] == 24
        assert ada.post("/endpoints", body | {"lease_hours": 0}).status == 400

    def test_without_a_setting_there_is_none(self, ada: ApiClient, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ENDPOINT_LEASE_HOURS", "")
        monkeypatch.setenv("ENDPOINT_IDLE_MINUTES", "")
        endpoint = deployed(ada, model)
        sweep_after(days=1000)
        found = ada.get(f"/endpoints/{endpoint['id']}").body
        assert found["status"] == "in_service"
        assert [found[name] for name in ("lease_until", "sleeps_at", "sleeps_because", "time_left_seconds")] == [
            None
        ] * 4

    def test_when_it_ends_the_endpoint_sleeps_and_nothing_is_billed(
        self, ada: ApiClient, model: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ENDPOINT_IDLE_MINUTES", "")
        endpoint = deployed(ada, model)
        sweep_after(hours=23.9)
        assert status(ada, endpoint) == "in_service"
        sweep_after(hours=24.1)
        put_to_sleep(endpoint)
        found = ada.get(f"/endpoints/{endpoint['id']}").body
        assert found["status"] == "sleeping" and found["reason"].startswith("Its lease ended at ")
        assert settled(record(endpoint)) is None, "SageMaker has it no more"
        assert (found["cost_per_hour"], found["lease_until"]) == (0, None)
        assert found["cost_so_far"] == pytest.approx(24.1 * 0.115, abs=0.01)
        assert "estimate" in found["cost_note"] and "2026-07-30" in found["cost_note"]

    def test_it_is_renewed_as_often_as_one_likes_and_never_beyond_the_stages(self, ada: ApiClient, model: str) -> None:
        endpoint = deployed(ada, model, lease_hours=2)
        lease = f"/endpoints/{endpoint['id']}/lease"
        once, twice = (ada.put(lease, {"hours": 12}).body for _ in range(2))
        assert once["lease_until"] > endpoint["lease_until"]
        assert (once["lease_hours"], once["lease_until"][:15]) == (12, twice["lease_until"][:15])
        assert ada.put(lease, {}).body["lease_hours"] == 12
        refused = ada.put(lease, {"hours": 100})
        assert refused.status == 400 and refused.body["errors"][0]["field"] == "hours"
        assert ada.put(lease, {"lease_hours": 1}).status == 400


class TestIdleness:
    def test_who_is_not_called_sleeps_who_is_called_stays(self, ada: ApiClient, model: str) -> None:
        alone, used = deployed(ada, model), deployed(ada, model)
        called(used, after=timedelta(minutes=10))
        sweep_after(minutes=59)
        assert (status(ada, alone), status(ada, used)) == ("in_service", "in_service")
        sweep_after(minutes=60.5)
        assert (status(ada, alone), status(ada, used)) == ("sleeping", "in_service")
        assert ada.get(f"/endpoints/{alone['id']}").body["reason"] == "Nobody called it for 60 minutes."
        assert record(used).last_invoked_at is not None
        sweep_after(minutes=122)
        assert status(ada, used) == "sleeping"

    def test_calls_pay_for_no_write_and_the_sweep_asks_once_in_the_idle_time(self, ada: ApiClient, model: str) -> None:
        endpoint = deployed(ada, model)
        with calls_to("dynamodb") as made:
            for _ in range(20):
                assert (
                    ada.call("POST", f"/endpoints/{endpoint['id']}/invoke", "1,2", content_type="text/csv").status
                    == 200
                )
        assert made == ["GetItem"] * 20, "the record, and nothing else"
        with calls_to("cloudwatch") as asked, calls_to("dynamodb") as made:
            for minutes in range(5, 60, 5):
                tasks.sweep.sweep_one(ada.username, endpoint["id"], datetime.now(UTC) + timedelta(minutes=minutes))
        assert asked == [] and made == ["GetItem"] * 11
        called(endpoint, after=timedelta(minutes=10))
        with calls_to("cloudwatch") as asked, calls_to("dynamodb") as made:
            for _ in range(3):
                tasks.sweep.sweep_one(ada.username, endpoint["id"], datetime.now(UTC) + timedelta(minutes=60.2))
        assert asked == ["GetMetricData"] and made.count("UpdateItem") == 1
        print(f"\n20 calls: 20 reads, 0 writes; a sweep each five minutes: {len(asked)} question and 1 write an hour")

    def test_the_last_call_is_shown_to_the_minute(self, ada: ApiClient, model: str) -> None:
        endpoint = deployed(ada, model)
        assert endpoint["last_invoked_at"] is None
        assert ada.call("POST", f"/endpoints/{endpoint['id']}/invoke", "x").status == 200
        shown = eventually(lambda: ada.get(f"/endpoints/{endpoint['id']}").body["last_invoked_at"])
        shown = datetime.fromisoformat(shown)
        assert abs(datetime.now(UTC) - shown) < timedelta(minutes=1)


class TestSleep:
    def test_it_keeps_what_it_is_made_of_and_wakes_as_it_was(self, ada: ApiClient, model: str) -> None:
        endpoint = deployed(ada, model, instance_count=2)
        asked = ada.post(f"/endpoints/{endpoint['id']}/sleep")
        assert (asked.status, asked.body["status"]) == (202, "sleeping")
        assert ada.post(f"/endpoints/{endpoint['id']}/wake").status == 409, "it is still falling asleep"
        put_to_sleep(endpoint)
        assert ada.post(f"/endpoints/{endpoint['id']}/sleep").body["status"] == "sleeping"
        refused = ada.call("POST", f"/endpoints/{endpoint['id']}/invoke", "x")
        assert refused.status == 409 and f"POST /endpoints/{endpoint['id']}/wake" in refused.body["detail"]
        assert ada.put(f"/endpoints/{endpoint['id']}/lease", {}).status == 409
        assert endpoint["id"] in MODELS.get(ada.username, endpoint["model_version_id"]).holds
        assert not is_awake(endpoint)

        woken = ada.post(f"/endpoints/{endpoint['id']}/wake")
        assert (woken.status, woken.body["status"]) == (202, "creating")
        waiting = ada.call("POST", f"/endpoints/{endpoint['id']}/invoke", "x")
        assert waiting.status == 503 and waiting.headers["retry-after"] == "60"
        deploy(endpoint)
        found = ada.get(f"/endpoints/{endpoint['id']}").body
        same = ("id", "name", "url", "model", "instance_type", "instance_count", "lease_hours")
        assert {name: found[name] for name in same} == {name: endpoint[name] for name in same}
        assert found["status"] == "in_service" and found["lease_until"] > endpoint["lease_until"]
        assert ada.call("POST", f"/endpoints/{endpoint['id']}/invoke", "x").body == "x"
        assert is_awake(endpoint)

    def test_one_that_cannot_be_woken_sleeps_on_and_can_be_woken_again(
        self, ada: ApiClient, model: str, sagemaker: Services
    ) -> None:
        endpoint = deployed(ada, model)
        ada.post(f"/endpoints/{endpoint['id']}/sleep")
        put_to_sleep(endpoint)
        ada.post(f"/endpoints/{endpoint['id']}/wake")
        tasks.deploy(
            {
                "step": "roll_back",
                "owner": ada.username,
                "id": endpoint["id"],
                "error": {"Cause": "No capacity for ml.m5.large."},
            },
            None,
        )
        found = ada.get(f"/endpoints/{endpoint['id']}").body
        assert (found["status"], found["reason"]) == (
            "sleeping",
            "It could not be woken: No capacity for ml.m5.large.",
        )
        assert endpoint["id"] in MODELS.get(ada.username, endpoint["model_version_id"]).holds
        assert ada.post(f"/endpoints/{endpoint['id']}/wake").body["status"] == "creating"
        deploy(endpoint)
        assert status(ada, endpoint) == "in_service"

    def test_a_sleeping_endpoint_can_be_deleted(self, ada: ApiClient, model: str) -> None:
        endpoint = deployed(ada, model)
        ada.post(f"/endpoints/{endpoint['id']}/sleep")
        put_to_sleep(endpoint)
        assert ada.delete(f"/endpoints/{endpoint['id']}").status == 202
        tasks.delete_rest(record(endpoint), {})
        assert ada.get(f"/endpoints/{endpoint['id']}").status == 404
        assert endpoint["id"] not in MODELS.get(ada.username, endpoint["model_version_id"]).holds

    def test_only_one_in_service_sleeps_and_only_a_sleeping_one_wakes(
        self, ada: ApiClient, model: str, api: Callable[..., ApiClient]
    ) -> None:
        new = ada.post("/endpoints", {"name": "Parrot", "model": {"model_id": model}}).body
        for verb in ("sleep", "wake"):
            assert ada.post(f"/endpoints/{new['id']}/{verb}").status == 409
            assert api("endpoints").post(f"/endpoints/{new['id']}/{verb}").status == 404
            assert api("endpoints", group="viewer").post(f"/endpoints/{new['id']}/{verb}").status == 403

    def test_one_that_vanished_from_sagemaker_counts_no_more(self, ada: ApiClient, model: str) -> None:
        endpoint = deployed(ada, model)
        boto3.client("sagemaker").delete_endpoint(EndpointName=record(endpoint).endpoint_name)
        settled(record(endpoint))
        tasks.reconcile(ada.username, endpoint["id"])
        found = ada.get(f"/endpoints/{endpoint['id']}").body
        assert (found["status"], found["cost_per_hour"]) == ("failed", 0)
        assert not is_awake(endpoint)


class TestPrices:
    def test_an_unknown_type_has_no_estimate_and_says_so(self, ada: ApiClient, model: str) -> None:
        body = {"name": "Parrot", "model": {"model_id": model}, "instance_type": "ml.g5.xlarge"}
        found = ada.post("/endpoints", body).body
        assert (found["cost_per_hour"], found["cost_so_far"]) == (None, None)
        assert found["cost_note"] == "No estimate: the price table has no hosting price of ml.g5.xlarge in us-east-1."


# ------------------------------------------------------------------------------------------------------ crashes


def assert_whole(ada: ApiClient, endpoint: dict[str, Any]) -> str:
    """The record and SageMaker agree, the model is held, the sweep looks at what is billed; return the status."""
    found = recovered(endpoint)
    assert found.status in {"in_service", "sleeping"}, found
    assert (settled(found) == "InService") == (found.status == "in_service") == is_awake(endpoint)
    assert (found.started_at is not None) == (found.status == "in_service")
    assert endpoint["id"] in MODELS.get(ada.username, found.model_version_id).holds
    return found.status


def into_service(ada: ApiClient, endpoint: dict[str, Any]) -> None:
    if record(endpoint).status == "sleeping":
        assert ada.post(f"/endpoints/{endpoint['id']}/wake").status == 202
        deploy(endpoint)


def to_sleep(ada: ApiClient, endpoint: dict[str, Any]) -> None:
    if record(endpoint).status == "in_service":
        assert ada.post(f"/endpoints/{endpoint['id']}/sleep").status == 202
        put_to_sleep(endpoint)


@pytest.mark.thorough
def test_a_sleep_that_dies_is_finished(ada: ApiClient, model: str) -> None:
    endpoint = deployed(ada, model)

    def fall_asleep() -> Answer:
        answer = ada.post(f"/endpoints/{endpoint['id']}/sleep")
        if answer.status < 500:
            put_to_sleep(endpoint)
        return answer

    seen = set()
    for _ in deaths(fall_asleep):
        seen.add(assert_whole(ada, endpoint))
        into_service(ada, endpoint)
    assert seen == {"in_service", "sleeping"}
    assert assert_whole(ada, endpoint) == "sleeping"


@pytest.mark.thorough
def test_a_waking_that_dies_serves_or_sleeps_on(ada: ApiClient, model: str) -> None:
    endpoint = deployed(ada, model)
    to_sleep(ada, endpoint)

    def wake_up() -> Answer:
        answer = ada.post(f"/endpoints/{endpoint['id']}/wake")
        if answer.status < 500:
            deploy(endpoint)
        return answer

    seen = set()
    for _ in deaths(wake_up):
        seen.add(assert_whole(ada, endpoint))
        to_sleep(ada, endpoint)
    assert seen == {"in_service", "sleeping"}
    assert assert_whole(ada, endpoint) == "in_service"


@pytest.mark.thorough
def test_a_sweep_that_dies_is_made_good_by_the_next(ada: ApiClient, model: str) -> None:
    endpoint = deployed(ada, model)
    clock = datetime.now(UTC) + timedelta(hours=25)

    def swept() -> bool:
        tasks.sweep.sweep_one(ada.username, endpoint["id"], clock)
        return True

    for _ in deaths(swept):
        assert_whole(ada, endpoint)
        into_service(ada, endpoint)
    assert assert_whole(ada, endpoint) == "sleeping"


# ------------------------------------------------------------------------------------------- metrics and the log


def test_metrics_are_the_calls_that_were_made(ada: ApiClient, model: str) -> None:
    endpoint = deployed(ada, model)
    url = f"/endpoints/{endpoint['id']}"
    empty = ada.get(f"{url}/metrics").body
    assert empty["total"] == {"invocations": 0, "errors": 0, "errors_4xx": 0, "errors_5xx": 0} and empty["points"] == []
    bodies = ["good"] * 7 + ["bad"] * 3 + ["broken"] * 2
    answers = [ada.call("POST", f"{url}/invoke", body).status for body in bodies]
    assert answers == [200] * 7 + [400] * 3 + [502] * 2
    eventually(lambda: ada.get(f"{url}/metrics").body["total"]["invocations"] == len(bodies))
    found = ada.get(f"{url}/metrics?hours=1").body
    assert found["total"] == {"invocations": 12, "errors": 5, "errors_4xx": 3, "errors_5xx": 2}
    assert found["period_seconds"] == 60 and 1 <= len(found["points"]) <= 2
    latency = found["points"][0]["model_latency_ms"]
    assert 0 < latency["p50"] <= latency["p90"] <= latency["p99"] < 60_000
    assert ada.get(f"{url}/metrics?hours=1512").body["total"] == found["total"]
    assert ada.get(f"{url}/metrics?hours=0").status == 400


def test_the_log_is_read_page_by_page_and_followed(ada: ApiClient, model: str, api: Callable[..., ApiClient]) -> None:
    endpoint = deployed(ada, model)
    url = f"/endpoints/{endpoint['id']}"
    for _ in range(5):
        ada.call("POST", f"{url}/invoke", "x")
    asked = "asked /invocations"
    eventually(lambda: [each["message"] for each in ada.get(f"{url}/logs").body["items"]].count(asked) == 5)
    every = ada.get(f"{url}/logs").body["items"]
    assert every == sorted(every, key=lambda each: each["time"])
    paged, cursor = [], ""
    while page := ada.get(f"{url}/logs?limit=2{cursor}").body:
        if not page["items"]:
            break
        paged += page["items"]
        cursor = f"&cursor={page['next_cursor']}"
    assert paged == every
    ada.call("POST", f"{url}/invoke", "x")
    later = eventually(lambda: ada.get(f"{url}/logs?{cursor}").body["items"])
    assert [each["message"] for each in later] == [asked]
    assert ada.get(f"{url}/logs?cursor=nonsense").status == 400
    assert api("endpoints").get(f"{url}/logs").status == 404


def test_a_sleep_whose_workflow_never_started_is_started(ada: ApiClient, model: str) -> None:
    endpoint = deployed(ada, model)
    with dying_at(3) as made:
        ada.post(f"/endpoints/{endpoint['id']}/sleep")
    assert made == ["GetItem", "TransactWriteItems"]
    name = f"{endpoint['id']}-sleep-0"
    assert workflows.execution("SLEEP_WORKFLOW_ARN", name)["status"] == "ABSENT"
    tasks.reconcile(ada.username, endpoint["id"])
    assert workflows.execution("SLEEP_WORKFLOW_ARN", name)["status"] == "RUNNING"

"""Jobs in their queues, repeated, and followed by an endpoint: over HTTP, under the synthesised roles.

Run: pytest tests/journeys/test_job_control.py
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests

from local.api_client import ApiClient
from tests.journeys.conftest import ENDED, PARAMETERS, train, upload
from tests.platform import Platform

RUN_AT_ONCE = 2  # of ml.m5.large, which the stage `local` has
MANY = 12  # more than the five that Batch takes in a second


@contextmanager
def no_machine(platform: Platform) -> Iterator[None]:
    """Let whatever starts wait for a machine: it keeps its place, and those behind it keep waiting."""
    platform.faults(capacity_wait={"ml.m5.large": 3600})
    try:
        yield
    finally:
        platform.faults()


def eventually(look: Callable[[], Any], seconds: float = 60) -> Any:
    """Return what a look finds once that is true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.1)
    raise TimeoutError


def request(dataset: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"name": "Queued", "dataset_id": dataset["id"], "parameters": PARAMETERS, **changes}


def position(api: ApiClient, id: str) -> int | None:
    return api.call("GET", f"/jobs/{id}")["position"]


def test_users_take_turns_and_priority_orders_each_ones_own(
    platform: Platform, new_user: Callable[..., ApiClient], rows: list[dict[str, Any]]
) -> None:
    ada, bob = new_user(), new_user()
    data = {api: upload(api, rows[:100]) for api in (ada, bob)}
    made: list[tuple[ApiClient, str]] = []

    def submit(api: ApiClient, priority: str) -> str:
        made.append((api, api.call("POST", "/jobs", request(data[api], priority=priority))["id"]))
        return made[-1][1]

    with no_machine(platform):
        try:
            for api in (ada, bob):  # they take the machines that there are
                first = submit(api, "normal")
                eventually(lambda api=api, first=first: api.call("GET", f"/jobs/{first}")["stage"] == "starting")
            wanted = [(ada, "low"), (ada, "normal"), (bob, "low"), (ada, "high"), (bob, "high")]
            ids = {(api, priority): submit(api, priority) for api, priority in wanted}
            eventually(lambda: all(position(api, id) for api, id in made[RUN_AT_ONCE:]))

            order = sorted(wanted, key=lambda one: position(one[0], ids[one]) or 0)
            assert [priority for api, priority in order if api is ada] == ["high", "normal", "low"]
            assert [priority for api, priority in order if api is bob] == ["high", "low"]
            assert [order[0][0], order[1][0]] in ([ada, bob], [bob, ada]), "they take turns"
            last = ada.call("GET", f"/jobs/{ids[ada, 'low']}")
            assert last["reason"].startswith("It is number 5 in the queue of ml.m5.large, of which 2 of 2 are in use")

            (queue,) = ada.call("GET", "/jobs/queue")["items"]
            assert (queue["instances"], queue["in_use"], queue["waiting"]) == (RUN_AT_ONCE, RUN_AT_ONCE, 5)
            assert {job["job_id"] for job in queue["yours"]} == {id for (api, _), id in ids.items() if api is ada}
            assert ada.call("GET", "/jobs/usage")["jobs"] == 4

            ada.call("PATCH", f"/jobs/{ids[ada, 'low']}", {"priority": "high"})
            eventually(lambda: 1 <= (position(ada, ids[ada, "low"]) or 0) < (position(ada, ids[ada, "high"]) or 0))
        finally:
            for api, id in made:
                api.call("POST", f"/jobs/{id}/stop")
    for api, id in made:
        assert api.wait(f"/jobs/{id}", *ENDED)["status"] == "cancelled"
    assert ada.call("GET", "/jobs/usage")["jobs"] == 0


def test_many_jobs_in_one_call_are_all_submitted(
    platform: Platform, new_user: Callable[..., ApiClient], rows: list[dict[str, Any]]
) -> None:
    ada = new_user()
    dataset = upload(ada, rows[:100])
    with no_machine(platform):
        answer = ada.call("POST", "/jobs/batch", {"jobs": [request(dataset) for _ in range(MANY)]})
        ids = [item["job"]["id"] for item in answer["items"]]
        try:
            (queue,) = eventually(
                lambda: [q for q in ada.call("GET", "/jobs/queue")["items"] if len(q["yours"]) == MANY - RUN_AT_ONCE],
                seconds=120,
            )
            assert [job["position"] for job in queue["yours"]] == list(range(1, MANY - RUN_AT_ONCE + 1))
        finally:
            for id in ids:
                ada.call("POST", f"/jobs/{id}/stop")
    assert {ada.wait(f"/jobs/{id}", *ENDED)["status"] for id in ids} == {"cancelled"}


def test_a_rerun_gives_the_same_model_from_the_same_capsule(member: ApiClient, dataset: dict[str, Any]) -> None:
    first = train(member, dataset, algorithm="lightgbm", epochs=20)
    again = member.call("POST", f"/jobs/{first['id']}/rerun")
    second = member.wait(f"/jobs/{again['id']}", *ENDED)
    assert (first["status"], second["status"]) == ("completed", "completed"), second["reason"]
    assert second["rerun_of"] == first["id"]
    assert second["progress"]["metrics"] == first["progress"]["metrics"]
    assert second["primary_metric"] == first["primary_metric"]

    capsules = [member.call("GET", f"/jobs/{job['id']}/capsule") for job in (first, second)]
    own = {"job_id", "rerun_of", "created_at"}
    told = [{name: value for name, value in capsule.items() if name not in own} for capsule in capsules]
    assert told[0] == told[1]
    assert told[0]["parameters"]["num_leaves"] == 31, "defaults are filled in"
    assert (told[0]["seed"], told[0]["dataset"]["sha256"]) == (42, dataset["sha256"])
    assert {"python", "lightgbm"} <= set(told[0]["versions"])
    assert told[0]["image"]["uri"].endswith(told[0]["image"]["code_hash"])
    kept = file_of(member, second, "capsule.json")
    assert kept == capsules[1]


def file_of(api: ApiClient, job: dict[str, Any], filename: str) -> Any:
    """Return a JSON file of the version that a job made."""
    model = job["model"]
    path = f"/ai-models/{job['user_id']}/{model['model_id']}/download"
    response = api.request("GET", path, params={"version": model["version"], "filename": filename})
    response.raise_for_status()
    return json.loads(response.content)


def test_an_endpoint_follows_a_job_that_asked_for_one(
    member: ApiClient, dataset: dict[str, Any], rows: list[dict[str, Any]]
) -> None:
    wanted = request(dataset, name="Chained", deploy={"name": "Live"}, managed_spot=True)
    job = member.call("POST", "/jobs", wanted)
    job = member.wait(f"/jobs/{job['id']}", *ENDED)
    assert job["status"] == "completed", job["reason"]
    job = eventually(lambda: (found := member.call("GET", f"/jobs/{job['id']}"))["endpoint_id"] and found)
    endpoint = member.wait(f"/endpoints/{job['endpoint_id']}", "in_service", "failed")
    assert (endpoint["status"], endpoint["name"]) == ("in_service", "Live"), endpoint
    assert endpoint["model"]["version"] == job["model"]["version"]
    row = {name: value for name, value in rows[0].items() if name != "diagnosis"}
    headers = {name: str(value) for name, value in member.session.headers.items()}
    answer = requests.post(endpoint["url"], json={"instances": [row]}, headers=headers, timeout=60)
    assert answer.json()["predictions"][0]["label"] == rows[0]["diagnosis"]
    member.call("DELETE", f"/endpoints/{endpoint['id']}")


@pytest.mark.parametrize("training_type", ["tabular", "llm"])
def test_the_training_types_say_what_they_take(member: ApiClient, training_type: str) -> None:
    found = {one["training_type"]: one for one in member.call("GET", "/training-types")["items"]}
    assert found[training_type]["parameters"]["properties"]["learning_rate"]["maximum"] == 1
    assert found[training_type]["dataset"]["columns"]

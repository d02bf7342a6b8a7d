"""A function of datasets that dies at any of its calls to AWS: reconcile brings the dataset to `ready` or `failed`.

Run: python -m pytest tests/api/test_datasets_crashes.py -s
"""

import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
import requests

from lambdas.common import waits, workflows
from lambdas.datasets import tasks
from lambdas.datasets.records import DATASETS, VERSIONS
from lambdas.processing import tasks as processing
from tests.api.client import ApiClient
from tests.api.crashes import deaths
from tests.api.datasets import IRIS, first_version, new_dataset, objects, processed, put_parts, run_workflow, upload

PROCESS = "PROCESS_WORKFLOW_ARN"


@pytest.fixture
def users(api: Callable[..., ApiClient]) -> Callable[[], ApiClient]:
    """Make a new user for each death."""
    return lambda: api("datasets")


def age(owner: str) -> None:
    """Let what is under way of an owner be half an hour old."""
    earlier = (datetime.now(UTC) - tasks.REQUEST_TIME * 2).isoformat()
    for id in under_way(owner):
        if id.startswith("dsv-"):
            VERSIONS.update(VERSIONS.get(owner, id), created_at=earlier)


def recover(owner: str) -> None:
    """Reconcile everything under way of an owner, as the schedule does for all."""
    for id in under_way(owner):
        tasks.recover({"source": "aws.states", "detail": {"name": id}}, None)


def under_way(owner: str) -> list[str]:
    return [id for found, id in waits.under_way("ds") if found == owner]


def end_execution(id: str) -> None:
    """Let the workflow of a version be over without having said how."""
    arn = workflows.execution(PROCESS, id)["executionArn"]
    boto3.client("stepfunctions").stop_execution(executionArn=arn)


def assert_at_rest(client: ApiClient, id: str) -> None:
    """A dataset is ready with all that belongs to it, or failed with a reason; its file is as it was."""
    assert under_way(client.username) == []
    dataset = client.get(f"/datasets/{id}").body
    assert dataset["status"] in ("ready", "failed")
    (file,) = client.get(f"/datasets/{id}/download").body["files"]
    assert requests.get(file["url"], timeout=20).content == IRIS
    if dataset["status"] == "ready":
        assert client.get(f"/datasets/{id}/profile").body["rows"] == 4
        assert client.get(f"/datasets/{id}/preview").body["rows"][0] == ["5.1", "3.5", "setosa"]
    else:
        assert dataset["reason"]
    assert client.get("/datasets/storage").body["used_bytes"] == len(IRIS)


def completed(client: ApiClient) -> tuple[str, str]:
    """Upload a dataset; return its id and that of its version, both `processing`."""
    id = upload(client)["id"]
    assert client.post(f"/datasets/{id}/complete").status == 202
    return id, first_version(id)


@pytest.mark.slow
def test_a_creation_that_dies_is_whole_or_failed(users: Callable[[], ApiClient]) -> None:
    client = [users()]
    for _ in deaths(lambda: client[0].post("/datasets", new_dataset())):
        ada = client[0]
        for dataset in ada.get("/datasets").body["items"]:  # nobody was told of it
            age(ada.username)
            recover(ada.username)
            left = ada.get(f"/datasets/{dataset['id']}").body
            if left["status"] == "uploading":
                put_parts(ada.get(f"/datasets/{left['id']}/upload").body["uploads"]["iris.csv"], IRIS)
                assert ada.post(f"/datasets/{left['id']}/complete").status == 202
                run_workflow(ada.username, first_version(left["id"]))
                assert_at_rest(ada, left["id"])
            else:
                assert (left["status"], left["reason"]) == ("failed", tasks.NOT_BEGUN)
                assert ada.get("/datasets/storage").body["used_bytes"] == 0
            assert ada.delete(f"/datasets/{dataset['id']}").status == 204
        assert ada.get("/datasets/storage").body["used_bytes"] == 0
        assert under_way(ada.username) == []
        client[0] = users()


@pytest.mark.slow
def test_a_completion_that_dies_is_repeated_or_recovered(users: Callable[[], ApiClient]) -> None:
    made: list[tuple[ApiClient, str]] = []

    def begin() -> None:
        made.append(((client := users()), upload(client)["id"]))

    begin()
    for _ in deaths(lambda: made[-1][0].post(f"/datasets/{made[-1][1]}/complete")):
        ada, id = made[-1]
        if ada.get(f"/datasets/{id}").body["status"] == "uploading":
            assert ada.post(f"/datasets/{id}/complete").status == 202
        recover(ada.username)
        assert workflows.execution(PROCESS, first_version(id))["status"] == "RUNNING"
        run_workflow(ada.username, first_version(id))
        assert_at_rest(ada, id)
        begin()


STEPS: dict[str, Callable[[dict[str, str]], Any]] = {
    "prepare": lambda event: tasks.process(event | {"step": "prepare"}, None),
    "profile": lambda event: processing.profile(request_of(event), None),
    "finish": lambda event: tasks.process(event | {"step": "finish"}, None),
}


def request_of(event: dict[str, str]) -> dict[str, str]:
    """Return what the workflow hands to the function that reads the files."""
    version = VERSIONS.get(event["owner"], event["id"])
    return {"bucket": os.environ["DATASETS_BUCKET"], "request": f"{version.prefix}request.json"}


@pytest.mark.slow
@pytest.mark.parametrize("again", [True, False], ids=["the step is tried again", "the workflow is over"])
@pytest.mark.parametrize("step", STEPS)
def test_a_step_that_dies_anywhere_ends_in_ready_or_failed(
    users: Callable[[], ApiClient], step: str, again: bool
) -> None:
    made: list[tuple[ApiClient, str, dict[str, str]]] = []
    names = list(STEPS)

    def begin() -> None:
        client = users()
        id, version = completed(client)
        event = {"owner": client.username, "id": version}
        for name in names[: names.index(step)]:
            STEPS[name](event)
        made.append((client, id, event))

    begin()
    for _ in deaths(lambda: STEPS[step](made[-1][2])):
        die_and_recover(*made[-1], names[names.index(step) :] if again else [])
        begin()


def die_and_recover(client: ApiClient, id: str, event: dict[str, str], steps: list[str]) -> None:
    """After a death do these steps anew, or none; then let the workflow be over and reconcile."""
    for name in steps:
        STEPS[name](event)
    end_execution(event["id"])
    recover(client.username)
    assert_at_rest(client, id)
    if steps:
        assert client.get(f"/datasets/{id}").body["status"] == "ready"


@pytest.mark.parametrize("death", [1, 3, 5])
def test_processing_that_dies_at_three_of_its_calls(users: Callable[[], ApiClient], death: int) -> None:
    client = users()
    id, version = completed(client)
    event = {"owner": client.username, "id": version}
    STEPS["prepare"](event)
    for call in deaths(lambda: STEPS["profile"](event)):
        if call == death:
            break
    die_and_recover(client, id, event, [])


@pytest.mark.slow
def test_a_deletion_that_dies_is_finished(users: Callable[[], ApiClient]) -> None:
    made: list[tuple[ApiClient, str]] = []

    def begin() -> None:
        made.append(((client := users()), processed(client)["id"]))

    begin()
    for _ in deaths(lambda: made[-1][0].delete(f"/datasets/{made[-1][1]}")):
        ada, id = made[-1]
        recover(ada.username)
        if ada.get(f"/datasets/{id}").status == 200:  # it had not begun
            assert_at_rest(ada, id)
            assert ada.delete(f"/datasets/{id}").status == 204
        assert objects(ada.username, id) == []
        assert DATASETS.list(ada.username, "ds", 10, None).items == []
        assert ada.get("/datasets/storage").body["used_bytes"] == 0
        assert under_way(ada.username) == []
        begin()


@pytest.mark.slow
def test_a_copy_that_dies_goes_on(users: Callable[[], ApiClient]) -> None:
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="company-data")
    made: list[tuple[ApiClient, str, dict[str, str]]] = []

    def begin() -> None:
        client = users()
        s3.put_object(Bucket="company-data", Key=f"{client.username}/iris.csv", Body=IRIS)
        source = {"s3_uri": f"s3://company-data/{client.username}/iris.csv", "mode": "copy"}
        id = client.post("/datasets", new_dataset(files=None, source=source)).body["id"]
        made.append((client, id, {"owner": client.username, "id": first_version(id)}))

    begin()
    for _ in deaths(lambda: copied(made[-1][2])):
        client, id, event = made[-1]
        run_workflow(client.username, event["id"])
        assert client.get(f"/datasets/{id}").body["status"] == "ready"
        assert_at_rest(client, id)
        begin()


def copied(event: dict[str, str]) -> bool:
    """Copy, and say that it was done: the step itself answers nothing."""
    tasks.copy(event, None)
    return True

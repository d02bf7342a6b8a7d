"""A function that dies at any of its calls to AWS loses nothing that was acknowledged, and leaves nothing behind.

Run: python -m pytest tests/api/test_models_crashes.py -s
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lambdas.common import waits, workflows
from lambdas.models import rebuild, tasks, upload
from lambdas.models.records import MODELS
from lambdas.scanner import tasks as scanner
from tests.api.client import ApiClient
from tests.api.crashes import deaths
from tests.api.registry import (
    CONFIG,
    at,
    complete,
    folder,
    get,
    objects,
    planned,
    postings,
    ready,
    scan_now,
    scanned,
    stored,
    unfinished,
)

pytestmark = pytest.mark.thorough

FILES = {"model.json": CONFIG, "notes.txt": b"some"}


def recover(owner: str) -> None:
    """Reconcile what is under way of an owner, as if twenty minutes had passed."""
    for id in [id for found, id in waits.under_way("mdl-") if found == owner]:
        earlier = (datetime.now(UTC) - upload.REQUEST_TIME - timedelta(minutes=5)).isoformat()
        if version := next(iter(MODELS.get_many(owner, [id])), None):
            MODELS.settle(version, created_at=earlier)
        tasks.recover({"source": "aws.states", "detail": {"name": id}}, None)


def assert_gone(client: ApiClient, id: str | None = None) -> None:
    """Nothing is left of a version, and its name is free."""
    assert [id for id in stored(client.username) if not id.startswith("latest#")] == []
    assert objects(client.username) == {}
    assert unfinished(client.username) == []
    assert client.username not in [owner for owner, _ in waits.under_way("mdl-")]
    assert id is None or postings(client.username, id) == []


@pytest.fixture
def ada(api: Callable[..., ApiClient]) -> ApiClient:
    return api("models")


@pytest.mark.slow
def test_a_form_is_whole_or_nothing(api: Callable[..., ApiClient]) -> None:
    client = [api("models")]
    for _ in deaths(lambda: folder(client[0], FILES)):
        ada = client[0]
        ids = [id for id in stored(ada.username) if id.startswith("mdl-")]
        recover(ada.username)
        if left := MODELS.get_many(ada.username, ids):
            (version,) = left
            assert version.status == "scanning"  # all of it was there
            assert workflows.execution("SCAN_WORKFLOW_ARN", version.id)["status"] == "RUNNING"
            model = get(ada, {"user_id": ada.username, "model_id": "iris", "version": "v1"})
            assert scanned(ada, model)["verdict"] == "clean"
            assert ada.get(f"/ai-models/{ada.username}/iris").body["id"] == version.id
            assert ada.get(f"/ai-models/search/{ada.username}?query=iris").body["items"][0]["id"] == version.id
            assert {name: objects(version.prefix)[version.prefix + name] for name in FILES} == FILES
            assert ada.delete(at(model)).status == 204
        assert_gone(ada, next(iter(ids), None))
        assert folder(ada, FILES).status == 200
        client[0] = api("models")


@pytest.mark.slow
def test_a_plan_that_was_begun_is_whole_or_goes(api: Callable[..., ApiClient]) -> None:
    client = [api("models")]
    body = {"model_id": "iris", "name": "Iris", "files": [{"filename": name, "size": 4} for name in FILES]}
    for _ in deaths(lambda: client[0].post("/ai-models/uploads", body)):
        ada = client[0]
        ids = [id for id in stored(ada.username) if id.startswith("mdl-")]
        recover(ada.username)
        if left := MODELS.get_many(ada.username, ids):
            assert left[0].status == "uploading"
            assert set(ada.get(f"/ai-models/uploads/{left[0].id}").body["uploads"]) == set(FILES)
        else:
            assert [id for id in stored(ada.username) if not id.startswith("latest#")] == []
            assert objects(ada.username) == {}  # parts without an object go with the bucket's lifecycle
        assert ada.post("/ai-models/uploads", body).status == 201
        client[0] = api("models")


@pytest.mark.parametrize("again", ["the client asks again", "only the platform goes on"])
def test_completing_goes_on_where_it_died(api: Callable[..., ApiClient], again: str) -> None:
    def begin() -> tuple[ApiClient, dict[str, Any]]:
        client = api("models")
        return client, planned(client, FILES)

    now = [begin()]
    for _ in deaths(lambda: complete(*now[0])):
        ada, model = now[0]
        if again == "the client asks again":
            assert complete(ada, model).status == 202
        else:
            recover(ada.username)
        if get(ada, model)["status"] == "uploading":
            assert again != "the client asks again"
            assert complete(ada, model).status == 202  # the plan was not lost
        scan_now(model)
        after = ada.get(f"/ai-models/{ada.username}/iris").body  # and it is the latest
        assert (after["id"], after["status"], after["verdict"]) == (model["id"], "ready", "clean")
        prefix = f"{ada.username}/iris/v1/"
        assert {name: objects(prefix)[prefix + name] for name in FILES} == FILES
        recover(ada.username)
        assert get(ada, model)["status"] == "ready"
        now[0] = begin()


@pytest.mark.slow
def test_a_deletion_that_began_ends(api: Callable[..., ApiClient]) -> None:
    def begin() -> tuple[ApiClient, dict[str, Any]]:
        client = api("models")
        ready(client, FILES, tags="a")
        path = f"/ai-models/{client.username}/iris/aliases/champion"
        return client, client.put(path, {"version": "v1"}).body

    now = [begin()]
    for _ in deaths(lambda: now[0][0].delete(at(now[0][1]))):
        ada, model = now[0]
        found = ada.get(at(model))
        if found.status == 200:  # it had not begun
            assert found.body == model
            assert {file["filename"] for file in found.body["files"]} == set(FILES)
            assert ada.delete(at(model)).status == 204
        else:
            assert ada.get(f"/ai-models/{ada.username}").body["items"] == []
            recover(ada.username)
        assert_gone(ada, model["id"])
        assert folder(ada, FILES).status == 200
        now[0] = begin()


@pytest.mark.slow
def test_a_change_is_made_or_not_and_can_be_made_again(api: Callable[..., ApiClient]) -> None:
    changes = {"name": "Tulip", "tags": ["new"], "files": [{"filename": "model.json", "description": "All of it."}]}

    def begin() -> tuple[ApiClient, dict[str, Any]]:
        client = api("models")
        return client, ready(client, name="Rose", tags="old")

    now = [begin()]
    for _ in deaths(lambda: now[0][0].put(at(now[0][1]), changes)):
        ada, model = now[0]
        assert get(ada, model)["name"] in {"Rose", "Tulip"}
        for word, name in (("rose", "Rose"), ("tulip", "Tulip")):
            found = ada.get(f"/ai-models/search/{ada.username}?query={word}").body["items"]
            assert [item["name"] for item in found] == ([name] if get(ada, model)["name"] == name else [])
        assert ada.put(at(model), changes).status == 200
        after = get(ada, model)
        assert (after["name"], after["tags"], after["files"][0]["description"]) == ("Tulip", ["new"], "All of it.")
        assert ada.get(f"/ai-models/search/{ada.username}?query=tulip").body["items"][0]["id"] == model["id"]
        assert ada.get(f"/ai-models/{ada.username}?tags=old").body["items"] == []
        assert_manifest_is_true(ada, model)
        now[0] = begin()


@pytest.mark.slow
def test_an_alias_moves_whole(api: Callable[..., ApiClient]) -> None:
    def begin() -> tuple[ApiClient, list[dict[str, Any]]]:
        client = api("models")
        models = [ready(client, version=version) for version in ("v1", "v2")]
        client.put(path(client), {"version": "v1"})
        return client, models

    def path(client: ApiClient) -> str:
        return f"/ai-models/{client.username}/iris/aliases/champion"

    now = [begin()]
    for _ in deaths(lambda: now[0][0].put(path(now[0][0]), {"version": "v2"})):
        ada, models = now[0]
        target = ada.get(f"/ai-models/{ada.username}/iris?version=champion").body
        assert [get(ada, model)["aliases"] == ["champion"] for model in models] == [
            model["id"] == target["id"] for model in models
        ]
        assert ada.put(path(ada), {"version": "v2"}).body["aliases"] == ["champion"]
        assert_manifest_is_true(ada, models[1])
        now[0] = begin()


def test_each_step_of_a_scan_can_die_and_is_done_again(api: Callable[..., ApiClient]) -> None:
    """The workflow calls a step again that died; what the step says then is what the record and the manifest say."""

    def begin() -> tuple[ApiClient, dict[str, Any]]:
        client = api("models")
        return client, folder(client, FILES).body

    def step(name: str, **more: Any) -> Any:
        return tasks.process({"owner": now[0][0].username, "id": now[0][1]["id"], "step": name} | more, None)

    def reports() -> list[dict[str, Any]]:
        return [scanner.scan(file, None) for file in step("next")["files"]]

    before: dict[str, Callable[[], Any]] = {
        "next": dict,
        "record": lambda: {"reports": reports()},
        "finish": lambda: (step("record", reports=reports()), {})[1],
    }
    for name, prepare in before.items():
        now = [begin()]
        ready_made = [prepare()]
        for _ in deaths(lambda name=name, ready_made=ready_made: step(name, **ready_made[0])):
            ada, model = now[0]
            step(name, **ready_made[0])
            scan_now(model)
            after = get(ada, model)
            assert (after["status"], after["verdict"]) == ("ready", "clean")
            assert model["id"] not in [id for _, id in waits.under_way("mdl-")]
            assert_manifest_is_true(ada, model)
            now[0] = begin()
            ready_made[0] = prepare()


def assert_manifest_is_true(client: ApiClient, model: dict[str, Any]) -> None:
    """What lies beside a version's files is what the table says."""
    version = MODELS.get(client.username, model["id"])
    kept, files = rebuild.manifest.parse(objects(version.prefix)[version.prefix + rebuild.manifest.NAME])
    assert kept.model_dump(exclude={"holds"}) == version.model_dump(exclude={"holds"})
    assert [file.filename for file in files] == [file["filename"] for file in get(client, model)["files"]]

"""The registry made again from S3 alone: the tables are wiped, and every read is what it was, byte for byte.

Run: python -m pytest tests/api/test_models_rebuild.py
"""

import json
import os
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest

from lambdas.common import waits
from lambdas.models import rebuild, storage, tasks
from lambdas.models.records import MODELS
from tests.api.client import ApiClient
from tests.api.registry import (
    CONFIG,
    at,
    complete,
    hostile,
    items,
    objects,
    plan,
    planned,
    ready,
    scan_now,
    single,
    stored,
)
from tests.api.test_models_change import CHANGES

pytestmark = pytest.mark.thorough

TABLES = {"MODELS_TABLE": ("owner", "id"), "MODELS_INDEX_TABLE": ("term", "segment")}


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[None]:
    """A bucket and tables of each test's own: a rebuild looks at all that there is."""
    name = "rebuild-" + str(abs(hash(request.node.name)))
    dynamodb, s3 = boto3.client("dynamodb"), boto3.client("s3")
    for variable, keys in TABLES.items():
        table = f"{name}-{keys[0]}"
        types: Any = [{"AttributeName": key, "AttributeType": "S"} for key in keys]
        schema: Any = [
            {"AttributeName": key, "KeyType": kind} for key, kind in zip(keys, ("HASH", "RANGE"), strict=True)
        ]
        by_id: Any = [{"AttributeName": keys[1], "KeyType": "HASH"}]
        dynamodb.create_table(
            TableName=table,
            KeySchema=schema,
            AttributeDefinitions=types,
            GlobalSecondaryIndexes=[
                {"IndexName": "by_id", "KeySchema": by_id, "Projection": {"ProjectionType": "KEYS_ONLY"}}
            ],
            BillingMode="PAY_PER_REQUEST",
        )
        monkeypatch.setenv(variable, table)
    s3.create_bucket(Bucket=name)
    monkeypatch.setenv("MODELS_BUCKET", name)
    yield


@pytest.fixture
def ada(api: Callable[..., ApiClient]) -> ApiClient:
    return api("models")


def wipe(*variables: str) -> None:
    """Empty tables."""
    dynamodb = boto3.client("dynamodb")
    for variable in variables or TABLES:
        for item in items(variable):
            key = {name: item[name] for name in TABLES[variable]}
            dynamodb.delete_item(TableName=os.environ[variable], Key=key)


def rebuilt() -> int:
    """Rebuild as `make rebuild-index` does, page by page; return how many versions were missing."""
    restored, cursor = 0, None
    while True:
        page = tasks.rebuild({"cursor": cursor}, None)
        restored, cursor = restored + page["restored"], page["cursor"]
        if cursor is None:
            return restored


def reads(client: ApiClient, other: ApiClient) -> dict[str, Any]:
    """Return every read of an owner's versions, by the owner and by another."""
    urls = [f"/ai-models/{client.username}", f"/ai-models/{client.username}?limit=2"]
    urls += [f"/ai-models/search/{client.username}?{query}" for query in QUERIES]
    models = client.get(urls[0]).body["items"]
    for model in models:
        urls += [at(model, route) for route in ("", "/files", "/lineage", "/download")]
        urls += [
            f"{at(model)}&version={alias}".replace(f"?version={model['version']}&", "?") for alias in model["aliases"]
        ]
        urls += [at(model, route).split("?")[0] for route in ("", "/versions")]
    references = [f"{model['user_id']}/{model['model_id']}@{model['version']}" for model in models]
    urls.append(f"/ai-models/compare?models={','.join(references[:10])}")
    found = {f"{who.username} {url}": who.get(url) for who in (client, other) for url in dict.fromkeys(urls)}
    return {url: (answer.status, answer.body) for url, answer in found.items()}


QUERIES = [
    "query=iris",
    "query=tulip&tags=a",
    "framework=onnx",
    "is_production_ready=true",
    "tags=production",
    "query=up",
]


def planted(client: ApiClient) -> None:
    """Register versions in every state that a version can rest in, or be in for long."""
    first = ready(client, {"model.json": CONFIG, "w/notes.txt": b"x"}, tags="a,b", name="Tulip")
    client.put(at(first), CHANGES | {"files": [{"filename": "w/notes.txt", "description": "Notes."}]})
    second = ready(client, version="v2", base_model=f"{client.username}/iris@v1", tags="a")
    for alias, version in (("champion", "v1"), ("champion", "v2"), ("challenger", "v1"), ("old", "v1")):
        client.put(f"/ai-models/{client.username}/iris/aliases/{alias}", {"version": version})
    client.delete(f"/ai-models/{client.username}/iris/aliases/old")
    client.put(at(second), {"is_production_ready": True})
    ready(client, {"model.pkl": hostile()}, model_id="bad")
    planned(client, {"model.json": CONFIG}, model_id="uploading", version="v7")
    single(client, model_id="scanning")
    given_up = planned(client, {"model.json": CONFIG}, model_id="failed")
    week_ago = "2020-01-01T00:00:00.000Z"
    MODELS.settle(MODELS.get(client.username, given_up["id"]), created_at=week_ago)
    tasks.recover({"source": "aws.states", "detail": {"name": given_up["id"]}}, None)
    client.delete(at(ready(client, model_id="gone")))
    trained = ready(client, model_id="trained")
    version = MODELS.settle(
        MODELS.get(client.username, trained["id"]),
        job_id="job-1",
        metrics={"test_accuracy": 0.1 + 0.2, "loss": 1e-300},
        parameters={"epochs": 3, "deep": {"a": [1, 2.5, None]}},
        dataset_version=1,
    )
    rebuild.manifest.write(version)
    for number in range(3):
        single(client, version="auto", model_id="many", name=f"Number {number}")


def test_every_read_is_byte_equal_after_both_tables_are_lost(ada: ApiClient, api: Callable[..., ApiClient]) -> None:
    eve = api("models")
    planted(ada)
    ready(eve)
    eve.put(f"/ai-models/{eve.username}/iris", {"visibility": "shared"})
    before, records, pointers = reads(ada, eve), items("MODELS_TABLE"), stored(ada.username)
    theirs = reads(eve, ada)
    statuses = {item["status"]["S"] for item in records if "status" in item}
    assert statuses == {"ready", "blocked", "uploading", "scanning", "failed"}
    taken = storage.held_by([ada.username, eve.username])
    wipe()
    assert ada.get(f"/ai-models/{ada.username}").body["items"] == []
    assert rebuilt() == sum("status" in item for item in records)
    after = reads(ada, eve)
    assert json.dumps(after, default=repr) == json.dumps(before, default=repr)
    assert reads(eve, ada) == theirs
    assert storage.held_by([ada.username, eve.username]) == taken and len(taken) == 2
    assert [id for id in stored(ada.username) if id != "latest#gone"] == [id for id in pointers if id != "latest#gone"]
    kept = {item["id"]["S"]: item for item in records if "status" in item}
    assert {item["id"]["S"]: item for item in items("MODELS_TABLE") if "status" in item} == kept
    print(f"\n{len(before) + len(theirs)} reads of {len(kept)} versions are byte-equal")


def test_what_was_under_way_goes_on(ada: ApiClient) -> None:
    model = planned(ada, {"model.json": CONFIG})
    scanning = single(ada, model_id="scanning").body
    wipe()
    for id in (model["id"], scanning["id"]):
        boto3.client("dynamodb").delete_item(TableName=os.environ["WAITS_TABLE"], Key={"id": {"S": id}})
    assert rebuilt() == 2
    assert {model["id"], scanning["id"]} <= {id for _, id in waits.under_way("mdl-")}
    assert complete(ada, model).status == 202
    for version in (model, scanning):
        scan_now(version)
        assert ada.get(at(version)).body["status"] == "ready"


def test_work_goes_on_after_a_rebuild_as_if_nothing_had_been(ada: ApiClient) -> None:
    for _ in range(3):
        single(ada, version="auto")
    first = ready(ada, model_id="other", tags="a")
    wipe()
    rebuilt()
    assert single(ada, version="auto").body["version"] == "v4"
    assert single(ada, version="v2").status == 409
    newest = single(ada, version="v9").body
    assert ada.get(f"/ai-models/{ada.username}/iris").body["id"] == newest["id"]
    ids = [item["id"] for item in ada.get(f"/ai-models/{ada.username}").body["items"]]
    assert ids == sorted(ids, reverse=True) and len(ids) == 6
    known = {"filename": "same.json", "size": len(CONFIG), "sha256": first["files"][0]["file_hash"]}
    assert plan(ada, [known]).body["uploads"] == {"same.json": None}  # what the owner has is known again
    assert ada.delete(at(first)).status == 204
    assert objects(f"{ada.username}/other/") == {}


@pytest.mark.parametrize(
    "lost",
    [
        ["MODELS_INDEX_TABLE"],
        pytest.param(["MODELS_TABLE"], marks=pytest.mark.slow),
        pytest.param([], marks=pytest.mark.slow),
    ],
)
def test_a_table_that_was_not_lost_stays_as_it_is(
    ada: ApiClient, api: Callable[..., ApiClient], lost: list[str]
) -> None:
    planted(ada)
    eve = api("models")
    before, pointers = reads(ada, eve), stored(ada.username)
    if lost:
        wipe(*lost)
    assert rebuilt() == (len(MODELS.list(ada.username, "mdl-", 100, None).items) if lost == ["MODELS_TABLE"] else 0)
    assert reads(ada, eve) == before
    assert [id for id in stored(ada.username) if id != "latest#gone"] == [id for id in pointers if id != "latest#gone"]
    assert rebuilt() == 0  # again changes nothing
    assert reads(ada, eve) == before


def test_a_page_of_the_bucket_at_a_time(ada: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = {single(ada, version="auto").body["id"] for _ in range(5)}
    wipe()
    monkeypatch.setattr(rebuild, "PAGE", 3)
    assert rebuilt() == 5
    assert {item["id"] for item in ada.get(f"/ai-models/{ada.username}").body["items"]} == ids


def test_an_alias_moved_while_a_rebuild_runs_stays_moved(ada: ApiClient) -> None:
    for version in ("v1", "v2"):
        ready(ada, version=version)
    path = f"/ai-models/{ada.username}/iris"
    ada.put(f"{path}/aliases/champion", {"version": "v1"})
    key = f"{ada.username}/iris/v1/{rebuild.manifest.NAME}"
    stale = objects(key)[key]
    ada.put(f"{path}/aliases/champion", {"version": "v2"})
    boto3.client("s3").put_object(Bucket=os.environ["MODELS_BUCKET"], Key=key, Body=stale)  # as the rebuild read it
    rebuilt()
    assert ada.get(f"{path}?version=champion").body["version"] == "v2"


def test_the_manifest_of_another_place_is_not_taken(ada: ApiClient) -> None:
    model = ready(ada)
    key = f"{ada.username}/iris/v1/{rebuild.manifest.NAME}"
    elsewhere = key.replace("/v1/", "/v2/")
    boto3.client("s3").put_object(Bucket=os.environ["MODELS_BUCKET"], Key=elsewhere, Body=objects(key)[key])
    with pytest.raises(ValueError, match="v1"):
        rebuilt()
    assert ada.get(at(model)).body == model

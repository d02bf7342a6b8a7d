"""Lists, search, comparison and lineage through the API.

Run: python -m pytest tests/api/test_models_lists.py
"""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

from lambdas.common.ids import new_id
from lambdas.models.handler import handler
from lambdas.models.records import MODELS
from lambdas.models.schemas import MetricRange, PrimaryMetric
from tests.api.client import ApiClient
from tests.api.registry import at, plan, ready, scan_now, single

WORDS = {"search", "upload", "uploads", "compare"}


@pytest.fixture
def ada(api: Callable[..., ApiClient]) -> ApiClient:
    return api("models")


def register(client: ApiClient, **fields: Any) -> dict[str, Any]:
    """Register a version by a form, a millisecond after the one before: ids of one sort by chance."""
    before = time.time_ns() // 1_000_000
    while time.time_ns() // 1_000_000 == before:
        pass
    answer = single(client, **fields)
    assert answer.status == 200, answer.body
    return answer.body


def listed(client: ApiClient, url: str) -> list[str]:
    """The ids of all pages."""
    ids, cursor = [], ""
    while cursor is not None:
        page = client.get(f"{url}{cursor and f'&cursor={cursor}'}")
        assert page.status == 200, page.body
        ids += [item["id"] for item in page.body["items"]]
        cursor = page.body["next_cursor"]
    return ids


# --------------------------------------------------------------------------------------------------- lists


def test_lists_are_newest_first_and_page_by_skip_limit_and_cursor(ada: ApiClient) -> None:
    ids = [register(ada, model_id=f"m{number}")["id"] for number in range(7)][::-1]
    url = f"/ai-models/{ada.username}"
    assert listed(ada, f"{url}?limit=100") == ids
    assert listed(ada, f"{url}?limit=2") == ids
    assert [item["id"] for item in ada.get(url).body["items"]] == ids
    for skip, limit in ((0, 3), (2, 3), (6, 3), (7, 3), (100, 100)):
        page = ada.get(f"{url}?skip={skip}&limit={limit}").body
        assert [item["id"] for item in page["items"]] == ids[skip : skip + limit]
        assert (page["next_cursor"] is None) == (skip + limit >= len(ids))
    assert ada.get(f"{url}?limit=7").body["next_cursor"] is None


def test_a_cursor_stays_good_while_versions_come_and_go(ada: ApiClient) -> None:
    models = [register(ada, model_id=f"m{number}") for number in range(6)]
    for model in models[:4]:
        scan_now(model)
    url = f"/ai-models/{ada.username}?limit=2"
    first = ada.get(url).body
    register(ada, model_id="newer")
    assert ada.delete(at(models[3])).status == 204
    second = ada.get(f"{url}&cursor={first['next_cursor']}").body
    seen = [item["model_id"] for item in first["items"] + second["items"]]
    assert seen == ["m5", "m4", "m2", "m1"]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "limit=x", "skip=-1", "skip=10001", "cursor=***", "cursor=YQ"]
)
@pytest.mark.parametrize("route", ["", "/search"])
def test_a_page_that_cannot_be_is_refused(ada: ApiClient, query: str, route: str) -> None:
    answer = ada.get(f"/ai-models{route}/{ada.username}?{query}")
    assert (answer.status, answer.body["code"]) == (400, "bad_request")
    assert answer.body["errors"][0]["field"] == query.split("=")[0]


def test_a_summary_is_the_version_without_its_files(ada: ApiClient) -> None:
    model = ready(ada, tags="a", test_accuracy=0.5)
    (summary,) = ada.get(f"/ai-models/{ada.username}").body["items"]
    assert summary == {name: value for name, value in model.items() if name != "files"}


def test_nobodys_list_is_empty(ada: ApiClient) -> None:
    assert ada.get("/ai-models/nobody").body == {"items": [], "next_cursor": None}
    assert ada.get("/ai-models/search/nobody?query=a").body["items"] == []
    assert ada.get(f"/ai-models/{ada.username}/none/versions").status == 404


def test_versions_of_a_model_are_listed_by_themselves(ada: ApiClient) -> None:
    ids = [register(ada, version=f"v{number}")["id"] for number in range(1, 6)][::-1]
    register(ada, model_id="iris2")
    assert listed(ada, f"/ai-models/{ada.username}/iris/versions?limit=2") == ids
    one = ada.get(f"/ai-models/{ada.username}/iris2/versions").body
    assert [item["model_id"] for item in one["items"]] == ["iris2"]


# ------------------------------------------------------------------------------------------------- filters


@pytest.fixture(scope="module")
def garden(stage: None) -> tuple[ApiClient, dict[str, dict[str, Any]]]:
    """An owner with versions of many kinds, and these by their model's name."""
    owner = ApiClient(handler, new_id("job").replace("job", "user"))
    kinds: dict[str, dict[str, Any]] = {
        "rose-classifier": {"name": "Rose Classifier", "tags": "red,flower,production", "algorithm": "RandomForest"},
        "tulip": {"name": "Tülip détector", "framework": "pytorch", "model_type": "computer_vision", "tags": "red"},
        "oak_tree": {"name": "Oak", "framework": "onnx", "model_type": "regression", "description": "A TREE, an oak."},
        "x1": {"name": "Ridge 4.2", "model_type": "regression", "tags": "Flower,flower show", "algorithm": "k-means"},
    }
    made = {name: register(owner, model_id=name, **fields) for name, fields in kinds.items()}
    for name in ("rose-classifier", "oak_tree"):
        made[name] = owner.put(at(made[name]), {"is_production_ready": True}).body
    return owner, made


@pytest.mark.parametrize("route", ["", "/search"])
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["x1", "oak_tree", "tulip", "rose-classifier"]),
        ("framework=sklearn", ["x1", "rose-classifier"]),
        ("framework=keras", []),
        ("model_type=regression", ["x1", "oak_tree"]),
        ("framework=onnx&model_type=regression", ["oak_tree"]),
        ("framework=pytorch&model_type=regression", []),
        ("tags=red", ["tulip", "rose-classifier"]),
        ("tags=red,flower", ["rose-classifier"]),
        ("tags=flower, red", ["rose-classifier"]),
        ("tags=RED", ["tulip", "rose-classifier"]),
        ("tags=flower", ["x1", "rose-classifier"]),
        ("tags=flower show", ["x1"]),
        ("tags=flow", []),
        ("tags=", ["x1", "oak_tree", "tulip", "rose-classifier"]),
        ("is_production_ready=true", ["oak_tree", "rose-classifier"]),
        ("is_production_ready=false", ["x1", "tulip"]),
        ("is_production_ready=true&framework=sklearn", ["rose-classifier"]),
        ("query=rose", ["rose-classifier"]),
        ("query=ROSE", ["rose-classifier"]),
        ("query=classif", ["rose-classifier"]),
        ("query=rose class", ["rose-classifier"]),
        ("query=classifier rose", ["rose-classifier"]),
        ("query=rose tree", []),
        ("query=ose", []),
        ("query=tree", ["oak_tree"]),
        ("query=tülip", ["tulip"]),
        ("query=détect", ["tulip"]),
        ("query=show", ["x1"]),
        ("query=randomf", ["rose-classifier"]),
        ("query=means", ["x1"]),
        ("query=4.2", ["x1"]),
        ("query=oak&is_production_ready=true&model_type=regression", ["oak_tree"]),
        ("query=red", ["tulip", "rose-classifier"]),
        ("query=production&framework=sklearn&tags=production", ["rose-classifier"]),
        ("query=!!!", ["x1", "oak_tree", "tulip", "rose-classifier"]),
    ],
)
def test_filters_hold_together(garden: Any, route: str, query: str, expected: list[str]) -> None:
    owner, made = garden
    found = listed(owner, f"/ai-models{route}/{owner.username}?limit=1&{quote(query, safe='=&')}")
    assert found == [made[name]["id"] for name in expected]


def test_dates_bound_a_list_on_both_sides(garden: Any) -> None:
    owner, made = garden
    url = f"/ai-models/{owner.username}?"
    tulip, oak = (datetime.fromisoformat(made[name]["created_at"]) for name in ("tulip", "oak_tree"))
    names = {model["id"]: name for name, model in made.items()}

    def named(**bounds: datetime) -> list[str]:
        query = "&".join(f"{name}={quote(moment.isoformat())}" for name, moment in bounds.items())
        return [names[id] for id in listed(owner, url + query)]

    assert named(created_after=oak) == ["x1", "oak_tree"]
    assert named(created_before=oak) == ["tulip", "rose-classifier"]
    assert named(created_after=tulip, created_before=oak) == ["tulip"]
    assert named(created_after=oak + timedelta(days=1)) == []
    assert named(created_before=tulip - timedelta(days=1)) == []
    assert owner.get(f"{url}created_after=yesterday").status == 400


@pytest.mark.parametrize(
    "query",
    ["framework=caffe", "model_type=magic", "is_production_ready=perhaps", "query=" + "a" * 201, "tags=" + "a" * 901],
)
def test_a_filter_that_cannot_be_is_refused_by_name(ada: ApiClient, query: str) -> None:
    answer = ada.get(f"/ai-models/{ada.username}?{query}")
    assert answer.status == 400
    assert answer.body["errors"][0]["field"] == query.split("=")[0]


# -------------------------------------------------------------------------------- words that are routes


@pytest.mark.parametrize("word", sorted(WORDS))
def test_a_route_is_neither_a_user_nor_a_model(ada: ApiClient, api: Callable[..., ApiClient], word: str) -> None:
    admin = api("models", group="admin")
    accounts = api("accounts", username=word)
    body = {"username": word, "email": f"{word}@example.org", "password": "correct-horse-7"}
    assert accounts.post("/auth/register", body).status == 400
    refused = single(ada, model_id=word)
    assert (refused.status, refused.body["errors"][0]["field"]) == (400, "model_id")
    assert plan(ada, {"a": b"1"}, model_id=word).status == 400
    assert single(ada, user_id=word).status in {400, 404}
    assert single(admin, user_id=word).status == 400
    assert plan(admin, {"a": b"1"}, user_id=word).status == 400


def test_models_may_be_called_like_what_a_model_has(ada: ApiClient) -> None:
    for name in ("files", "download", "versions", "lineage", "aliases", "single", "folder"):
        model = ready(ada, model_id=name)
        assert ada.get(at(model)).body["id"] == model["id"]
        assert ada.get(at(model, "/files")).status == ada.get(at(model, "/download")).status == 200


# ---------------------------------------------------------------------------------------------- comparison


def trained(client: ApiClient, version: str, **changes: Any) -> dict[str, Any]:
    """A version with what a training job records."""
    model = ready(client, version=version)
    MODELS.settle(MODELS.get(client.username, model["id"]), **changes)
    return model


def test_versions_are_compared_side_by_side(ada: ApiClient) -> None:
    loss = MetricRange(last=0.4, min=0.2, max=0.9)
    accuracy = PrimaryMetric(name="test_accuracy", value=0.9, direction="max")
    trained(
        ada,
        "v1",
        metrics={"test_accuracy": 0.9},
        metric_ranges={"loss": loss, "test_accuracy": MetricRange(last=0.9, min=0.1, max=0.95)},
        primary_metric=accuracy,
        parameters={"epochs": 10, "depth": 3, "seed": 1},
        training_dataset="ds-1",
        dataset_version=1,
    )
    trained(ada, "v2", metrics={"test_accuracy": 0.8}, parameters={"epochs": 20, "seed": 1}, training_dataset="ds-2")
    ada.put(f"/ai-models/{ada.username}/iris?version=v2", {"training_loss": 0.1})
    references = f"{ada.username}/iris@v1,{ada.username}/iris@v2"
    body = ada.get(f"/ai-models/compare?models={references}").body
    assert [model["version"] for model in body["models"]] == ["v1", "v2"]
    assert [model["training_dataset"] for model in body["models"]] == ["ds-1", "ds-2"]
    assert all(model["model_size_mb"] >= 0 for model in body["models"])
    assert body["metrics"]["test_accuracy"] == {
        "direction": "max",
        "values": [{"last": 0.9, "best": 0.95}, {"last": 0.8, "best": 0.8}],
        "best": 0,
    }
    assert body["metrics"]["loss"] == {"direction": "min", "values": [{"last": 0.4, "best": 0.2}, None], "best": 0}
    assert body["metrics"]["training_loss"]["values"] == [None, {"last": 0.1, "best": 0.1}]
    assert list(body["parameters"]) == ["depth", "epochs", "seed"]  # those that differ come first
    assert body["parameters"]["epochs"] == {"differs": True, "values": [10, 20]}
    assert body["parameters"]["depth"] == {"differs": True, "values": [3, None]}
    assert body["parameters"]["seed"] == {"differs": False, "values": [1, 1]}


def test_an_alias_can_be_compared(ada: ApiClient) -> None:
    model = ready(ada)
    ada.put(f"/ai-models/{ada.username}/iris/aliases/champion", {"version": "v1"})
    references = f"{ada.username}/iris@champion,{ada.username}/iris@v1"
    assert [found["id"] for found in ada.get(f"/ai-models/compare?models={references}").body["models"]] == [
        model["id"],
        model["id"],
    ]


@pytest.mark.parametrize("models", ["", "a/b@v1", "a/b@v1,a/b", "a/b@v1,c", ",".join(["a/b@v1"] * 11), "a/b@v1,/@"])
def test_what_cannot_be_compared_is_refused(ada: ApiClient, models: str) -> None:
    answer = ada.get(f"/ai-models/compare?models={models}")
    assert (answer.status, answer.body["errors"][0]["field"]) == (400, "models")
    assert ada.get("/ai-models/compare").status == 400


def test_what_there_is_not_cannot_be_compared(ada: ApiClient) -> None:
    ready(ada)
    answer = ada.get(f"/ai-models/compare?models={ada.username}/iris@v1,{ada.username}/iris@v2")
    assert (answer.status, answer.body["code"]) == (404, "not_found")


# ------------------------------------------------------------------------------------------------- lineage


def test_lineage_tells_where_a_version_comes_from_and_what_came_of_it(ada: ApiClient) -> None:
    base = ready(ada)
    reference = f"{ada.username}/iris@v1"
    tuned = [ready(ada, model_id=f"tuned{number}", base_model=reference, change_note="Tuned.") for number in (1, 2)]
    told = ada.get(at(base, "/lineage")).body
    assert (told["model"], told["base_model"], told["created_at"]) == (reference, None, base["created_at"])
    assert sorted(told["derived"]) == [f"{ada.username}/tuned{number}@v1" for number in (1, 2)]
    assert (told["job_id"], told["dataset"], told["endpoints"]) == (None, None, [])
    after = ada.get(at(tuned[0], "/lineage")).body
    assert (after["base_model"], after["change_note"], after["derived"]) == (reference, "Tuned.", [])
    ada.put(at(tuned[1]), {"base_model": None, "training_dataset": "irises"})
    assert ada.get(at(base, "/lineage")).body["derived"] == [f"{ada.username}/tuned1@v1"]
    assert ada.get(at(tuned[1], "/lineage")).body["dataset"] == {"id": "irises", "version": None}


def test_lineage_of_a_trained_version_has_its_job(ada: ApiClient) -> None:
    model = trained(
        ada,
        "v1",
        job_id="job-1",
        image="tabular",
        training_dataset="ds-1",
        dataset_version=2,
        parameters={"epochs": 3},
        metrics={"test_accuracy": 0.75},
    )
    told = ada.get(at(model, "/lineage")).body
    assert (told["job_id"], told["image"], told["dataset"]) == ("job-1", "tabular", {"id": "ds-1", "version": 2})
    assert (told["parameters"], told["metrics"]) == ({"epochs": 3}, {"test_accuracy": 0.75})

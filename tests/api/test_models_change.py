"""What can be said of a version afterwards, how an alias moves, and how a version goes away.

Run: python -m pytest tests/api/test_models_change.py
"""

from collections.abc import Callable
from typing import Any

import pytest

from lambdas.common import waits
from lambdas.common.errors import Conflict
from lambdas.common.transactions import transact
from lambdas.models import service
from lambdas.models.aliases import MAX_ALIASES
from lambdas.models.records import MODELS, read_pointer
from tests.api.client import ApiClient
from tests.api.registry import (
    CONFIG,
    at,
    get,
    hostile,
    items,
    objects,
    plan,
    planned,
    postings,
    ready,
    scanned,
    single,
    stored,
    unfinished,
)

pytestmark = pytest.mark.thorough

CHANGES = {
    "name": "Updated Iris Classifier",
    "description": "Updated model with better performance",
    "framework": "onnx",
    "model_type": "clustering",
    "algorithm": "KMeans",
    "tags": ["sklearn", "production"],
    "training_accuracy": 0.5,
    "validation_accuracy": 0.25,
    "test_accuracy": 0.97,
    "training_loss": -1.5,
    "training_dataset": "iris",
    "python_version": "3.13",
    "hardware_requirements": "1 GPU",
    "base_model": "ada/flowers@v1.2",
    "change_note": "More trees.",
    "input_shape": [-1, 4],
    "output_shape": [3],
    "num_parameters": 12345678901,
    "dependencies": ["numpy==2", "pandas"],
    "custom_metadata": {"team": {"name": "flora", "size": 3}, "ratio": 0.1, "none": None, "big": 2**60},
    "is_active": False,
    "is_production_ready": True,
    "visibility": "shared",
}
NULLABLE = [
    "description",
    "algorithm",
    "training_accuracy",
    "validation_accuracy",
    "test_accuracy",
    "training_loss",
    "training_dataset",
    "python_version",
    "hardware_requirements",
    "base_model",
    "change_note",
    "input_shape",
    "output_shape",
    "num_parameters",
]


@pytest.fixture
def ada(api: Callable[..., ApiClient]) -> ApiClient:
    return api("models")


# ------------------------------------------------------------------------------------------------- changes


@pytest.mark.parametrize("field", CHANGES)
def test_every_field_can_be_changed_alone(ada: ApiClient, field: str) -> None:
    model = ready(ada, description="old", tags="old")
    answer = ada.put(at(model), {field: CHANGES[field]})
    assert answer.status == 200, answer.body
    expected = model | {field: CHANGES[field], "updated_at": answer.body["updated_at"]}
    assert answer.body == expected
    assert get(ada, model) == expected
    assert answer.body["updated_at"] > model["updated_at"]
    (listed,) = ada.get(f"/ai-models/{ada.username}").body["items"]
    assert listed == {name: value for name, value in expected.items() if name != "files"}


def test_all_fields_can_be_changed_at_once_and_the_optional_ones_cleared(ada: ApiClient) -> None:
    model = ready(ada)
    changed = ada.put(at(model), CHANGES).body
    assert {name: changed[name] for name in CHANGES} == CHANGES
    cleared = ada.put(at(model), dict.fromkeys(NULLABLE) | {"tags": [], "dependencies": [], "custom_metadata": {}}).body
    assert all(cleared[name] is None for name in NULLABLE)
    assert (cleared["tags"], cleared["dependencies"], cleared["custom_metadata"]) == ([], [], {})
    assert cleared["name"] == CHANGES["name"]
    assert get(ada, model) == cleared


def test_without_a_version_the_latest_is_changed(ada: ApiClient) -> None:
    first, second = ready(ada), ready(ada, version="v2")
    path = f"/ai-models/{ada.username}/iris"
    assert ada.put(path, {"name": "New"}).body["id"] == second["id"]
    assert ada.put(f"{path}?version=v1", {"name": "Old"}).body["id"] == first["id"]
    assert get(ada, second)["name"] == "New"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": None}, "name"),
        ({"name": " "}, "name"),
        ({"tags": None}, "tags"),
        ({"tags": "a,b"}, "tags"),
        ({"tags": ["a,b"]}, "tags"),
        ({"tags": [""]}, "tags"),
        ({"framework": None}, "framework"),
        ({"framework": "caffe"}, "framework"),
        ({"model_type": "magic"}, "model_type"),
        ({"test_accuracy": 1.5}, "test_accuracy"),
        ({"test_accuracy": "0.5x"}, "test_accuracy"),
        ({"is_active": None}, "is_active"),
        ({"is_production_ready": "perhaps"}, "is_production_ready"),
        ({"visibility": "public"}, "visibility"),
        ({"input_shape": [1.5]}, "input_shape"),
        ({"input_shape": [-2]}, "input_shape"),
        ({"input_shape": [1] * 17}, "input_shape"),
        ({"num_parameters": -1}, "num_parameters"),
        ({"dependencies": [1]}, "dependencies"),
        ({"custom_metadata": [1]}, "custom_metadata"),
        ({"custom_metadata": {"a": "x" * 16_384}}, "custom_metadata"),
        ({"base_model": "flowers"}, "base_model"),
        ({"custom_metadata": {"a": "\ud83d"}}, "custom_metadata"),
        ({"custom_metadata": {"\ud83d": 1}}, "custom_metadata"),
        ({"files": [{"filename": "\ud83d", "description": "x"}]}, "files"),
        ({"description": "x" * 4001}, "description"),
        ({"files": [{"filename": "other.json", "description": "x"}]}, "files"),
        ({"files": [{"filename": "model.json", "is_primary": False}]}, "files"),
        ({"version": "v2"}, "version"),
        ({"model_id": "other"}, "model_id"),
        ({"user_id": "eve"}, "user_id"),
        ({"status": "ready"}, "status"),
        ({"verdict": "clean"}, "verdict"),
        ({"reason": "none"}, "reason"),
        ({"aliases": ["champion"]}, "aliases"),
        ({"holds": []}, "holds"),
        ({"created_at": "2020-01-01T00:00:00Z"}, "created_at"),
        ({"unheard_of": 1}, "unheard_of"),
    ],
)
def test_a_wrong_change_is_refused_by_name(ada: ApiClient, changes: dict[str, Any], field: str) -> None:
    model = ready(ada)
    answer = ada.put(at(model), changes)
    assert (answer.status, answer.body["code"]) == (400, "bad_request")
    assert {error["field"].split(".")[0] for error in answer.body["errors"]} == {field}
    assert get(ada, model) == model


def test_infinities_and_deep_nests_are_no_metadata(ada: ApiClient) -> None:
    model = ready(ada)
    for text in ('{"custom_metadata": {"a": NaN}}', '{"custom_metadata": {"a": 1e999}}'):
        assert ada.call("PUT", at(model), text).status == 400, text
    for levels, status in ((100, 200), (101, 400), (500, 400), (5_000, 400)):
        deep = '{"custom_metadata": ' + '{"a":' * levels + "1" + "}" * levels + "}"
        assert ada.call("PUT", at(model), deep).status == status, levels
    assert ada.call("PUT", at(model), "{not json").status == 400
    assert ada.get(at(model)).status == 200


def test_files_are_described_one_by_one(ada: ApiClient) -> None:
    model = ready(ada, {"model.json": CONFIG, "weights/a.json": b"{}"})
    files = [{"filename": "weights/a.json", "description": "The first layer."}]
    changed = ada.put(at(model), {"files": files, "name": "New"}).body
    assert [file["description"] for file in changed["files"]] == [None, "The first layer."]
    assert changed["name"] == "New"
    ada.put(at(model), {"files": [{"filename": "weights/a.json", "description": None}]})
    assert [file["description"] for file in ada.get(at(model, "/files")).body] == [None, None]
    without = [{name: value for name, value in file.items() if name != "description"} for file in model["files"]]
    after = get(ada, model)["files"]
    assert [{n: v for n, v in file.items() if n != "description"} for file in after] == without


def test_changes_made_while_a_version_is_scanned_are_kept(ada: ApiClient) -> None:
    model = single(ada).body
    assert ada.put(at(model), {"name": "New", "dependencies": ["mine"]}).status == 200
    after = scanned(ada, model)
    assert (after["status"], after["name"], after["dependencies"]) == ("ready", "New", ["mine"])


def test_what_a_version_becomes_is_found_and_what_it_was_is_not(ada: ApiClient) -> None:
    model = ready(ada, name="Roses", tags="red", description="petals")

    def found(query: str) -> int:
        return len(ada.get(f"/ai-models/search/{ada.username}?{query}").body["items"])

    before = ["query=roses", "tags=red", "query=petals", "framework=sklearn", "model_type=classification"]
    after = ["query=tulips", "tags=blue", "query=stems", "framework=onnx", "model_type=nlp", "is_production_ready=true"]
    assert [found(query) for query in before + after] == [1] * 5 + [0] * 6
    changes = {"name": "Tulips", "tags": ["blue"], "description": "stems", "framework": "onnx", "model_type": "nlp"}
    ada.put(at(model), changes | {"is_production_ready": True})
    assert [found(query) for query in before + after] == [0] * 5 + [1] * 6


# ------------------------------------------------------------------------------------------------- aliases


def point(client: ApiClient, alias: str, version: dict[str, Any]) -> Any:
    path = f"/ai-models/{version['user_id']}/{version['model_id']}/aliases/{alias}"
    return client.put(path, {"version": version["version"]})


def test_an_alias_names_a_version_and_moves_to_another(ada: ApiClient) -> None:
    first, second = ready(ada), ready(ada, version="v2")
    path = f"/ai-models/{ada.username}/iris"
    assert point(ada, "champion", first).body["aliases"] == ["champion"]
    assert ada.get(f"{path}?version=champion").body["id"] == first["id"]
    assert point(ada, "champion", second).body["aliases"] == ["champion"]
    assert ada.get(f"{path}?version=champion").body["id"] == second["id"]
    assert get(ada, first)["aliases"] == []
    assert point(ada, "champion", second).status == 200  # again is no error
    assert ada.get(f"{path}/files?version=champion").status == 200
    assert ada.put(f"{path}?version=champion", {"name": "Best"}).body["id"] == second["id"]
    assert ada.delete(f"{path}/aliases/champion").status == 204
    assert ada.get(f"{path}?version=champion").status == 404
    assert ada.delete(f"{path}/aliases/champion").status == 404
    assert get(ada, second)["aliases"] == []


@pytest.mark.parametrize("alias", ["v1", "v2.0", "latest", "auto", "Champion", "a_b", "1st", "a" * 33])
def test_what_looks_like_a_version_is_no_alias(ada: ApiClient, alias: str) -> None:
    model = ready(ada)
    assert point(ada, alias, model).status == 400
    assert get(ada, model)["aliases"] == []


def test_aliases_are_many_but_not_endless(ada: ApiClient) -> None:
    model = ready(ada)
    names = [f"a{number:02}" for number in range(MAX_ALIASES)]
    assert [point(ada, name, model).status for name in names] == [200] * MAX_ALIASES
    assert get(ada, model)["aliases"] == names
    assert point(ada, "one-more", model).status == 400


def test_an_alias_of_what_there_is_not_is_refused(ada: ApiClient) -> None:
    model = ready(ada)
    assert point(ada, "champion", model | {"version": "v7"}).status == 404
    assert point(ada, "champion", model | {"version": "best"}).status == 400
    assert ada.put(f"/ai-models/{ada.username}/iris/aliases/champion", {}).status == 400
    assert read_pointer(ada.username, "alias#iris#champion") is None


# ------------------------------------------------------------------------------------------------ deletion


def test_a_deleted_version_leaves_nothing_behind(ada: ApiClient) -> None:
    for number, make in enumerate(
        (
            lambda: ready(ada, {"model.json": CONFIG, "w/a.txt": b"1"}, tags="a", base_model="ada/b@v1"),
            lambda: ready(ada, {"model.pkl": hostile()}),
            lambda: planned(ada, {"model.json": CONFIG}),
            lambda: plan(ada, {"model.json": CONFIG}).body["model"],
        )
    ):
        model = make()
        if model["status"] != "uploading":
            point(ada, "champion", model)
        assert postings(ada.username, model["id"])
        assert ada.delete(at(model)).status == 204, number
        assert ada.get(at(model)).status == 404
        assert ada.get(f"/ai-models/{ada.username}").body["items"] == []
        assert ada.get(f"/ai-models/{ada.username}/iris/versions").status == 404
        assert [id for id in stored(ada.username) if id != "latest#iris"] == []
        assert objects(ada.username) == {}
        assert unfinished(ada.username) == []
        assert postings(ada.username, model["id"]) == []
        assert model["id"] not in [id for _, id in waits.under_way("mdl-")]
        assert ada.delete(at(model)).status == 404


def test_the_lists_of_a_deleted_version_are_gone_from_the_index(ada: ApiClient) -> None:
    ada.delete(at(ready(ada, tags="a,b", description="some words")))
    left = {item["term"]["S"] for item in items("MODELS_INDEX_TABLE") if item["term"]["S"].startswith(ada.username)}
    assert left <= {f"{ada.username}#ordinals", f"{ada.username}#segments"}


def test_the_name_of_a_deleted_version_is_free(ada: ApiClient) -> None:
    first = ready(ada)
    ada.delete(at(first))
    second = ready(ada, {"model.json": b"[]"})
    assert (second["version"], second["id"] != first["id"]) == ("v1", True)
    assert ada.get(at(second, "/download") + "&filename=model.json").body == []
    assert single(ada, version="auto").body["version"] == "v2"


def test_the_only_version_needs_no_name_and_several_are_named(ada: ApiClient) -> None:
    path = f"/ai-models/{ada.username}/iris"
    first, second = ready(ada), ready(ada, version="v2")
    refused = ada.delete(path)
    assert (refused.status, refused.body["code"]) == (400, "bad_request")
    assert "v1" in refused.body["detail"] and "v2" in refused.body["detail"]
    assert refused.body["errors"][0]["field"] == "version"
    assert ada.delete(at(second)).status == 204
    assert ada.get(path).body["id"] == first["id"]
    assert ada.delete(path).status == 204
    assert ada.delete(path).status == 404
    assert ada.delete(f"{path}?version=v1").status == 404
    assert ada.delete(f"{path}?version=champion").status == 400  # an alias might move at that moment


def test_when_the_latest_goes_the_one_before_is_the_latest(ada: ApiClient) -> None:
    path = f"/ai-models/{ada.username}/iris"
    models = [ready(ada, version=f"v{number}") for number in (1, 2, 3)]
    point(ada, "champion", models[2])
    ada.delete(at(models[1]))
    assert ada.get(path).body["id"] == models[2]["id"]
    ada.delete(at(models[2]))
    assert ada.get(path).body["id"] == models[0]["id"]
    assert ada.get(f"{path}?version=champion").status == 404


def test_a_version_that_is_scanned_is_not_deleted(ada: ApiClient) -> None:
    model = single(ada).body
    answer = ada.delete(at(model))
    assert (answer.status, answer.body["code"]) == (409, "conflict")
    assert "scanned" in answer.body["detail"]
    assert get(ada, model) == model


def test_a_version_in_use_is_not_deleted_and_names_its_users(ada: ApiClient) -> None:
    model = ready(ada)
    transact(service.hold(MODELS.get(ada.username, model["id"]), "ep-1"))
    refused = ada.delete(at(model))
    assert refused.status == 409
    assert "ep-1" in refused.body["detail"]
    shown = get(ada, model)
    assert (shown["deployed"], shown["endpoints"]) == (True, ["ep-1"])
    assert ada.get(at(model, "/lineage")).body["endpoints"] == ["ep-1"]
    transact(service.release(ada.username, model["id"], "ep-1"))
    assert ada.delete(at(model)).status == 204


def test_taken_into_use_while_it_is_being_deleted_it_stays(ada: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    model = ready(ada)

    def held_a_moment_later(record: Any) -> None:
        transact(service.hold(record, "ep-1"))

    monkeypatch.setattr(MODELS, "refuse_if_held", held_a_moment_later)
    assert ada.delete(at(model)).status == 409
    assert get(ada, model)["endpoints"] == ["ep-1"]


@pytest.mark.parametrize("make", [single, planned])
def test_only_a_ready_version_can_be_held(ada: ApiClient, make: Callable[..., Any]) -> None:
    made = make(ada, {"a.json": CONFIG}) if make is planned else make(ada).body
    with pytest.raises(Conflict):
        transact(service.hold(MODELS.get(ada.username, made["id"]), "ep-1"))


def test_files_of_other_versions_stay(ada: ApiClient) -> None:
    for model_id, version in (("iris", "v1"), ("iris", "v10"), ("iris2", "v1")):
        ready(ada, model_id=model_id, version=version)
    kept = {key for key in objects(ada.username) if "/iris/v1/" not in key}
    assert ada.delete(f"/ai-models/{ada.username}/iris?version=v1").status == 204
    assert set(objects(ada.username)) == kept

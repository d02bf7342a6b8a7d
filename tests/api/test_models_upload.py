"""How models come in: the two forms, field for field, and upload plans of any size.

Run: python -m pytest tests/api/test_models_upload.py
"""

import hashlib
import os
from collections.abc import Callable
from typing import Any

import boto3
import pytest
import requests

from lambdas.common import uploads
from lambdas.models import upload
from lambdas.models.records import MODELS
from lambdas.models.schemas import StoredFile
from tests.api.client import ApiClient
from tests.api.registry import (
    CONFIG,
    FIELDS,
    at,
    complete,
    folder,
    get,
    objects,
    plan,
    planned,
    put_part,
    ready,
    scan_now,
    scanned,
    single,
    stored,
    uploaded,
)

MIB = 1024 * 1024
EXISTS = "Model with this ID and version already exists"
FRAMEWORKS = ["pytorch", "tensorflow", "sklearn", "onnx", "keras", "huggingface", "other"]
MODEL_TYPES = [
    "classification",
    "regression",
    "clustering",
    "nlp",
    "computer_vision",
    "recommendation",
    "time_series",
    "reinforcement_learning",
    "other",
]
EVERY_FIELD = {
    "description": "Tells three irises apart.\nWell.",
    "version": "v1.2.3",
    "algorithm": "RandomForest",
    "training_accuracy": 0.98,
    "validation_accuracy": 0.97,
    "test_accuracy": 0.96,
    "training_loss": 0.125,
    "python_version": "3.9",
    "hardware_requirements": "1 CPU, 2 GB",
    "training_dataset": "iris",
    "base_model": "ada/flowers@v1",
    "change_note": "The first.",
}


@pytest.fixture
def ada(api: Callable[..., ApiClient]) -> ApiClient:
    return api("models")


# --------------------------------------------------------------------------------------------------- forms


@pytest.mark.parametrize("send", [single, lambda client, **fields: folder(client, {"model.json": CONFIG}, **fields)])
def test_every_field_of_a_form_is_stored_and_shown(ada: ApiClient, send: Callable[..., Any]) -> None:
    answer = send(ada, **EVERY_FIELD, user_id=ada.username, tags="sklearn, iris,sklearn,", name="  Iris ")
    assert answer.status == 200, answer.body
    expected = FIELDS | EVERY_FIELD | {"user_id": ada.username, "tags": ["sklearn", "iris"], "name": "Iris"}
    assert {name: answer.body[name] for name in expected} == expected
    assert {name: get(ada, answer.body)[name] for name in expected} == expected


def test_what_is_left_out_of_a_form_has_the_documented_values(ada: ApiClient) -> None:
    model = single(ada, framework=None, model_type=None).body
    assert (model["user_id"], model["version"], model["framework"]) == (ada.username, "v1", "other")
    assert (model["model_type"], model["tags"], model["status"]) == ("other", [], "scanning")
    assert (model["verdict"], model["visibility"], model["reason"]) == ("unscanned", "private", None)
    assert (model["is_active"], model["is_production_ready"], model["aliases"]) == (True, False, [])
    assert (model["custom_metadata"], model["dependencies"], model["endpoints"]) == ({}, [], [])
    assert model["created_at"] <= model["updated_at"]
    assert model["primary_file_path"] == f"{ada.username}/iris/v1/model.json"
    assert all(model[name] is None for name in EVERY_FIELD if name != "version")


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_every_framework_may_be_declared(ada: ApiClient, framework: str) -> None:
    assert single(ada, framework=framework).body["framework"] == framework


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_every_type_may_be_declared(ada: ApiClient, model_type: str) -> None:
    assert single(ada, model_type=model_type).body["model_type"] == model_type


@pytest.mark.parametrize(
    ("extension", "framework"),
    [
        (".pkl", "sklearn"),
        (".joblib", "sklearn"),
        (".onnx", "onnx"),
        (".h5", "keras"),
        (".hdf5", "keras"),
        (".pb", "tensorflow"),
        (".pth", "pytorch"),
        (".pt", "pytorch"),
        (".bin", "huggingface"),
        (".safetensors", "huggingface"),
        (".PKL", "sklearn"),
        (".json", "other"),
        (".yaml", "other"),
        (".yml", "other"),
        (".txt", "other"),
        (".md", "other"),
        ("", "other"),
    ],
)
def test_an_extension_says_the_framework_where_nobody_else_does(ada: ApiClient, extension: str, framework: str) -> None:
    model = single(ada, b"some bytes", f"model{extension}", framework=None).body
    assert model["framework"] == framework
    assert model["files"][0]["file_type"] == extension.lower()
    assert scanned(ada, model)["detected_framework"] == (None if framework == "other" else framework)


def test_the_framework_of_a_folder_is_that_of_its_primary_file(ada: ApiClient) -> None:
    assert folder(ada, {"config.json": CONFIG, "model.onnx": b"x"}, framework=None).body["framework"] == "other"
    assert folder(ada, {"model.onnx": b"x"}, framework=None, version="v2").body["framework"] == "onnx"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"framework": "caffe"}, "framework"),
        ({"framework": "SKLEARN"}, "framework"),
        ({"model_type": "magic"}, "model_type"),
        ({"model_id": None}, "model_id"),
        ({"model_id": ""}, "model_id"),
        ({"model_id": "Iris"}, "model_id"),
        ({"model_id": "a/b"}, "model_id"),
        ({"model_id": "a" * 64}, "model_id"),
        ({"model_id": "search"}, "model_id"),
        ({"model_id": "upload"}, "model_id"),
        ({"model_id": "uploads"}, "model_id"),
        ({"model_id": "compare"}, "model_id"),
        ({"name": None}, "name"),
        ({"name": "  "}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "n" * 121}, "name"),
        ({"version": "1"}, "version"),
        ({"version": "v1.2.3.4"}, "version"),
        ({"version": "latest"}, "version"),
        ({"version": "v1/../v2"}, "version"),
        ({"user_id": "Ada Lovelace"}, "user_id"),
        ({"tags": ",".join(f"t{n}" for n in range(21))}, "tags"),
        ({"tags": "t" * 41}, "tags"),
        ({"test_accuracy": "high"}, "test_accuracy"),
        ({"training_accuracy": 1.01}, "training_accuracy"),
        ({"validation_accuracy": -0.1}, "validation_accuracy"),
        ({"training_loss": "nan"}, "training_loss"),
        ({"is_primary": "perhaps"}, "is_primary"),
        ({"base_model": "bert"}, "base_model"),
        ({"status": "ready"}, "status"),
        ({"owner": "eve"}, "owner"),
        ({"verdict": "clean"}, "verdict"),
        ({"zip_file": "x"}, "zip_file"),
    ],
)
def test_a_wrong_field_of_a_form_is_refused_by_name(ada: ApiClient, fields: dict[str, Any], field: str) -> None:
    answer = single(ada, **fields)
    assert (answer.status, answer.body["code"]) == (400, "bad_request")
    assert field in answer.body["detail"]
    assert {error["field"].split(".")[0] for error in answer.body["errors"]} == {field}
    assert stored(ada.username) == []


def test_a_form_without_its_file_is_refused(ada: ApiClient) -> None:
    for route, name in (("single", "file"), ("folder", "zip_file")):
        answer = ada.post_form(f"/ai-models/upload/{route}", {"other": ("a.txt", b"")}, FIELDS)
        assert answer.status == 400
        assert name in {error["field"] for error in answer.body["errors"]}
    text = ada.post_form("/ai-models/upload/single", {"x": ("a.txt", b"")}, FIELDS | {"file": "no file"})
    assert (text.status, text.body["code"]) == (400, "bad_request")
    assert ada.post("/ai-models/upload/single", FIELDS).status == 400  # JSON is no form


@pytest.mark.parametrize("versions", [["v1", "v1.0", "v1.0.0", "v2", "v01"]])
def test_versions_that_are_spelled_differently_are_different_ones(ada: ApiClient, versions: list[str]) -> None:
    for version in versions:
        assert single(ada, version.encode(), "model.txt", version=version).status == 200
    for version in versions:
        found = ada.get(f"/ai-models/{ada.username}/iris/download?version={version}&filename=model.txt")
        assert found.body == version  # what was sent under that name


def test_a_name_that_is_taken_is_a_conflict_in_the_seeds_words(ada: ApiClient, api: Callable[..., ApiClient]) -> None:
    assert single(ada).status == 200
    for answer in (
        single(ada, b"other"),
        folder(ada, {"a.json": b"{}"}),
        plan(ada, {"a.json": b"{}"}, version="v1"),
        single(ada, version="v1"),
    ):
        assert (answer.status, answer.body["detail"]) == (409, EXISTS)
    assert ada.get(f"/ai-models/{ada.username}/iris/download?filename=model.json").body["layers"] == 3
    assert single(api("models")).status == 200  # of another owner


def test_automatic_numbers_go_on_after_the_largest_there_is(ada: ApiClient) -> None:
    names = [single(ada, version=wanted).body["version"] for wanted in ("auto", "v7", "auto", "v8.1", "auto")]
    assert names == ["v1", "v7", "v8", "v8.1", "v9"]
    assert single(ada, model_id="other", version="auto").body["version"] == "v1"
    assert plan(ada, {"a": b"1"}).body["model"]["version"] == "v10"  # of a plan the default


def test_a_form_brings_four_mebibytes_and_says_where_more_goes(ada: ApiClient) -> None:
    most = os.urandom(4 * MIB)
    assert single(ada, most, "weights.bin").body["files"][0]["file_size"] == 4 * MIB
    for answer in (single(ada, most + b"1", version="v2"), folder(ada, most + b"1", version="v2")):
        assert (answer.status, answer.body["code"]) == (413, "too_large")
        assert "POST /ai-models/uploads" in answer.body["detail"]
    assert single(ada, version="v2").status == 200  # the name was not used up


def test_one_marked_file_is_primary_and_so_is_the_only_one(ada: ApiClient) -> None:
    for number, marked in enumerate(("true", "false", None)):
        model = single(ada, model_id=f"m{number}", is_primary=marked).body
        assert model["files"][0]["is_primary"]


def test_registering_for_another_is_for_admins(ada: ApiClient, api: Callable[..., ApiClient]) -> None:
    eve = api("models")
    assert single(eve, user_id=ada.username).status == 404
    assert plan(eve, {"a": b"1"}, user_id=ada.username).status == 404
    model = single(api("models", group="admin"), user_id=ada.username).body
    assert (model["user_id"], get(ada, model)["id"]) == (ada.username, model["id"])


@pytest.mark.parametrize("name", ["../model.pkl", "/etc/passwd", "a//b", ".slipway/registry.json", "a\\b", "a/./b"])
def test_a_filename_that_leads_elsewhere_is_refused(ada: ApiClient, name: str) -> None:
    for answer in (plan(ada, {name: b"1"}), folder(ada, {name: b"1"})):
        assert answer.status == 400, answer.body
        assert answer.body["errors"]
    assert stored(ada.username) == []
    assert objects(ada.username) == {}


# ------------------------------------------------------------------------------------------------- folders

WEIGHTS = {
    "model.pth": b"weights",
    "weights/layer1.pth": b"1",
    "weights/deep/layer2.pth": b"22",
    "config.yaml": b"a: 1",
}


def test_a_folder_keeps_its_structure(ada: ApiClient) -> None:
    model = folder(ada, WEIGHTS).body
    assert [file["filename"] for file in model["files"]] == list(WEIGHTS)
    assert [file["is_primary"] for file in model["files"]] == [True, False, False, False]
    prefix = f"{ada.username}/iris/v1/"
    kept = {key: body for key, body in objects(prefix).items() if "/.slipway/" not in key}
    assert kept == {prefix + name: body for name, body in WEIGHTS.items()}
    assert [file["file_path"] for file in model["files"]] == [prefix + name for name in WEIGHTS]


def test_a_folder_is_flattened_on_request(ada: ApiClient) -> None:
    model = folder(ada, WEIGHTS, preserve_structure="false").body
    assert [file["filename"] for file in model["files"]] == ["model.pth", "layer1.pth", "layer2.pth", "config.yaml"]


def test_two_files_that_would_be_one_are_refused_by_name(ada: ApiClient) -> None:
    answer = folder(ada, {"a/model.pth": b"1", "b/model.pth": b"2"}, preserve_structure="false")
    assert answer.status == 400
    assert "a/model.pth" in answer.body["detail"] and "b/model.pth" in answer.body["detail"]
    assert stored(ada.username) == []


@pytest.mark.parametrize("content", [b"", b"no archive", {}])
def test_what_is_no_zip_or_empty_is_refused(ada: ApiClient, content: Any) -> None:
    answer = folder(ada, content)
    assert (answer.status, answer.body["code"]) == (400, "bad_request")
    assert stored(ada.username) == []


# --------------------------------------------------------------------------------------------------- plans


def test_a_plan_brings_files_of_any_size(ada: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "PART_BYTES", 5 * MIB)  # the least that S3 takes
    files = {"weights/model.bin": os.urandom(6 * MIB), "config.json": CONFIG, "empty.txt": b""}
    model = uploaded(ada, files, tags=["big"], **{n: v for n, v in EVERY_FIELD.items() if n != "version"})
    assert (model["status"], model["version"], model["tags"]) == ("ready", "v1", ["big"])
    assert {name: model[name] for name in EVERY_FIELD if name != "version"} == {
        name: value for name, value in EVERY_FIELD.items() if name != "version"
    }
    hashes = {file["filename"]: file["file_hash"] for file in model["files"]}
    assert hashes == {name: hashlib.sha256(body).hexdigest() for name, body in files.items()}
    assert model["model_size_mb"] == round(sum(map(len, files.values())) / 1e6, 3)
    kept = objects(f"{ada.username}/iris/v1/")
    assert all(kept[f"{ada.username}/iris/v1/{name}"] == body for name, body in files.items())


def test_an_upload_goes_on_where_it_was_interrupted(ada: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "PART_BYTES", 5 * MIB)
    files = {"model.bin": os.urandom(6 * MIB), "config.json": CONFIG}
    started = plan(ada, files).body
    assert (started["model"]["status"], started["model"]["file_count"]) == ("uploading", 2)
    first, second = started["uploads"]["model.bin"]["parts"]
    assert put_part(second, files["model.bin"]).ok
    early = complete(ada, started["model"])
    assert (early.status, early.body["code"]) == (400, "bad_request")
    assert "model.bin: 1 of 2 parts" in early.body["detail"] and "config.json: 1 of 1" in early.body["detail"]
    resumed = ada.get(f"/ai-models/uploads/{started['model']['id']}").body["uploads"]
    assert [part["number"] for part in resumed["model.bin"]["parts"]] == [first["number"]]
    for name, left in resumed.items():
        assert put_part(left["parts"][0], files[name]).ok
    assert complete(ada, started["model"]).body["status"] == "scanning"
    assert complete(ada, started["model"]).status == 202  # again is no error
    assert ada.get(f"/ai-models/uploads/{started['model']['id']}").status == 409
    scan_now(started["model"])
    assert complete(ada, started["model"]).body["status"] == "ready"


def test_a_complete_that_died_half_way_is_finished_by_the_next(ada: ApiClient) -> None:
    model = planned(ada, {"a.json": CONFIG, "b.json": CONFIG})
    version = MODELS.get(ada.username, model["id"])
    assert upload.make_file(version, upload.read_plan(version)[0]) is None  # and then the function was killed
    left = ada.get(f"/ai-models/uploads/{model['id']}").body["uploads"]
    assert (left["a.json"]["missing"], left["a.json"]["parts"]) == (0, [])
    assert complete(ada, model).body["status"] == "scanning"


def test_a_form_on_its_way_is_no_upload_to_complete(ada: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(upload, "put_file", lambda file, body: 1 / 0)
        assert single(ada).status == 500
    (model,) = ada.get(f"/ai-models/{ada.username}").body["items"]
    assert complete(ada, model).status == 409
    assert ada.get(f"/ai-models/uploads/{model['id']}").status == 409


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ([{"filename": "a", "is_primary": True}, {"filename": "b", "is_primary": True}], ["a", "b", "primary"]),
        ([{"filename": "a"}, {"filename": "a"}], ["a", "twice"]),
        ([{"filename": "Weights.bin"}, {"filename": "weights.bin"}], ["eights.bin", "twice"]),
        ([{"filename": "weights"}, {"filename": "weights/one.bin"}], ["weights"]),
    ],
)
def test_files_that_clash_are_refused(ada: ApiClient, files: list[dict[str, Any]], words: list[str]) -> None:
    answer = plan(ada, [{"size": 1} | file for file in files])
    assert answer.status == 400, answer.body
    assert all(word in answer.body["detail"] for word in words)
    assert stored(ada.username) == []


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"files": []}, "files"),
        ({"files": [{"filename": "a", "size": -1}]}, "files"),
        ({"files": [{"filename": "a"}]}, "files"),
        ({"files": [{"filename": "a", "size": 1, "sha256": "abc"}]}, "files"),
        ({"files": [{"filename": "a", "size": 1, "key": "x"}]}, "files"),
        ({"framework": "caffe"}, "framework"),
        ({"tags": "a,b"}, "tags"),
        ({"model_id": "uploads"}, "model_id"),
        ({"status": "ready"}, "status"),
    ],
)
def test_a_wrong_field_of_a_plan_is_refused_by_name(ada: ApiClient, changes: dict[str, Any], field: str) -> None:
    body = FIELDS | {"files": [{"filename": "a", "size": 1}]} | changes
    answer = ada.post("/ai-models/uploads", body)
    assert answer.status == 400, answer.body
    assert {error["field"].split(".")[0] for error in answer.body["errors"]} == {field}
    assert stored(ada.username) == []


def test_the_marked_file_is_primary_else_the_first(ada: ApiClient) -> None:
    files = [{"filename": "a", "size": 1}, {"filename": "b", "size": 1, "is_primary": True, "description": "The one."}]
    model = plan(ada, files).body["model"]
    assert model["primary_file_path"] == f"{ada.username}/iris/v1/b"
    assert [(file["is_primary"], file["description"]) for file in model["files"]] == [(False, None), (True, "The one.")]
    assert plan(ada, {"a": b"1", "b": b"2"}).body["model"]["files"][0]["is_primary"]


def test_more_than_the_stage_takes_is_too_large(ada: ApiClient) -> None:
    sizes = [{"filename": "a", "size": 3 * 1024**3}, {"filename": "b", "size": 2 * 1024**3 + 1}]
    answer = plan(ada, sizes)
    assert (answer.status, answer.body["code"]) == (413, "too_large")
    assert f"{5 * 1024**3:,}" in answer.body["detail"]
    assert stored(ada.username) == []


def test_an_upload_of_somebody_else_is_absent(ada: ApiClient, api: Callable[..., ApiClient]) -> None:
    model = planned(ada, {"a.json": CONFIG})
    eve, viewer = api("models"), api("models", group="viewer")
    for path, method in (
        (f"/ai-models/uploads/{model['id']}", "GET"),
        (f"/ai-models/uploads/{model['id']}/complete", "POST"),
    ):
        assert eve.call(method, path).status == 404
        assert viewer.call(method, path).status == 403
        assert ada.call(method, path.replace(model["id"], "mdl-0000000000000000000")).status == 404
    assert complete(api("models", group="admin"), model).status == 202


# ------------------------------------------------------------------------------------- files never change


def test_no_url_and_no_key_is_written_twice(ada: ApiClient) -> None:
    files = {"model.json": CONFIG}
    started = plan(ada, files).body
    part = started["uploads"]["model.json"]["parts"][0]
    assert requests.put(part["url"], data=CONFIG + b" ", timeout=20).status_code == 403  # of another size
    assert put_part(part, files["model.json"]).ok
    assert complete(ada, started["model"]).status == 202
    before = get(ada, started["model"])
    assert put_part(part, files["model.json"]).status_code == 404  # the URL is used up
    other = part["url"].replace("model.json", "other.json")
    assert requests.put(other, data=CONFIG, timeout=20).status_code in {403, 404}
    file = StoredFile.model_validate(before["files"][0])
    with pytest.raises(boto3.client("s3").exceptions.ClientError, match="PreconditionFailed"):
        upload.put_file(file, b"something else")
    assert objects(file.file_path) == {file.file_path: CONFIG}
    assert get(ada, started["model"]) == before


# ----------------------------------------------------------------------------------------- de-duplication


def test_a_file_that_the_owner_has_needs_no_bytes(ada: ApiClient) -> None:
    content = os.urandom(2000)
    first = ready(ada, {"weights.bin": content})
    known = {"filename": "same.bin", "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    started = plan(ada, [known, {"filename": "new.json", "size": len(CONFIG)}]).body
    assert started["uploads"]["same.bin"] is None
    assert put_part(started["uploads"]["new.json"]["parts"][0], CONFIG).ok
    assert complete(ada, started["model"]).status == 202
    second = scanned(ada, started["model"])
    assert second["files"][0]["file_hash"] == first["files"][0]["file_hash"]
    assert second["files"][0]["verdict"] == first["files"][0]["verdict"]
    assert objects(f"{ada.username}/iris/{second['version']}/same.bin") != {}
    assert ada.delete(at(first)).status == 204  # the copy is one of its own
    assert objects(f"{ada.username}/iris/{second['version']}/same.bin").popitem()[1] == content


@pytest.mark.parametrize("why", ["another owner's", "of another size", "deleted", "not scanned"])
def test_a_hash_alone_gives_nobody_a_file(ada: ApiClient, api: Callable[..., ApiClient], why: str) -> None:
    content, client = os.urandom(2000), ada
    size, sha256 = len(content), hashlib.sha256(content).hexdigest()
    if why == "not scanned":
        single(ada, content, "weights.bin")
    else:
        model = ready(ada, {"weights.bin": content})
        if why == "deleted":
            ada.delete(at(model))
    if why == "another owner's":
        client = api("models")
    if why == "of another size":
        size -= 1
    started = plan(client, [{"filename": "same.bin", "size": size, "sha256": sha256}])
    assert started.body["uploads"]["same.bin"]["missing"] == 1

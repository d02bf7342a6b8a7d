"""What the registry says of a version, and how its files go out.

Run: python -m pytest tests/api/test_models_read.py
"""

import hashlib
import json
import os
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import quote, unquote

import pytest
import requests

from lambdas.common import workflows
from lambdas.models import downloads, tasks
from lambdas.models.records import MODELS
from tests.api.client import ApiClient
from tests.api.registry import (
    CONFIG,
    at,
    forest,
    get,
    hostile,
    objects,
    plan,
    planned,
    ready,
    single,
    unzipped,
    uploaded,
)

MIB = 1024 * 1024
SEED_FIELDS = {  # of the seed's schema: name -> the types that its value may have
    "model_id": str,
    "user_id": str,
    "name": str,
    "description": str | None,
    "version": str,
    "framework": str,
    "model_type": str,
    "algorithm": str | None,
    "files": list,
    "primary_file_path": str | None,
    "input_shape": list | None,
    "output_shape": list | None,
    "num_parameters": int | None,
    "model_size_mb": float,
    "training_dataset": str | None,
    "training_accuracy": float | None,
    "validation_accuracy": float | None,
    "test_accuracy": float | None,
    "training_loss": float | None,
    "python_version": str | None,
    "dependencies": list,
    "hardware_requirements": str | None,
    "tags": list,
    "custom_metadata": dict,
    "created_at": str,
    "updated_at": str,
    "is_active": bool,
    "is_production_ready": bool,
}
SEED_FILE_FIELDS = {
    "filename": str,
    "file_path": str,
    "file_size": int,
    "file_type": str,
    "file_hash": str | None,
    "content_type": str,
    "is_primary": bool,
    "description": str | None,
}
FOLDER = {
    "model.pkl": b"",
    "weights/layer1.bin": b"\x00\x01" * 500,
    "config.json": CONFIG,
    "requirements.txt": b"numpy\n",
}


@pytest.fixture
def ada(api: Callable[..., ApiClient]) -> ApiClient:
    return api("models")


def bytes_of(body: Any) -> bytes:
    """Return a downloaded body as it was sent: the client parses and decodes what it can."""
    return body if isinstance(body, bytes) else body.encode()


def stored_as(disposition: str) -> str:
    """Return the name under which a client stores a download, by RFC 6266."""
    encoded = re.search(r"filename\*=UTF-8''(\S+)", disposition)
    plain = re.fullmatch(r'attachment; filename="([^"]*)".*', disposition)
    assert plain, disposition
    return unquote(encoded[1]) if encoded else plain[1]


# ------------------------------------------------------------------------------------------------ metadata


def test_a_version_has_every_field_of_the_schema(ada: ApiClient) -> None:
    model = ready(ada, FOLDER | {"model.pkl": forest()}, tags="a,b", test_accuracy=0.9)
    for fields, record in ((SEED_FIELDS, model), *((SEED_FILE_FIELDS, file) for file in model["files"])):
        for name, kind in fields.items():
            assert isinstance(record[name], kind), name
    assert datetime.fromisoformat(model["created_at"]) <= datetime.fromisoformat(model["updated_at"])
    assert (model["file_count"], model["model_size_mb"]) == (4, round((len(forest()) + 1000 + 13 + 6) / 1e6, 3))
    assert model["dependencies"] == ["numpy"]


def test_what_is_the_registrys_own_is_not_shown(ada: ApiClient) -> None:
    model = get(ada, ready(ada))
    hidden = {"owner", "holds", "revision", "schema_version", "ordinal", "indexed", "size_bytes", "image_uri"}
    assert not hidden & set(model)
    assert not {"crc32", "scanned", "metadata", "framework"} & set(model["files"][0])


def test_an_honest_forest_is_ready_and_clean(ada: ApiClient) -> None:
    model = ready(ada, {"model.pkl": forest()})
    assert (model["status"], model["verdict"], model["reason"]) == ("ready", "clean", None)
    assert (model["framework"], model["detected_framework"]) == ("sklearn", "sklearn")
    (file,) = model["files"]
    assert (file["verdict"], file["findings"], file["file_type"]) == ("clean", [], ".pkl")
    assert file["file_hash"] == hashlib.sha256(forest()).hexdigest()


def test_a_pickle_that_would_run_a_command_is_blocked_with_the_reason(ada: ApiClient) -> None:
    model = ready(ada, {"config.json": CONFIG, "model.pkl": hostile()})
    assert (model["status"], model["verdict"]) == ("blocked", "malicious")
    assert "model.pkl" in model["reason"] and "system" in model["reason"]
    verdicts = {file["filename"]: file["verdict"] for file in model["files"]}
    assert verdicts == {"config.json": "clean", "model.pkl": "malicious"}
    assert model["files"][1]["findings"][0]["severity"] == "malicious"
    assert not os.path.exists("/tmp/slipway-was-here")


def test_a_declared_framework_stays_beside_the_detected_one(ada: ApiClient) -> None:
    header = json.dumps({"w": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}).encode()
    tensors = len(header).to_bytes(8, "little") + header + bytes(24)
    model = ready(ada, {"model.pkl": tensors}, framework="pytorch")  # its name and its owner are wrong
    assert (model["framework"], model["files"][0]["format"]) == ("pytorch", "safetensors")
    assert (model["detected_framework"], model["num_parameters"]) == ("huggingface", 6)


def test_files_are_listed_with_hash_and_type(ada: ApiClient) -> None:
    model = ready(ada, FOLDER | {"model.pkl": forest()})
    files = ada.get(at(model, "/files"))
    assert (files.status, files.body) == (200, model["files"])
    assert [file["file_type"] for file in files.body] == [".pkl", ".bin", ".json", ".txt"]
    assert [file["content_type"] for file in files.body][2:] == ["application/json", "text/plain"]


@pytest.mark.parametrize("route", ["", "/files", "/download", "/lineage"])
def test_what_there_is_not_is_absent(ada: ApiClient, route: str) -> None:
    ready(ada)
    for path in (
        f"{ada.username}/other{route}",
        f"{ada.username}/iris{route}?version=v2",
        f"{ada.username}/iris{route}?version=champion",
        f"nobody/iris{route}",
    ):
        answer = ada.get(f"/ai-models/{path}")
        assert (answer.status, answer.body["code"]) == (404, "not_found"), path
        assert answer.body["detail"] and answer.body["request_id"]
    assert ada.get(f"/ai-models/{ada.username}/iris{route}?version=V1").status == 400
    assert ada.get(f"/ai-models/{ada.username}/iris{route}?version=v1&version=v2").status == 400


def test_the_latest_is_the_newest_whose_files_are_there(ada: ApiClient) -> None:
    path = f"/ai-models/{ada.username}/iris"
    first = planned(ada, {"a.json": CONFIG}, version="v9")
    assert ada.get(path).status == 404
    second = ready(ada, version="v2")
    assert ada.get(path).body["id"] == second["id"]
    ada.post(f"/ai-models/uploads/{first['id']}/complete")
    assert ada.get(path).body["id"] == second["id"]  # registered later, whatever its name
    third = single(ada, version="v1").body
    assert ada.get(path).body["id"] == third["id"]
    assert ada.get(f"{path}?version=v9").body["id"] == first["id"]


# ----------------------------------------------------------------------------------------------- downloads


def test_one_file_is_downloaded_as_it_was_uploaded(ada: ApiClient) -> None:
    files = FOLDER | {"model.pkl": forest()}
    model = ready(ada, files)
    for name in ("model.pkl", "weights/layer1.bin", "requirements.txt"):
        answer = ada.get(at(model, "/download") + f"&filename={quote(name)}")
        assert (answer.status, bytes_of(answer.body)) == (200, files[name])
        base = name.rsplit("/", 1)[-1]
        assert answer.headers["content-disposition"] == f'attachment; filename="{base}"'
    assert answer.headers["content-type"].startswith("text/plain")


def test_all_files_are_downloaded_as_one_zip(ada: ApiClient) -> None:
    files = FOLDER | {"model.pkl": forest(), "empty.txt": b""}
    model = ready(ada, files)
    answer = ada.get(at(model, "/download"))
    assert (answer.status, answer.headers["content-type"]) == (200, "application/zip")
    assert answer.headers["content-disposition"] == 'attachment; filename="iris-v1.zip"'
    assert unzipped(bytes_of(answer.body)) == files
    assert ada.get(at(model, "/download")).body == answer.body
    assert unzipped(bytes_of(ada.get(f"/ai-models/{ada.username}/iris/download").body)) == files  # the latest


def test_a_file_that_there_is_not_is_absent_and_the_others_are_named(ada: ApiClient) -> None:
    model = ready(ada, FOLDER)
    answer = ada.get(at(model, "/download") + "&filename=model.onnx")
    assert (answer.status, answer.body["code"]) == (404, "not_found")
    assert "model.onnx" in answer.body["detail"] and "config.json" in answer.body["detail"]
    for name in (".slipway/registry.json", "../v1/config.json", "config.json/"):
        assert ada.get(at(model, "/download") + f"&filename={quote(name)}").status == 404


@pytest.mark.parametrize("name", ["modèle.bin", "模型.bin", "my model (1).bin", "a'b&c.bin", 'a"b.bin', "100%.bin"])
def test_a_name_may_be_in_any_language(ada: ApiClient, name: str) -> None:
    content = {name: b"\x00\xff" * 50}
    model = uploaded(ada, content)
    answer = ada.get(at(model, "/download") + f"&filename={quote(name)}")
    assert (answer.status, bytes_of(answer.body)) == (200, content[name])
    assert stored_as(answer.headers["content-disposition"]) == name
    assert unzipped(bytes_of(ada.get(at(model, "/download")).body)) == content


def test_what_is_not_uploaded_yet_cannot_be_downloaded(ada: ApiClient) -> None:
    model = plan(ada, {"a.json": CONFIG}).body["model"]
    for query in ("", "&filename=a.json"):
        answer = ada.get(at(model, "/download") + query)
        assert (answer.status, answer.body["code"]) == (409, "conflict")
        assert "uploading" in answer.body["detail"]


def test_a_large_file_comes_from_s3_by_redirect(ada: ApiClient) -> None:
    files = {"weights.bin": os.urandom(4 * MIB + 1), "config.json": CONFIG}
    model = uploaded(ada, files)
    answer = ada.get(at(model, "/download") + "&filename=weights.bin")
    assert (answer.status, answer.body) == (302, "")
    file = requests.get(answer.headers["location"], timeout=20)
    assert file.content == files["weights.bin"]
    assert 'filename="weights.bin"' in file.headers["Content-Disposition"]
    assert ada.get(at(model, "/download") + "&filename=config.json").status == 200


def test_a_large_version_is_zipped_in_s3_once(ada: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "WAIT_SECONDS", 0)
    files = {"weights/model.bin": os.urandom(5 * MIB), "config.json": CONFIG}
    model = uploaded(ada, files)
    early = ada.get(at(model, "/download"))
    assert (early.status, early.body["code"], early.headers["retry-after"]) == (503, "unavailable", "5")
    tasks.archive({"owner": ada.username, "id": model["id"]}, None)  # what the workflow does
    first, second = (ada.get(at(model, "/download")) for _ in range(2))
    assert (first.status, second.status) == (302, 302)
    archive = requests.get(first.headers["location"], timeout=20)
    assert unzipped(archive.content) == files
    assert 'filename="iris-v1.zip"' in archive.headers["Content-Disposition"]
    made = [key for key in objects(f"{ada.username}/iris/v1/.slipway/") if "archive" in key]
    assert len(made) == 1
    assert ada.get(at(model, "/files")).body == model["files"]  # the archive is no file of the version


def test_a_blocked_version_is_its_owners_alone(ada: ApiClient, api: Callable[..., ApiClient]) -> None:
    model = ready(ada, {"model.pkl": hostile()})
    assert ada.put(at(model), {"visibility": "shared"}).status == 200
    eve = api("models")
    assert eve.get(at(model)).body["verdict"] == "malicious"
    for query in ("", "&filename=model.pkl"):
        refused = eve.get(at(model, "/download") + query)
        assert (refused.status, refused.body["code"]) == (409, "conflict")
        assert "blocked" in refused.body["detail"]
        assert ada.get(at(model, "/download") + query).status == 200


# -------------------------------------------------------------------------------------------------- scans


def test_scanning_again_changes_nothing(ada: ApiClient) -> None:
    model = ready(ada)
    event = {"owner": ada.username, "id": model["id"]}
    assert tasks.process(event | {"step": "next"}, None)["files"] == []
    tasks.process(event | {"step": "finish"}, None)
    assert get(ada, model) == model
    gone = {"owner": ada.username, "id": "mdl-0000000000000000000", "step": "next"}
    assert tasks.process(gone, None)["files"] == []


def test_a_file_that_breaks_the_scanner_leaves_its_version_unscanned(ada: ApiClient) -> None:
    model = single(ada).body
    event = {"owner": ada.username, "id": model["id"]}
    tasks.process(event | {"step": "next"}, None)
    reports = [
        {"filename": "model.json", "error": "Lambda.Unknown: killed"},
        {"filename": "other.json", "verdict": "clean"},
    ]
    tasks.process(event | {"step": "record", "reports": reports}, None)
    tasks.process(event | {"step": "finish"}, None)
    after = get(ada, model)
    assert (after["status"], after["verdict"], len(after["files"])) == ("ready", "unscanned", 1)
    assert after["files"][0]["findings"][0]["code"] == "not_scanned"


@pytest.mark.parametrize(
    "said",
    [
        {"verdict": "harmless"},
        {"verdict": "clean", "sha256": "no hash"},
        {"verdict": "clean", "framework": "caffe"},
        {"verdict": "clean", "metadata": {"input_shape": ["a"]}},
        {"verdict": "clean", "findings": [{"severity": "terrible", "code": "x", "message": "x"}]},
    ],
)
def test_a_report_that_makes_no_sense_is_no_report(ada: ApiClient, said: dict[str, Any]) -> None:
    model = single(ada).body
    event = {"owner": ada.username, "id": model["id"]}
    tasks.process(event | {"step": "next"}, None)
    tasks.process(event | {"step": "record", "reports": [{"filename": "model.json"} | said]}, None)
    tasks.process(event | {"step": "finish"}, None)
    assert (get(ada, model)["verdict"], get(ada, model)["files"][0]["file_hash"]) == ("unscanned", None)


def test_what_the_owner_said_stays_whatever_is_found(ada: ApiClient) -> None:
    files = {"model.json": CONFIG, "requirements.txt": b"torch==2.4\n# no\nnumpy>=1\n"}
    model = ready(ada, files, python_version="3.9")
    assert (model["python_version"], model["dependencies"]) == ("3.9", ["torch==2.4", "numpy>=1"])


def test_a_scan_takes_many_files_in_rounds(ada: ApiClient) -> None:
    files = {f"part{number:03}.json": b"{}" for number in range(tasks.BATCH + 5)}
    started = ready(ada, files)
    assert (started["status"], started["verdict"], started["file_count"]) == ("ready", "clean", tasks.BATCH + 5)
    assert len({file["filename"] for file in started["files"]}) == tasks.BATCH + 5


def test_a_scan_is_one_execution_named_like_its_version(ada: ApiClient) -> None:
    model = single(ada).body
    execution = workflows.execution("SCAN_WORKFLOW_ARN", model["id"])
    assert json.loads(execution["input"]) == {"owner": ada.username, "id": model["id"]}
    assert MODELS.get(ada.username, model["id"]).indexed

"""Every command of docs/registry.md, in its order, by real curl, zip and requests.

Only the API's address differs from the document.  `pytest tests/journeys/test_registry_documents.py`
"""

from __future__ import annotations

import io
import json
import os
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest

from local.api_client import ApiClient
from tests.hub import Hub, HubRepository
from tests.journeys.conftest import PASSWORD
from tests.journeys.documents import Check, Said, blocks, follow, reader_folder, text_of
from tests.platform import Platform

DOCUMENT = "registry.md"
MIB = 1024 * 1024


# ---------------------------------------------------------------------------------------------------- the files


def forest() -> bytes:
    """A random forest that knows its irises, pickled."""
    from sklearn.datasets import load_iris
    from sklearn.ensemble import RandomForestClassifier

    x, y = load_iris(return_X_y=True)
    return pickle.dumps(RandomForestClassifier(n_estimators=20, random_state=7).fit(x, y))


def state_dict() -> bytes:
    """One tensor as torch.save writes it; torch itself, of gigabytes, is not needed for its 2 x 3 floats."""

    def text(value: str) -> bytes:
        return b"X" + len(value).to_bytes(4, "little") + value.encode()

    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + b"K\x06tQ"
    empty = b"ccollections\nOrderedDict\n)R"
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n((" + storage[1:] + b"K\x00K\x02K\x03\x86K\x03K\x01\x86\x89" + empty
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("model/data.pkl", b"\x80\x02" + empty + b"(" + text("weight") + tensor + b"tRu.")
        archive.writestr("model/byteorder", "little")
        archive.writestr("model/data/0", bytes(24))
        archive.writestr("model/version", "3\n")
    return content.getvalue()


def tensors(count: int) -> bytes:
    """A safetensors file of so many floats."""
    header = {"weight": {"dtype": "F32", "shape": [count], "data_offsets": [0, 4 * count]}}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + os.urandom(4 * count)


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    """The files that the document's commands name."""
    return {
        "model.pkl": forest(),
        "model.pth": state_dict(),
        "config.json": b'{"layers": 18}\n',
        "requirements.txt": b"torch==2.4.0\ntorchvision\n",
        "model.safetensors": tensors(9 * MIB),  # 36 MiB: three parts
        "bert/config.json": b'{"model_type": "bert"}\n',
        "bert/weights/part1.safetensors": tensors(5 * MIB),  # 20 MiB: two
    }


# --------------------------------------------------------------------------------------------- what each block says


def registered(said: Said, path: str) -> Any:
    """Return a version, or what is under it, as the registry now has it."""
    return said.api.call("GET", f"/ai-models/user1/{path}")


def logged_in(said: Said) -> None:
    assert said.text == ""


def one_file_uploaded(said: Said) -> None:
    model = said.json
    assert (model["user_id"], model["model_id"], model["version"]) == ("user1", "iris_classifier", "v1")
    assert (model["framework"], model["model_type"]) == ("sklearn", "classification")
    assert (model["algorithm"], model["name"]) == ("RandomForest", "Iris Classification Model")
    assert (model["training_accuracy"], model["test_accuracy"]) == (0.98, 0.96)
    assert (model["tags"], model["files"][0]["is_primary"]) == (["sklearn", "classification", "iris"], True)


def folder_uploaded(said: Said) -> None:
    model = said.json
    assert [file["filename"] for file in model["files"]] == ["model.pth", "config.json", "requirements.txt"]
    assert (model["model_type"], model["python_version"]) == ("computer_vision", "3.9")
    assert model["primary_file_path"] == "user1/resnet_classifier/v1/model.pth"


def large_uploaded(said: Said) -> None:
    plan = json.loads((said.folder / "plan.json").read_text())
    assert [len(upload["parts"]) for upload in plan["uploads"].values()] == [3, 1]
    assert (said.json["status"], said.json["version"]) == ("scanning", "v1")


def folder_of_any_size_uploaded(said: Said) -> None:
    assert said.text == "v1 scanning\n"
    files = registered(said, "bert/files")
    assert [file["filename"] for file in files] == ["config.json", "weights/part1.safetensors"]


def imported(said: Said) -> None:
    assert (said.json["model_id"], said.json["license"]) == ("smollm2-135m", "apache-2.0")
    model = said.api.wait("/ai-models/user1/smollm2-135m?version=v1", "ready", "failed")
    assert [file["filename"] for file in model["files"]] == ["model.safetensors", "config.json"]


def scanned(said: Said) -> None:
    lines = ("iris_classifier", "resnet_classifier", "large_model", "bert")
    assert said.text.splitlines() == [f"{name}: ready clean" for name in lines]
    resnet = registered(said, "resnet_classifier")
    assert (resnet["detected_framework"], resnet["dependencies"]) == ("pytorch", ["torch==2.4.0", "torchvision"])
    assert registered(said, "large_model")["num_parameters"] == 9 * MIB


def downloaded(said: Said) -> None:
    with zipfile.ZipFile(said.folder / "iris_classifier.zip") as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {"model.pkl": forest()}
    assert (said.folder / "model.pkl").read_bytes() == forest()


def large_downloaded(said: Said) -> None:
    with zipfile.ZipFile(said.folder / "large_model.zip") as archive:
        for name in ("model.safetensors", "config.json"):
            assert archive.read(name) == (said.folder / name).read_bytes()
    listed = json.loads(said.text.splitlines()[-1])
    assert [file["filename"] for file in listed] == ["model.safetensors", "config.json"]


def changed(said: Said) -> None:
    model = registered(said, "iris_classifier")
    assert said.json == model
    assert (model["name"], model["test_accuracy"]) == ("Updated Iris Classifier", 0.97)
    assert (model["is_production_ready"], model["training_accuracy"]) == (True, 0.98)


def found(said: Said) -> None:
    (model,) = said.json["items"]
    assert (model["model_id"], model["name"]) == ("iris_classifier", "Updated Iris Classifier")


def listed(said: Said) -> None:
    assert [model["model_id"] for model in said.json["items"]] == ["resnet_classifier"]


def client_used(said: Said) -> None:
    with zipfile.ZipFile(said.folder / "downloaded_model.zip") as archive:
        assert archive.read("model.pkl") == forest()
    assert registered(said, "my_model")["files"][0]["is_primary"]
    said.api.wait("/ai-models/user1/my_model", "ready")  # a later block deletes it


def aliased(said: Said) -> None:
    champion = json.loads((said.folder / "champion.json").read_text())
    assert (champion["version"], champion["aliases"]) == ("v1", ["champion"])
    versions = json.loads((said.folder / "versions.json").read_text())["items"]
    assert [version["version"] for version in versions] == ["v2", "v1"]
    said.api.wait("/ai-models/user1/iris_classifier?version=v2", "ready")


def shared(said: Said) -> None:
    assert (said.json["visibility"], said.json["name"]) == ("shared", "ResNet Image Classifier")


def compared(said: Said) -> None:
    assert [model["version"] for model in said.json["models"]] == ["v1", "v2"]
    assert said.json["metrics"]["test_accuracy"]["values"] == [{"last": 0.97, "best": 0.97}, None]


def lineage_told(said: Said) -> None:
    assert said.json["model"] == "user1/iris_classifier@v1"


def deleted(said: Said) -> None:
    assert said.text == ""
    left = {f"{m['model_id']} {m['version']}" for m in said.api.call("GET", "/ai-models/user1")["items"]}
    assert left == {"iris_classifier v1", "resnet_classifier v1", "large_model v1", "bert v1", "smollm2-135m v1"}


CHECKS: list[Check] = [
    logged_in,
    one_file_uploaded,
    folder_uploaded,
    large_uploaded,
    folder_of_any_size_uploaded,
    imported,
    scanned,
    downloaded,
    large_downloaded,
    changed,
    found,
    listed,
    client_used,
    aliased,
    shared,
    compared,
    lineage_told,
    deleted,
]


# ------------------------------------------------------------------------------------------------------ the tests


@pytest.fixture(scope="module")
def user(platform: Platform) -> ApiClient:
    """The document's user."""
    api = ApiClient(platform.api_url)
    api.register("user1", "user1@example.com", PASSWORD)
    api.login("user1", PASSWORD)
    return api


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]) -> Path:
    """A folder with the files, and programs of the names that the document uses."""
    return reader_folder(tmp_path_factory.mktemp("registry"), files)


def test_every_command_does_what_the_document_says(
    platform: Platform, user: ApiClient, folder: Path, hub: Hub, files: dict[str, bytes]
) -> None:
    published = {"config.json": b'{"model_type": "llama"}', "model.safetensors": files["model.safetensors"]}
    hub.repositories["HuggingFaceTB/SmolLM2-135M"] = HubRepository(published, {"tags": ["license:apache-2.0"]})
    follow(DOCUMENT, CHECKS, platform, user, folder)


def test_the_schema_is_that_of_the_answers(user: ApiClient) -> None:
    schema = json.loads(blocks(DOCUMENT, "json")[0][1])
    model = user.call("GET", "/ai-models/user1/resnet_classifier")
    assert set(schema) <= set(model)
    assert set(schema["files"][0]) <= set(model["files"][0])
    named = set(re.findall(r"`(\w+)`", text_of(DOCUMENT)))
    assert set(model) - set(schema) <= named | {"file_count"}
    assert set(model["files"][0]) - set(schema["files"][0]) <= named


def test_a_conflict_is_answered_as_the_document_shows(user: ApiClient) -> None:
    shown = json.loads(blocks(DOCUMENT, "json")[1][1])
    form = {"model_id": "resnet_classifier", "name": "ResNet"}
    answer = user.request("POST", "/ai-models/upload/single", data=form, files={"file": ("a.json", b"{}")})
    assert (answer.status_code, answer.json()["detail"]) == (409, shown["detail"])
    assert (answer.json()["code"], set(answer.json())) == (shown["code"], set(shown))

"""What the documents of serving show: their commands, by real curl, and their requests.

Run: python -m pytest tests/journeys/test_serving_documents.py
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lambdas.common.items import from_item
from lambdas.endpoints.schemas import EndpointChange, EndpointCreate
from local.api_client import ApiClient
from local.home import REPOSITORY
from operations.inference_settings import InferenceSettings
from tests.journeys import stub_models
from tests.journeys.documents import Said, blocks, go_on, reader_folder, requests_in, text_of
from tests.journeys.records import Records
from tests.local.small import eventually
from tests.platform import Platform

ROW = [5.1, 3.5, 1.4, 0.2]


def message(*fields: tuple[int, bytes | str | int]) -> bytes:
    """A message of Protocol Buffers; every length and number here is below 128."""
    found = b""
    for number, value in fields:
        if isinstance(value, int):
            found += bytes([number << 3, value])
        else:
            content = value.encode() if isinstance(value, str) else value
            found += bytes([number << 3 | 2, len(content)]) + content
    return found


def identity() -> bytes:
    """An ONNX model that answers with the four numbers that it is asked about."""
    shape = message((1, message((2, "rows"))), (1, message((1, 4))))
    of_type = message((1, message((1, 1), (2, shape))))
    node = message((1, "x"), (2, "y"), (4, "Identity"))
    graph = message(
        (1, node), (2, "same"), (11, message((1, "x"), (2, of_type))), (12, message((1, "y"), (2, of_type)))
    )
    return message((1, 8), (7, graph), (8, message((2, 13))))


@pytest.fixture(scope="module")
def reader(
    platform: Platform, new_user: Callable[..., ApiClient], trained: dict[str, Any], tmp_path_factory: Any
) -> Iterator[ApiClient]:
    """A user whose model `cancer` has two versions; their endpoints go in the end."""
    reader = new_user()
    stub_models.install(platform, tmp_path_factory.mktemp("image"))
    stub_models.register(platform, trained, ["good", "good"], reader.username, "cancer")
    records = Records(platform)  # the first version is deployed before there is the second
    first = from_item(records.read("models", str(reader.username), "name#cancer#v1") or {})["target"]
    records.write("models", owner=reader.username, id="latest#cancer", target=first, number=2)
    yield reader
    take_down(reader, *(endpoint["id"] for endpoint in reader.call("GET", "/endpoints")["items"]))


def take_down(reader: ApiClient, *ids: str) -> None:
    """Delete endpoints, each as soon as it is at rest."""
    for id in ids:
        eventually(lambda id=id: reader.request("DELETE", f"/endpoints/{id}").status_code in {202, 404}, 60)
    for id in ids:
        eventually(lambda id=id: reader.request("GET", f"/endpoints/{id}").status_code == 404, 60)


def taken(reader: ApiClient, method: str, path: str, body: Any) -> dict[str, Any]:
    """Send a request until it is taken: what is still falling asleep is woken in a minute."""
    answer = eventually(lambda: (found := reader.request(method, path, json=body)).status_code != 409 and found, 60)
    assert answer.ok, answer.text
    return answer.json()


def in_service(reader: ApiClient, id: str) -> dict[str, Any]:
    found = reader.wait(f"/endpoints/{id}", "in_service", "failed")
    assert found["status"] == "in_service", found
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files that the documents name."""
    return reader_folder(tmp_path, {"rows.csv": b"5.1,3.5\n", "iris.onnx": identity()})


def test_the_commands_of_endpoints(reader: ApiClient, folder: Path) -> None:
    def serverless(said: Said) -> None:
        found = in_service(reader, said.json["id"])
        assert (found["kind"], found["network_isolation"]) == ("serverless", False)
        said.export("ENDPOINT", found["id"])

    def updated(said: Said) -> None:
        assert said.json["updating_to"]["version"] == "v2"
        assert in_service(reader, said.json["id"])["model"]["version"] == "v2"
        body = {"name": "Later", "model": {"model_id": "cancer"}, "kind": "async"}
        later = reader.call("POST", "/endpoints", body)["id"]
        said.export("ENDPOINT", in_service(reader, later)["id"])

    def inferred(said: Said) -> None:
        found = eventually(lambda: (answer := reader.call("GET", path_of(said.json)))["output_url"] and answer, 30)
        assert found["status"] == "completed"

    def path_of(inference: dict[str, Any]) -> str:
        return inference["url"].removeprefix(reader.api_url)

    go_on("endpoints.md", [serverless, updated, inferred], reader, folder)
    assert EndpointChange.model_validate_json(blocks("endpoints.md", "json")[0][1]).autoscaling


def test_the_requests_of_leases(reader: ApiClient) -> None:
    id = ""
    answers = []
    for method, path, body in requests_in("leases.md"):
        answers.append(taken(reader, method, path.replace("{id}", id), body))
        id = answers[-1]["id"]
        if answers[-1]["status"] == "creating":
            in_service(reader, id)
    made, renewed, asleep, woken = answers
    assert (made["lease_hours"], renewed["lease_hours"]) == (8, 12)
    assert (asleep["status"], woken["status"]) == ("sleeping", "creating")
    shown = re.findall(r"^\| (`.+?) \|", text_of("leases.md"), re.MULTILINE)
    assert {name for line in shown for name in re.findall(r"`(\w+)`", line)} <= set(made)


def test_the_commands_of_register(reader: ApiClient, folder: Path) -> None:
    def begun(said: Said) -> None:
        assert said.text == ""

    def deployed(said: Said) -> None:
        assert (said.json["model_id"], said.json["status"]) == ("iris", "scanning")
        (job,) = reader.call("GET", "/jobs?kind=register")["items"]
        registered = reader.wait(f"/jobs/{job['id']}", "completed", "failed")
        assert registered["status"] == "completed", registered
        endpoint = in_service(reader, registered["endpoint_id"])
        assert endpoint["lease_hours"] == 24, "the stage's lease, as for every endpoint"
        answer = reader.call("POST", f"/endpoints/{endpoint['id']}/invoke", {"instances": [ROW]})
        assert answer["predictions"][0]["value"] == pytest.approx(ROW)

    go_on("register.md", [begun, deployed], reader, folder)


def test_the_commands_of_evaluation(
    reader: ApiClient, folder: Path, platform: Platform, member: ApiClient, trained: dict[str, Any]
) -> None:
    of_reader = {"owner": reader.username, "model_id": "breast-cancer", "version": "v3", "holds": None}
    records = Records(platform)
    copied = records.copy("models", trained["user_id"], trained["model"]["id"], **of_reader)
    records.write("models", owner=reader.username, id="name#breast-cancer#v3", target=copied)

    def evaluated(said: Said) -> None:
        assert said.json["kind"] == "evaluation"
        assert reader.request("POST", f"/jobs/{said.json['id']}/stop").ok
        reader.wait(f"/jobs/{said.json['id']}", "cancelled", "completed", "failed")

    dataset = trained["dataset_id"]
    member.call("PATCH", f"/datasets/{dataset}", {"visibility": "shared"})
    try:
        go_on("evaluation.md", [evaluated], reader, folder, DATASET=dataset)
    finally:
        member.call("PATCH", f"/datasets/{dataset}", {"visibility": "private"})


def test_the_targets_and_settings_of_register_are_there() -> None:
    text, makefile = text_of("register.md"), (REPOSITORY / "Makefile").read_text()
    targets = set(re.findall(r"^make ([a-z-]+)", text, re.MULTILINE))
    assert len(targets) == 5
    assert all(f"\n{target}:" in makefile for target in targets)
    settings = text.partition("| Setting |")[2].partition("\n\n")[0]
    named = {name for line in settings.splitlines()[2:] for name in re.findall(r"`([A-Z_]+)`", line.split("|")[1])}
    assert named == set(InferenceSettings.model_fields)


@pytest.mark.slow
def test_the_commands_of_the_model_server(reader: ApiClient, folder: Path) -> None:
    form = {"model_id": "flowers", "name": "Flowers"}
    files = {"file": ("model.onnx", identity())}
    assert reader.request("POST", "/ai-models/upload/single", data=form, files=files).ok
    reader.wait(f"/ai-models/{reader.username}/flowers", "ready", "blocked")

    def deployed(said: Said) -> None:
        said.export("ENDPOINT", in_service(reader, said.json["id"])["id"])

    def asked(said: Said) -> None:
        assert said.json["predictions"][0]["value"] == pytest.approx(ROW)

    go_on("model-server.md", [deployed, asked], reader, folder)


def test_what_the_document_of_language_models_deploys_can_be_asked_for() -> None:
    (_, path, body), (_, token, _) = requests_in("language-models.md")
    wanted = EndpointCreate.model_validate(body)
    assert (path, token) == ("/endpoints", "/endpoints/{id}/token")
    assert wanted.llm and wanted.kind == "model_based"

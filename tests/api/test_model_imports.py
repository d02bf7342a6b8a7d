"""Versions from the Hugging Face Hub: what is taken of a repository, that its bytes are what the Hub announced, and
what happens when they are not, or the function dies.

Run: python -m pytest tests/api/test_model_imports.py
"""

import json
import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lambdas.common import uploads, waits
from lambdas.models import imports, tasks
from lambdas.models.records import MODELS
from tests.api.client import Answer, ApiClient
from tests.api.crashes import deaths
from tests.api.registry import at, get, objects, plan, scan_now, scanned, stored, unfinished
from tests.hub import Hub, HubRepository, running_hub

REPO = "acme/Tiny.BERT"


def weights(count: int) -> bytes:
    """A SafeTensors file of one tensor: the length of its header, the header, the numbers."""
    header = {"weight": {"dtype": "F32", "shape": [count], "data_offsets": [0, 4 * count]}}
    said = json.dumps(header).encode()
    return struct.pack("<Q", len(said)) + said + struct.pack(f"<{count}f", *range(count))


FILES = {
    "README.md": b"---\nlicense: apache-2.0\n---\nTiny.",
    "LICENSE": b"Apache License",
    "config.json": json.dumps({"model_type": "bert"}).encode(),
    "model.safetensors": weights(12),
    "pytorch_model.bin": b"a pickle",
    "modeling_tiny.py": b"import os",
    "onnx/model.onnx": b"again",
    "onnx/config.json": b"{}",
    ".gitattributes": b"*.bin filter=lfs",
}
TAKEN = ["LICENSE", "README.md", "config.json", "model.safetensors"]
CARD = {"cardData": {"license": "apache-2.0"}, "pipeline_tag": "text-classification"}


class Context:
    """What Lambda tells a function of the time that it has."""

    def __init__(self, seconds: float = 900) -> None:
        self.seconds = seconds

    def get_remaining_time_in_millis(self) -> int:
        return int(self.seconds * 1000)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with running_hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        hub.repositories[REPO] = HubRepository(dict(FILES), dict(CARD))
        yield hub


@pytest.fixture
def ada(api: Callable[..., ApiClient]) -> ApiClient:
    return api("models")


def start(client: ApiClient, **fields: Any) -> Answer:
    """Ask for the import of a repository."""
    return client.post("/ai-models/imports", {"repo_id": REPO} | fields)


def event(version: dict[str, Any]) -> dict[str, str]:
    return {"owner": version["user_id"], "id": version["id"]}


def bring(version: dict[str, Any], seconds: float = 900) -> bool:
    """Do what the workflow `import` does in one call; return whether all files are here."""
    return tasks.import_files(event(version), Context(seconds))["done"]


def give_up(version: dict[str, Any], error: Exception) -> None:
    """Do what the workflow does once a call has failed for good."""
    cause = json.dumps({"errorType": type(error).__name__, "errorMessage": str(error)})
    tasks.import_files(event(version) | {"error": {"Error": type(error).__name__, "Cause": cause}}, Context())


def names(version: dict[str, Any]) -> list[str]:
    return sorted(file["filename"] for file in version["files"])


def test_a_repository_becomes_a_version_with_its_licence_and_commit(hub: Hub, ada: ApiClient) -> None:
    answer = start(ada)

    assert answer.status == 201, answer.body
    started = answer.body
    assert (started["status"], started["model_id"], started["version"]) == ("uploading", "tiny.bert", "v1")
    assert bring(started)
    version = scanned(ada, started)
    assert (version["status"], version["verdict"]) == ("ready", "clean")
    assert (version["license"], version["model_type"], version["framework"]) == ("apache-2.0", "nlp", "huggingface")
    assert version["name"] == REPO
    assert version["source"] == {"repo_id": REPO, "revision": "main", "commit": hub.repositories[REPO].sha}
    assert names(version) == TAKEN
    primary = next(file for file in version["files"] if file["is_primary"])
    assert primary["filename"] == "model.safetensors"
    kept = objects(f"{ada.username}/tiny.bert/v1/")
    assert {name: kept[f"{ada.username}/tiny.bert/v1/{name}"] for name in TAKEN} == {n: FILES[n] for n in TAKEN}


def test_what_the_hub_has_moved_on_to_does_not_change_an_import_under_way(hub: Hub, ada: ApiClient) -> None:
    started = start(ada, revision=hub.repositories[REPO].sha, model_id="pinned").body
    before = hub.repositories[REPO].sha
    hub.repositories[REPO].files["config.json"] = b'{"model_type": "other"}'

    with pytest.raises(imports.HubRefused, match="no longer gives"):
        bring(started)

    assert started["source"]["commit"] == before != hub.repositories[REPO].sha


def test_the_same_weights_are_brought_once(hub: Hub, ada: ApiClient) -> None:
    first = start(ada).body
    bring(first)
    scan_now(first)
    hub.requests.clear()

    again = start(ada).body
    bring(again)

    assert again["version"] == "v2"
    assert scanned(ada, again)["status"] == "ready"
    assert not [path for path in hub.requests if path.endswith("model.safetensors")]
    assert [path for path in hub.requests if path.endswith("config.json")]  # small files have no SHA-256 at the Hub


@pytest.mark.thorough
def test_large_files_come_in_parts_and_survive_a_hub_that_stumbles(
    hub: Hub, ada: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "PART_BYTES", 5 * uploads.MIB)
    large = weights(6 * 2**20)  # 24 MiB: five parts
    hub.repositories[REPO].files["model.safetensors"] = large
    started, hub.failing = start(ada).body, 2

    assert bring(started)

    assert objects(f"{ada.username}/tiny.bert/v1/")[f"{ada.username}/tiny.bert/v1/model.safetensors"] == large
    assert len([path for path in hub.requests if path.startswith("/storage")]) == 5 + 2


def test_an_import_that_takes_several_calls_goes_on_where_it_stopped(hub: Hub, ada: ApiClient) -> None:
    started = start(ada).body

    rounds = 1
    while not bring(started, seconds=imports.ENOUGH_SECONDS - 1):
        rounds += 1

    assert rounds == len(TAKEN)  # too little is left for a second file in each call, but for the first there always is
    fetched = [path for path in hub.requests if "/resolve/" in path]
    assert len(fetched) == len(TAKEN)
    assert scanned(ada, started)["status"] == "ready"


@pytest.mark.parametrize("filename", ["model.safetensors", "config.json"])
def test_bytes_that_are_not_what_the_hub_announced_fail_the_version(hub: Hub, ada: ApiClient, filename: str) -> None:
    started = start(ada).body
    hub.served[filename] = FILES[filename][:-1] + b"?"

    with pytest.raises(imports.HubRefused) as refused:
        bring(started)
    give_up(started, refused.value)

    version = get(ada, started)
    assert version["status"] == "failed"
    assert version["reason"].startswith(
        f"The import from Hugging Face failed: {filename} is not what the Hub announced"
    )
    assert unfinished(f"{ada.username}/") == []
    assert ada.username not in [owner for owner, _ in waits.under_way("mdl-")]
    assert ada.delete(at(started)).status == 204
    assert objects(f"{ada.username}/") == {}


@pytest.mark.parametrize(
    ("more", "files", "field", "sentence"),
    [
        (
            {},
            {"pytorch_model.bin": b"x"},
            "repo_id",
            "no weights in SafeTensors, only pytorch_model.bin, which could run",
        ),
        ({}, {"README.md": b"x"}, "repo_id", "no weights in SafeTensors, none at all"),
        ({"gated": "manual"}, FILES, "repo_id", "given only to people who accepted its terms"),
    ],
)
def test_what_cannot_be_imported_is_refused_at_once(
    hub: Hub, ada: ApiClient, more: dict[str, Any], files: dict[str, bytes], field: str, sentence: str
) -> None:
    hub.repositories[REPO] = HubRepository(dict(files), more)

    answer = start(ada)

    assert (answer.status, answer.body["errors"][0]["field"]) == (400, field)
    assert sentence in answer.body["detail"]
    assert stored(ada.username) == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"repo_id": "acme/absent"}, "repo_id"),
        ({"revision": "v9"}, "revision"),
        ({"repo_id": "../etc/passwd"}, "repo_id"),
        ({"repo_id": "acme/tiny/more"}, "repo_id"),
        ({"repo_id": "https://elsewhere.example/x"}, "repo_id"),
        ({"repo_id": "acme/tiny?x=1"}, "repo_id"),
        ({"revision": "../main"}, "revision"),
        ({"revision": "a#b"}, "revision"),
        ({"token": "secret"}, "token"),
    ],
)
def test_wrong_requests_name_the_field(hub: Hub, ada: ApiClient, body: dict[str, Any], field: str) -> None:
    answer = start(ada, **body)

    assert answer.status == 400, answer.body
    assert [error["field"] for error in answer.body["errors"]] == [field]


@pytest.mark.thorough
def test_a_hub_that_cannot_be_reached_is_503(ada: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    with running_hub() as gone:
        monkeypatch.setenv("HF_ENDPOINT", gone.url)

    answer = start(ada)

    assert (answer.status, answer.body["code"]) == (503, "unavailable")
    assert stored(ada.username) == []


def test_a_stage_without_a_hub_says_so(ada: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "")

    answer = start(ada)

    assert answer.status == 400
    assert "hugging_face_endpoint" in answer.body["detail"]


def test_more_than_the_stage_takes_is_413(hub: Hub, ada: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_MODEL_BYTES", "20")

    assert start(ada).status == 413
    assert stored(ada.username) == []


def test_nobody_else_brings_the_files_of_an_import(hub: Hub, ada: ApiClient) -> None:
    started = start(ada).body

    for answer in (
        ada.get(f"/ai-models/uploads/{started['id']}"),
        ada.post(f"/ai-models/uploads/{started['id']}/complete"),
    ):
        assert answer.status == 409
        assert "imported from Hugging Face" in answer.body["detail"]


def test_an_import_is_no_way_around_names_that_are_taken(hub: Hub, ada: ApiClient) -> None:
    assert plan(ada, {"config.json": b"{}"}, model_id="tiny.bert", version="v1").status == 201

    assert start(ada, version="v1").status == 409
    assert start(ada).body["version"] == "v2"


@pytest.mark.thorough
def test_a_request_that_was_killed_leaves_an_import_that_is_finished_or_nothing(hub: Hub, ada: ApiClient) -> None:
    for _ in deaths(lambda: start(ada)):
        for version in MODELS.list(ada.username, "mdl-", 100, None).items:
            old = MODELS.settle(version, created_at="2020-01-01T00:00:00+00:00")
            tasks.recover({"source": "aws.states", "detail": {"name": old.id}}, None)
        for version in MODELS.list(ada.username, "mdl-", 100, None).items:
            finish(ada, version.id)
        assert objects(f"{ada.username}/") == {}  # parts without an object go with the bucket's lifecycle


@pytest.mark.slow
def test_a_call_that_was_killed_is_gone_on_with(hub: Hub, ada: ApiClient) -> None:
    now = [start(ada).body]
    for _ in deaths(lambda: True if bring(now[0]) else None):
        bring(now[0])
        version = scanned(ada, now[0])
        assert (version["status"], names(version)) == ("ready", TAKEN)
        assert unfinished(f"{ada.username}/") == []
        assert ada.delete(at(version)).status == 204
        now[0] = start(ada).body


def finish(client: ApiClient, id: str) -> None:
    """Bring and scan a version that is under way, then delete it."""
    version = MODELS.get(client.username, id)
    shown = get(client, {"user_id": version.owner, "model_id": version.model_id, "version": version.version})
    if shown["status"] == "uploading":
        bring(shown)
        shown = get(client, shown)
    if shown["status"] == "scanning":
        shown = scanned(client, shown)
    assert shown["status"] == "ready", shown
    assert client.delete(at(shown)).status == 204

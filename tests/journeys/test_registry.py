"""The registry on the whole platform: files from elsewhere are scanned by themselves, judged, served and kept apart.

Run: `pytest tests/journeys/test_registry.py`
"""

from __future__ import annotations

import io
import os
import pickle
import secrets
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from local.api_client import ApiClient
from tests.journeys.records import Records
from tests.journeys.test_train_and_deploy import gone
from tests.platform import Platform

MIB = 1024 * 1024
RESTING = ("ready", "blocked", "failed")
Files = dict[str, bytes]


class Hostile:
    """An object whose pickle would run a command."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch /tmp/slipway-journey-was-here",)


def forest() -> bytes:
    """A random forest that knows its irises, pickled."""
    from sklearn.datasets import load_iris
    from sklearn.ensemble import RandomForestClassifier

    x, y = load_iris(return_X_y=True)
    return pickle.dumps(RandomForestClassifier(n_estimators=10, random_state=7).fit(x, y))


def form(api: ApiClient, filename: str, content: bytes, **fields: Any) -> dict[str, Any]:
    """Upload one file in a form; return its version once it is judged."""
    fields = {"model_id": f"model-{secrets.token_hex(4)}", "name": "Model"} | fields
    return judged(api, api.call("POST", "/ai-models/upload/single", data=fields, files={"file": (filename, content)}))


def plan(api: ApiClient, files: Files, **fields: Any) -> dict[str, Any]:
    """Upload files by a plan; return their version once it is judged."""
    said = [{"filename": name, "size": len(content)} for name, content in files.items()]
    fields = {"model_id": f"model-{secrets.token_hex(4)}", "name": "Model", "files": said} | fields
    started = api.call("POST", "/ai-models/uploads", fields)
    for name, upload in started["uploads"].items():
        api.upload_parts(files[name], upload)
    return judged(api, api.call("POST", f"/ai-models/uploads/{started['model']['id']}/complete"))


def judged(api: ApiClient, model: dict[str, Any]) -> dict[str, Any]:
    """Return a version once the workflow `scan` is done with it."""
    assert model["status"] == "scanning"
    return api.wait(at(model), *RESTING)


def at(model: dict[str, Any], route: str = "") -> str:
    return f"/ai-models/{model['user_id']}/{model['model_id']}{route}?version={model['version']}"


def deploy(api: ApiClient, model: dict[str, Any], **more: Any) -> Any:
    """Ask for an endpoint of a version."""
    reference = {name: model[name] for name in ("user_id", "model_id", "version")}
    return api.request("POST", "/endpoints", json={"name": "Asked", "model": reference} | more)


def test_an_honest_model_is_scanned_by_itself_and_ready(member: ApiClient) -> None:
    model = form(member, "model.pkl", forest(), tags="flowers")
    assert (model["status"], model["verdict"], model["reason"]) == ("ready", "clean", None)
    assert (model["framework"], model["detected_framework"]) == ("sklearn", "sklearn")
    assert len(model["files"][0]["file_hash"]) == 64
    found = member.call("GET", f"/ai-models/search/{member.username}?query={model['model_id'][6:]}&tags=flowers")
    assert [item["id"] for item in found["items"]] == [model["id"]]


def test_an_uploaded_model_is_deployed_and_answers_as_its_library_does(platform: Platform, member: ApiClient) -> None:
    from sklearn.datasets import load_iris

    model = form(member, "model.pkl", forest())
    made = deploy(member, model)
    assert made.status_code == 201, made.text
    path = f"/endpoints/{made.json()['id']}"
    endpoint = member.wait(path, "in_service", "failed")
    assert (endpoint["status"], endpoint["accepted_risk"]) == ("in_service", None), endpoint["reason"]
    rows = load_iris(return_X_y=True)[0][::50]
    told = member.call("POST", f"{path}/invoke", {"instances": rows.tolist()})["predictions"]
    library = pickle.loads(forest())
    assert [each["label"] for each in told] == library.predict(rows).tolist()
    assert [list(each["probabilities"].values()) for each in told] == library.predict_proba(rows).tolist()
    refused = member.request("POST", f"{path}/invoke", json={"instances": [[1, 2]]})
    assert refused.status_code == 400 and "Row 1: it has 2 values; the model needs 4." in refused.json()["detail"]
    remove(member, path)


def test_a_hostile_pickle_is_blocked_and_cannot_be_deployed(
    member: ApiClient, new_user: Callable[..., ApiClient]
) -> None:
    model = plan(member, {"config.json": b"{}", "weights/model.pkl": pickle.dumps(Hostile())})
    assert (model["status"], model["verdict"]) == ("blocked", "malicious")
    assert "weights/model.pkl" in model["reason"] and "system" in model["reason"]
    for more in ({}, {"accept_risk": True}):
        refused = deploy(member, model, **more)
        assert refused.status_code == 409
        assert model["reason"] in refused.json()["detail"]
    member.call("PUT", at(model), {"visibility": "shared"})
    other = new_user()
    assert other.request("GET", at(model, "/download")).status_code == 409
    assert other.call("GET", at(model))["verdict"] == "malicious"
    assert not os.path.exists("/tmp/slipway-journey-was-here")


def test_many_files_are_scanned_in_rounds(member: ApiClient) -> None:
    files = {f"part{number:02}.json": b"[%d]" % number for number in range(90)} | {"odd.bin": os.urandom(500)}
    model = plan(member, files)
    assert (model["status"], model["verdict"]) == ("ready", "unscanned")
    verdicts = {file["filename"]: file["verdict"] for file in model["files"]}
    assert verdicts == {name: "unscanned" if name == "odd.bin" else "clean" for name in files}
    refused = deploy(member, model, accept_risk=True)
    assert refused.status_code == 409 and "cannot be served: PyTorch's pickles" in refused.json()["detail"]


def test_a_large_version_is_zipped_in_s3_and_answered_by_redirect(platform: Platform, member: ApiClient) -> None:
    files = {"weights/model.bin": os.urandom(20 * MIB), "config.json": b'{"layers": 3}', "empty.txt": b""}
    model = plan(member, files)
    for _ in range(2):  # made, and made already
        answer = member.request("GET", at(model, "/download"))
        assert [step.status_code for step in answer.history] == [302]
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            assert {name: archive.read(name) for name in archive.namelist()} == files
            assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
    file = member.request("GET", at(model, "/download") + "&filename=weights/model.bin")
    assert file.history and file.content == files["weights/model.bin"]
    small = member.request("GET", at(model, "/download") + "&filename=config.json")
    assert not small.history and small.content == files["config.json"]
    assert any("/archive-" in key for key in keys(platform, member))
    member.call("DELETE", at(model))
    assert not any(key.startswith(f"{member.username}/{model['model_id']}/") for key in keys(platform, member))


def keys(platform: Platform, api: ApiClient) -> list[str]:
    """The keys of a user's objects in the models bucket."""
    name = platform.client("ssm").get_parameter(Name="/slipway/local/models-bucket")["Parameter"]["Value"]
    pages = platform.client("s3").get_paginator("list_objects_v2").paginate(Bucket=name, Prefix=f"{api.username}/")
    return [item["Key"] for page in pages for item in page.get("Contents", [])]


# ------------------------------------------------------------------------------------------- accepting a risk


@contextmanager
def copied(platform: Platform, job: dict[str, Any], **changes: Any) -> Iterator[dict[str, Any]]:
    """A trained version once more, as a model of its own, with what a scanner might say of it; gone in the end."""
    records, owner, model_id = Records(platform), job["user_id"], f"risky-{secrets.token_hex(4)}"
    changes = {"model_id": model_id, "version": "v1", "holds": None} | changes
    id = records.copy("models", owner, job["model"]["id"], **changes)
    pointers = {f"latest#{model_id}": {"number": 1}, f"name#{model_id}#v1": {}}
    for pointer, more in pointers.items():
        records.write("models", owner=owner, id=pointer, target=id, **more)
    yield {"user_id": owner, "model_id": model_id, "version": "v1", "id": id}
    for item in (id, *pointers):
        records.delete("models", owner, item)


@pytest.mark.parametrize("verdict", ["suspicious", pytest.param("unscanned", marks=pytest.mark.slow)])
def test_a_risk_is_refused_until_it_is_accepted(
    platform: Platform, member: ApiClient, trained: dict[str, Any], verdict: str
) -> None:
    with copied(platform, trained, verdict=verdict, job_id=None) as model:
        refused = deploy(member, model)
        assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
        assert verdict in refused.json()["detail"] and "accept_risk" in refused.json()["detail"]
        assert at(model, "/files") in refused.json()["detail"]
        assert not member.call("GET", at(model))["deployed"]
        accepted = deploy(member, model, accept_risk=True)
        assert accepted.status_code == 201, accepted.text
        risk = accepted.json()["accepted_risk"]
        assert (risk["by"], risk["verdict"]) == (member.username, verdict)
        path = f"/endpoints/{accepted.json()['id']}"
        endpoint = member.wait(path, "in_service", "failed")
        assert (endpoint["status"], endpoint["accepted_risk"]) == ("in_service", risk)
        held = member.request("DELETE", at(model))
        assert held.status_code == 409 and endpoint["id"] in held.json()["detail"]
        remove(member, path)
        assert not member.call("GET", at(model))["deployed"]


def test_a_clean_version_needs_no_acceptance_and_records_none(
    platform: Platform, member: ApiClient, trained: dict[str, Any]
) -> None:
    with copied(platform, trained, verdict="clean", job_id=None) as model:
        made = deploy(member, model, accept_risk=True)
        assert (made.status_code, made.json()["accepted_risk"]) == (201, None)
        path = f"/endpoints/{made.json()['id']}"
        member.wait(path, "in_service", "failed")
        remove(member, path)


def test_a_malicious_version_is_refused_whatever_is_accepted(
    platform: Platform, member: ApiClient, trained: dict[str, Any]
) -> None:
    with copied(platform, trained, verdict="malicious", status="blocked", reason="model.pkl: it runs sh.") as model:
        refused = deploy(member, model, accept_risk=True)
        assert refused.status_code == 409 and "it runs sh" in refused.json()["detail"]


def test_a_shared_model_is_deployed_by_others_at_their_own_risk(
    platform: Platform, member: ApiClient, new_user: Callable[..., ApiClient], trained: dict[str, Any]
) -> None:
    other, viewer = new_user(), new_user("viewer")
    with copied(platform, trained, verdict="suspicious", job_id=None) as model:
        assert deploy(other, model, accept_risk=True).status_code == 404
        member.call("PUT", at(model), {"visibility": "shared"})
        assert deploy(viewer, model, accept_risk=True).status_code == 403
        assert deploy(other, model).status_code == 409
        made = deploy(other, model, accept_risk=True)
        assert made.status_code == 201, made.text
        assert made.json()["accepted_risk"]["by"] == other.username
        path = f"/endpoints/{made.json()['id']}"
        assert other.wait(path, "in_service", "failed")["status"] == "in_service"
        assert member.call("GET", at(model))["endpoints"] == [made.json()["id"]]
        remove(other, path)


def remove(api: ApiClient, path: str) -> None:
    """Take an endpoint down and wait until it is gone."""
    api.call("DELETE", path)
    assert gone(api, path)

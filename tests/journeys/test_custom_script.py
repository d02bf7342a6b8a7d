"""A user's own script: packed, uploaded, trained, registered.  `pytest tests/journeys/test_custom_script.py`"""

import hashlib
import io
import tarfile
from typing import Any

import joblib
import pytest

from local.api_client import ApiClient
from tests.journeys.conftest import ENDED
from tests.local.small import eventually
from tests.script_zips import example, packed


def send(api: ApiClient, archive: bytes) -> dict[str, Any]:
    """Upload a script's ZIP as docs/custom-scripts.md says; return the script, ready."""
    script = api.call("POST", "/jobs/scripts", {"name": "Mine", "size": len(archive)})
    api.upload_parts(archive, script["upload"])
    return api.call("POST", f"/jobs/scripts/{script['id']}/complete")


def start(api: ApiClient, script: dict[str, Any], dataset: dict[str, Any], **parameters: Any) -> dict[str, Any]:
    request = {"name": "Own", "training_type": "custom", "dataset_id": dataset["id"], "parameters": parameters}
    return api.call("POST", "/jobs", request | {"script": {"id": script["id"]}, "model_id": "own"})


def test_the_example_is_trained_and_registered(
    member: ApiClient, dataset: dict[str, Any], rows: list[dict[str, Any]]
) -> None:
    script = send(member, example())
    job = start(member, script, dataset, target="diagnosis", epochs=40)
    assert job["script"]["sha256"] == script["sha256"] == hashlib.sha256(example()).hexdigest()
    held = member.request("DELETE", f"/jobs/scripts/{script['id']}")
    assert held.status_code == 409 and job["id"] in held.json()["detail"]

    job = member.wait(f"/jobs/{job['id']}", *ENDED)
    assert job["status"] == "completed", job["reason"]
    assert job["primary_metric"]["name"] == "test_accuracy" and job["primary_metric"]["value"] > 0.93
    assert member.call("GET", f"/jobs/{job['id']}/capsule")["script"] == job["script"]
    path = f"/ai-models/{member.username}/own"
    model = member.call("GET", f"{path}?version={job['model']['version']}")
    assert (model["model_type"], model["framework"], model["algorithm"]) == (
        "classification",
        "sklearn",
        "SGDClassifier",
    )
    assert {"model.tar.gz", "manifest.json", "metrics.json"} <= {file["filename"] for file in model["files"]}

    archive = member.request("GET", f"{path}/download", params={"filename": "model.tar.gz"}).content
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as opened:
        found = opened.extractfile("model.joblib")
        assert found is not None
        trained = joblib.load(io.BytesIO(found.read()))
    features = [name for name in rows[0] if name != "diagnosis"]
    predicted = trained.predict([[row[name] for name in features] for row in rows])
    assert sum(guess == row["diagnosis"] for guess, row in zip(predicted, rows, strict=True)) / len(rows) > 0.93

    path = f"/jobs/{job['id']}/metrics?limit=100"  # the last lines of the log may come after the end
    points = eventually(lambda: len(found := member.call("GET", path)["items"]) > 40 and found)
    assert [point["sequence"] for point in points] == list(range(40, -1, -1))
    endpoint = member.call("POST", "/endpoints", {"name": "Own", "model": {"model_id": "own"}})
    endpoint = member.wait(f"/endpoints/{endpoint['id']}", "in_service", "failed")
    assert endpoint["status"] == "in_service", endpoint["reason"]
    asked = {"instances": [[row[name] for name in features] for row in rows[:20]]}
    answers = member.call("POST", f"/endpoints/{endpoint['id']}/invoke", asked)["predictions"]
    assert [answer["label"] for answer in answers] == list(predicted[:20])
    member.call("DELETE", f"/endpoints/{endpoint['id']}")
    assert member.request("DELETE", f"/jobs/scripts/{script['id']}").status_code == 204


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (
            "raise RuntimeError('no such column')",
            "The script ended with exit code 1. It said last: RuntimeError: no such",
        ),
        ("print('done')", "The script wrote no model"),
    ],
)
def test_a_script_that_fails_says_why(member: ApiClient, dataset: dict[str, Any], code: str, reason: str) -> None:
    job = start(member, send(member, packed({"train.py": code})), dataset)
    job = member.wait(f"/jobs/{job['id']}", *ENDED)
    assert job["status"] == "failed" and job["reason"].startswith(reason)


def test_a_script_without_the_entry_point_starts_nothing(member: ApiClient, dataset: dict[str, Any]) -> None:
    script = send(member, packed({"main.py": "print()"}))
    with pytest.raises(Exception, match=r"has no train\.py"):
        start(member, script, dataset)

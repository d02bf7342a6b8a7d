"""Upload, train, register, deploy, predict: over HTTP, under the synthesised roles.  `pytest tests/journeys`"""

import io
import json
import random
import tarfile
import time
from pathlib import Path
from typing import Any

import numpy
import onnxruntime
import pytest
import requests
from sklearn.model_selection import train_test_split

from local.api_client import ApiClient
from local.demo import JOB, to_csv
from local.sagemaker.storage import unpack
from tests.journeys.conftest import ENDED, train, upload
from tests.platform import Platform


def download(api: ApiClient, model: dict[str, Any], filename: str) -> bytes:
    path = f"/ai-models/{model['user_id']}/{model['model_id']}/download"
    response = api.request("GET", path, params={"version": model["version"], "filename": filename})
    response.raise_for_status()
    return response.content


def registered(api: ApiClient, job: dict[str, Any]) -> dict[str, Any]:
    model = job["model"]
    return api.call("GET", f"/ai-models/{job['user_id']}/{model['model_id']}?version={model['version']}")


def test_percent_rises_while_the_job_runs(member: ApiClient, dataset: dict[str, Any]) -> None:
    job = member.call("POST", "/jobs", JOB | {"dataset_id": dataset["id"], "model_id": "watched"})
    looks = list(member.follow(f"/jobs/{job['id']}", lambda found: found["status"] in ENDED))
    assert looks[-1]["status"] == "completed", looks[-1]["reason"]
    percents = [look["progress"]["percent"] for look in looks if look["status"] == "running"]
    assert percents == sorted(percents)
    assert len({percent for percent in percents if percent > 0}) >= 3, percents
    assert looks[-1]["model"]["version"] == "v1"


def test_accuracy_is_what_the_downloaded_model_gives(
    member: ApiClient, trained: dict[str, Any], rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    """The registry's figure is recomputed here, from the file a user downloads, on the rows that were held out."""
    model = registered(member, trained)
    with tarfile.open(fileobj=io.BytesIO(download(member, model, "model.tar.gz")), mode="r:gz") as archive:
        unpack(archive, tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    truth = numpy.array([row["diagnosis"] for row in rows])
    _, held_out = train_test_split(numpy.arange(len(rows)), test_size=0.2, random_state=42, stratify=truth)
    assert len(held_out) == manifest["rows"]["test"]

    features = [feature["name"] for feature in manifest["features"]]
    x = numpy.array([[rows[index][name] for name in features] for index in held_out], dtype=numpy.float32)
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    probabilities = numpy.asarray(session.run(None, {session.get_inputs()[0].name: x})[-1])
    predicted = numpy.array(manifest["labels"])[probabilities.argmax(axis=1)]

    accuracy = float(numpy.mean(predicted == truth[held_out]))
    assert accuracy == pytest.approx(model["test_accuracy"], abs=1e-9)
    assert accuracy > 0.9


def test_shuffled_labels_fall_to_chance(member: ApiClient, rows: list[dict[str, Any]]) -> None:
    labels = [row["diagnosis"] for row in rows]
    random.Random(7).shuffle(labels)
    shuffled = upload(member, [row | {"diagnosis": label} for row, label in zip(rows, labels, strict=True)])
    job = train(member, shuffled)
    assert job["status"] == "completed", job
    assert job["progress"]["metrics"]["test_accuracy"] < 0.75  # the larger class alone gives 0.63


def test_lineage_and_files_are_told(member: ApiClient, trained: dict[str, Any], dataset: dict[str, Any]) -> None:
    model = registered(member, trained)
    assert (model["job_id"], model["training_dataset"]) == (trained["id"], dataset["id"])
    files = {file["filename"]: file for file in model["files"]}
    assert {"model.tar.gz", "manifest.json", "metrics.json"} <= set(files)
    assert files["model.tar.gz"]["is_primary"]
    assert all(len(file["file_hash"]) == 64 for file in files.values())
    assert model["primary_metric"]["name"] == "test_accuracy"


def test_deployed_model_answers_and_goes_away(
    platform: Platform, member: ApiClient, trained: dict[str, Any], rows: list[dict[str, Any]]
) -> None:
    model = trained["model"]
    body = {"name": "Cancer", "model": {"model_id": model["model_id"], "version": model["version"]}}
    endpoint = member.call("POST", "/endpoints", body)
    endpoint = member.wait(f"/endpoints/{endpoint['id']}", "in_service", "failed")
    assert endpoint["status"] == "in_service", endpoint
    assert registered(member, trained)["deployed"]

    instances = [{name: value for name, value in row.items() if name != "diagnosis"} for row in rows]
    answer = requests.post(
        endpoint["url"], json={"instances": instances}, headers=dict(member.session.headers), timeout=60
    )
    predictions = answer.json()["predictions"]
    right = sum(guess["label"] == row["diagnosis"] for guess, row in zip(predictions, rows, strict=True))
    assert right / len(rows) > 0.9
    as_csv = member.request(
        "POST",
        f"/endpoints/{endpoint['id']}/invoke",
        data=to_csv([{n: v for n, v in row.items() if n != "diagnosis"} for row in rows]),
        headers={"Content-Type": "text/csv"},
    )
    assert [p["label"] for p in as_csv.json()["predictions"]] == [p["label"] for p in predictions]

    bad = member.request("POST", f"/endpoints/{endpoint['id']}/invoke", json={"instances": [{"age": 3}]})
    assert (bad.status_code, bad.json()["code"]) == (400, "bad_request")

    member.call("DELETE", f"/endpoints/{endpoint['id']}")
    assert gone(member, f"/endpoints/{endpoint['id']}")
    sagemaker = platform.client("sagemaker")
    name = f"slipway-local-{endpoint['id']}"
    assert not [e for e in sagemaker.list_endpoints()["Endpoints"] if e["EndpointName"] == name]
    assert not [m for m in sagemaker.list_models()["Models"] if m["ModelName"] == name]
    assert not [c for c in sagemaker.list_endpoint_configs()["EndpointConfigs"] if c["EndpointConfigName"] == name]
    assert not registered(member, trained)["deployed"]


def gone(api: ApiClient, path: str) -> bool:
    """Wait until a record is absent."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if api.request("GET", path).status_code == 404:
            return True
        time.sleep(0.2)
    return False


def test_data_set_in_use_is_not_deleted_under_a_job(member: ApiClient, rows: list[dict[str, Any]]) -> None:
    dataset = upload(member, rows)
    job = member.call("POST", "/jobs", JOB | {"dataset_id": dataset["id"], "model_id": "holder"})
    refused = member.request("DELETE", f"/datasets/{dataset['id']}")
    assert refused.status_code == 409 and job["id"] in refused.json()["detail"]
    member.wait(f"/jobs/{job['id']}", *ENDED)
    assert member.request("DELETE", f"/datasets/{dataset['id']}").status_code == 204


def test_history_and_logs_can_be_read_afterwards(member: ApiClient, trained: dict[str, Any]) -> None:
    lines, cursor = [], None
    while True:
        page = member.call(
            "GET", f"/jobs/{trained['id']}/logs", params={"limit": 20} | ({"cursor": cursor} if cursor else {})
        )
        lines += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert sum('"slipway"' in line["message"] for line in lines) >= 3
    points = member.call("GET", f"/jobs/{trained['id']}/metrics?limit=100")["items"]
    sequences = [point["sequence"] for point in points]
    assert len(sequences) == len(set(sequences)) >= 3


def test_an_ended_job_can_be_deleted_and_its_model_stays(
    platform: Platform, member: ApiClient, dataset: dict[str, Any]
) -> None:
    job = train(member, dataset)
    assert member.request("DELETE", f"/jobs/{job['id']}").status_code == 204
    assert gone(member, f"/jobs/{job['id']}")
    assert registered(member, job)["status"] == "ready"

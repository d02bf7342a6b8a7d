"""Datasets as tests make them: uploaded like a client does it, processed by the workflow's own steps."""

import os
from typing import Any

import boto3
import requests

from lambdas.common import waits
from lambdas.datasets import tasks
from lambdas.datasets.records import version_id
from lambdas.processing import tasks as processing
from tests.api.client import ApiClient

IRIS = b"sepal_length,sepal_width,species\n5.1,3.5,setosa\n4.9,,setosa\n7.0,3.2,versicolor\n6.3,3.3,virginica\n"
IRIS_FILE = {"filename": "iris.csv", "size": len(IRIS)}


def new_dataset(content: bytes = IRIS, filename: str = "iris.csv", **changes: Any) -> dict[str, Any]:
    """Return the body that creates a dataset of one file."""
    files = [{"filename": filename, "size": len(content)}]
    return {"name": "Iris", "type": "tabular", "format": "csv", "files": files, "tags": ["flowers"]} | changes


def upload(client: ApiClient, content: bytes = IRIS, **changes: Any) -> dict[str, Any]:
    """Create a dataset and upload its file's parts; return it, `uploading`."""
    created = client.post("/datasets", new_dataset(content, **changes))
    assert created.status == 201, created.body
    for plan in created.body["uploads"].values():
        put_parts(plan, content)
    return created.body


def put_parts(plan: dict[str, Any], content: bytes) -> None:
    """Upload every part that a plan asks for."""
    for part in plan["parts"]:
        put(part, content)


def put(part: dict[str, Any], content: bytes) -> None:
    """Upload one part."""
    answer = requests.put(part["url"], data=content[part["offset"] : part["offset"] + part["size"]], timeout=20)
    assert answer.status_code == 200, answer.text


def processed(client: ApiClient, content: bytes = IRIS, **changes: Any) -> dict[str, Any]:
    """Upload, complete and process; return the dataset as the API then answers it."""
    dataset = upload(client, content, **changes)
    completed = client.post(f"/datasets/{dataset['id']}/complete")
    assert (completed.status, completed.body["status"]) == (202, "processing")
    run_workflow(client.username, version_id(dataset["id"], 1))
    return client.get(f"/datasets/{dataset['id']}").body


def run_workflow(owner: str, id: str) -> None:
    """Do for a version what the workflow `process` does, as far as a function reads it."""
    event = {"owner": owner, "id": id}
    prepared = tasks.process(event | {"step": "prepare"}, None)
    if prepared["way"] == "copy":
        tasks.copy(event, None)
        prepared = tasks.process(event | {"step": "prepare"}, None)
    if prepared["way"] == "function":
        processing.profile({"bucket": prepared["bucket"], "request": prepared["request"]}, None)
    assert prepared["way"] in ("function", "none")
    tasks.process(event | {"step": "finish"}, None)


def first_version(id: str) -> str:
    """Return the id of a dataset's first version, by which its wait and its execution go."""
    return version_id(id, 1)


def objects(owner: str, id: str) -> list[str]:
    """Return the keys of a dataset's objects."""
    found = boto3.client("s3").list_objects_v2(Bucket=os.environ["DATASETS_BUCKET"], Prefix=f"{owner}/{id}/")
    return [item["Key"] for item in found.get("Contents", [])]


def waits_for(id: str) -> bool:
    """Return whether a dataset counts as under way, in any version."""
    return any(id.removeprefix("ds-") in found for _, found in waits.under_way("ds"))

"""Datasets through their API: upload straight to S3, processing, ready.

Run: python -m pytest tests/api/test_datasets.py
"""

from collections.abc import Callable
from typing import Any

import pytest
import requests

from lambdas.datasets import tasks
from tests.api.client import ApiClient

IRIS = b"sepal_length,sepal_width,species\n5.1,3.5,setosa\n4.9,,setosa\n7.0,3.2,versicolor\n6.3,3.3,virginica\n"


def new_dataset(content: bytes, **changes: Any) -> dict[str, Any]:
    return {
        "name": "Iris",
        "type": "tabular",
        "format": "csv",
        "filename": "iris.csv",
        "size": len(content),
        "tags": ["flowers"],
    } | changes


def upload(client: ApiClient, content: bytes, **changes: Any) -> dict[str, Any]:
    """Create a dataset and upload its parts; return it, `uploading`."""
    created = client.post("/datasets", new_dataset(content, **changes))
    assert created.status == 201, created.body
    for part in created.body["upload"]["parts"]:
        put(part, content)
    return created.body


def put(part: dict[str, Any], content: bytes) -> None:
    answer = requests.put(part["url"], data=content[part["offset"] : part["offset"] + part["size"]], timeout=20)
    assert answer.status_code == 200, answer.text


def processed(client: ApiClient, content: bytes, **changes: Any) -> dict[str, Any]:
    """Upload, complete and process; return the dataset as the API then answers it."""
    dataset = upload(client, content, **changes)
    completed = client.post(f"/datasets/{dataset['id']}/complete")
    assert (completed.status, completed.body["status"]) == (202, "processing")
    tasks.process({"owner": client.username, "id": dataset["id"]}, None)
    return client.get(f"/datasets/{dataset['id']}").body


@pytest.fixture
def ada(api: Callable[..., ApiClient]) -> ApiClient:
    return api("datasets")


def test_an_uploaded_csv_becomes_ready_with_its_shape_and_hash(ada: ApiClient) -> None:
    dataset = processed(ada, IRIS)
    assert (dataset["status"], dataset["rows"], dataset["columns"], dataset["reason"]) == ("ready", 4, 3, None)

"""Datasets past what a function reads are read by a SageMaker Processing job, by the same code, with the same result.

.venv/bin/python -m pytest tests/journeys/test_dataset_job.py
"""

from collections.abc import Iterator
from typing import Any

import pytest

from local.api_client import ApiClient
from local.demo import to_csv
from tests.journeys.conftest import configured
from tests.platform import Platform


@pytest.fixture
def everything_is_large(platform: Platform) -> Iterator[None]:
    """A stage whose setting `processing_function_bytes` is one byte."""
    with configured(platform, "datasets_process", PROCESSING_FUNCTION_BYTES="1"):
        yield


def test_a_job_finds_what_a_function_finds(
    platform: Platform,
    member: ApiClient,
    rows: list[dict[str, Any]],
    dataset: dict[str, Any],
    everything_is_large: None,
) -> None:
    read = read_by_job(platform, member, to_csv(rows))
    assert read["status"] == "ready", read
    assert (read["sha256"], read["rows"]) == (dataset["sha256"], dataset["rows"])
    for part in ("profile", "preview", "readiness?training_type=tabular&target=diagnosis"):
        by_job, by_function = (member.call("GET", f"/datasets/{id}/{part}") for id in (read["id"], dataset["id"]))
        assert by_job == by_function


def test_a_job_refuses_as_a_function_does(platform: Platform, member: ApiClient, everything_is_large: None) -> None:
    read = read_by_job(platform, member, b"a,b\n1,2\n1,2,3\n")
    assert (read["status"], "Row 3 has 3 fields" in read["reason"]) == ("failed", True)


def read_by_job(platform: Platform, api: ApiClient, content: bytes) -> dict[str, Any]:
    """Upload a dataset, wait until it is read, and return it; fails unless a processing job did so."""
    id = api.upload(content, "rows.csv", name="Large")["id"]
    read = api.wait(f"/datasets/{id}", "ready", "failed")
    sagemaker = platform.client("sagemaker")
    job = sagemaker.describe_processing_job(ProcessingJobName=f"dsv-{id.removeprefix('ds-')}-0001")
    assert job["ProcessingJobStatus"] == "Completed"
    assert job["NetworkConfig"]["EnableNetworkIsolation"]
    return read

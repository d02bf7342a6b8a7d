"""A function of jobs that dies at any of its calls to AWS: there is a whole job then, or none, and counts are true.

Run: python -m pytest tests/api/test_jobs_crashes.py -s
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from lambdas.endpoints import chain
from lambdas.endpoints.service import ENDPOINTS
from lambdas.jobs.schemas import RegisteredModel
from lambdas.jobs.service import JOBS
from lambdas.models.records import MODELS
from tests.api import registry
from tests.api.client import ApiClient
from tests.api.crashes import Killed, deaths, dying_at
from tests.api.jobs import created, end, has_execution, holders, new_job, of, record, recover, table, under_way

pytestmark = pytest.mark.thorough


@pytest.fixture
def ada(api: Callable[..., ApiClient]) -> ApiClient:
    return api("jobs")


def assert_true(ada: ApiClient, dataset: str) -> None:
    """Every job that counts is queued, started and under way; nothing else counts, is under way or holds the data."""
    living = [job for job in of(ada.username) if not job.ended]
    queued = sorted(job.id for job in living if job.stage == "queued")
    assert holders(ada.username, dataset) == {job.id for job in living}
    assert under_way(ada.username) == queued
    assert all(map(has_execution, queued))
    usage = ada.get("/jobs/usage").body
    assert (usage["jobs"], usage["instance_hours"]) == (len(queued), len(queued))


def test_a_creation_that_dies(ada: ApiClient) -> None:
    dataset = table(ada)
    for _ in deaths(lambda: ada.post("/jobs", new_job(dataset))):
        recover(ada.username)
        assert_true(ada, dataset)


def test_a_start_that_dies(ada: ApiClient) -> None:
    dataset = table(ada)
    made = [created(ada, new_job(dataset, hold=True))]
    for _ in deaths(lambda: ada.post(f"/jobs/{made[-1]['id']}/start")):
        recover(ada.username)
        assert_true(ada, dataset)
        made.append(created(ada, new_job(dataset, hold=True)))


def test_a_rerun_that_dies(ada: ApiClient) -> None:
    dataset = table(ada)
    job = created(ada, new_job(dataset))
    for _ in deaths(lambda: ada.post(f"/jobs/{job['id']}/rerun")):
        recover(ada.username)
        assert_true(ada, dataset)


def test_a_stop_of_a_held_job_that_dies(ada: ApiClient) -> None:
    dataset = table(ada)
    job = created(ada, new_job(dataset, hold=True))
    for call in (1, 2, 3):
        with dying_at(call), suppress(Killed):
            ada.post(f"/jobs/{job['id']}/stop")
        assert_true(ada, dataset)
    assert ada.get(f"/jobs/{job['id']}").body["status"] == "cancelled"


def servable(ada: ApiClient, api: Callable[..., ApiClient]) -> dict[str, str]:
    """Return the model of a job as the registry would have it when a container trained it."""
    version = registry.ready(api("models", username=ada.username))
    found = MODELS.get(ada.username, version["id"])
    MODELS.update(found, image="tabular", model_archive=f"{found.prefix}model.tar.gz")
    return {"id": found.id, "model_id": found.model_id, "version": found.version}


def completed(ada: ApiClient, dataset: str, model: dict[str, str] | None) -> dict[str, Any]:
    """Return a completed job that asked for an endpoint, with its model or without."""
    job = created(ada, new_job(dataset, deploy={"name": "Live"}))
    JOBS.update(record(job), **({"model": RegisteredModel(**model)} if model else {}))
    end(job, "completed")
    return job


def endpoints(owner: str) -> list[str]:
    return [endpoint.id for endpoint in ENDPOINTS.list(owner, "ep-", 100, None).items]


def test_an_endpoint_that_follows_is_made_once_whatever_dies(ada: ApiClient, api: Callable[..., ApiClient]) -> None:
    dataset, model = table(ada), servable(ada, api)
    made = [completed(ada, dataset, model)]
    count = 0

    def followed() -> bool:
        chain.follow({"owner": ada.username, "id": made[-1]["id"]}, None)
        return True

    for _ in deaths(followed):
        for id in under_way(ada.username, "ep-job-"):
            chain.follow_job(ada.username, id.removeprefix("ep-"))
        job, count = record(made[-1]), count + 1
        assert job.endpoint_id in endpoints(ada.username) and len(endpoints(ada.username)) == count
        assert (job.status, job.deploy_error) == ("completed", None)
        assert under_way(ada.username, "ep-job-") == []
        made.append(completed(ada, dataset, model))
    followed()
    assert len(endpoints(ada.username)) == count + 1


def test_a_job_is_completed_though_its_endpoint_cannot_be(ada: ApiClient) -> None:
    job = completed(ada, table(ada), None)
    assert under_way(ada.username, "ep-") == [f"ep-{job['id']}"]
    recover(ada.username)
    found = ada.get(f"/jobs/{job['id']}").body
    assert (found["status"], found["endpoint_id"]) == ("completed", None)
    assert "has no model kinds" in found["deploy_error"]
    assert under_way(ada.username, "ep-") == []


def test_a_deleted_job_has_no_endpoint_to_follow(ada: ApiClient) -> None:
    job = completed(ada, table(ada), None)
    assert ada.delete(f"/jobs/{job['id']}").status == 204
    chain.follow_job(ada.username, job["id"])
    assert under_way(ada.username, "ep-") == []


def test_a_job_that_fails_has_no_endpoint_to_follow(ada: ApiClient) -> None:
    job = created(ada, new_job(table(ada), deploy={}))
    end(job, "failed")
    assert under_way(ada.username, "ep-") == []

"""Which of two users' jobs is next: asked for over HTTP, seen at Batch.  `pytest tests/journeys/test_queue.py`"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from local.api_client import ApiClient
from tests.journeys.checks.world import until
from tests.journeys.conftest import PARAMETERS, upload
from tests.platform import Platform

INSTANCE_TYPE, INSTANCES = "ml.m5.large", 2  # what stage `local` has


@pytest.fixture
def full(platform: Platform, member: ApiClient, dataset: dict[str, Any]) -> Iterator[None]:
    """Every instance is taken by a job that gets no machine."""
    platform.faults(capacity_wait={INSTANCE_TYPE: 3600})
    blocking = [start(member, dataset, "normal") for _ in range(INSTANCES)]
    try:
        for id in blocking:
            member.wait(f"/jobs/{id}", "running")
        yield
    finally:
        for id in blocking:
            member.call("POST", f"/jobs/{id}/stop")
            member.wait(f"/jobs/{id}", "cancelled")
        platform.faults()


def start(api: ApiClient, dataset: dict[str, Any], priority: str) -> str:
    request = {"name": "Queued", "dataset_id": dataset["id"], "parameters": PARAMETERS, "priority": priority}
    return api.call("POST", "/jobs", request)["id"]


def front(platform: Platform) -> list[str]:
    """The ids of the jobs that wait, the next one first."""
    batch = platform.client("batch")
    found = []
    for queue in batch.describe_job_queues()["jobQueues"]:
        for job in batch.get_job_queue_snapshot(jobQueue=queue["jobQueueArn"])["frontOfQueue"]["jobs"]:
            found.append(batch.describe_service_job(jobId=job["jobArn"])["jobName"])
    return found


def test_users_take_turns_and_priority_orders_each_ones_own_jobs(
    platform: Platform, full: None, new_user: Callable[..., ApiClient], rows: list[dict[str, Any]]
) -> None:
    ada, bob = new_user(), new_user()
    data = {api: upload(api, rows[:100]) for api in (ada, bob)}
    names: dict[str, str] = {}
    for api, name in (
        (ada, "ada low"),
        (ada, "ada normal"),
        (ada, "ada high"),
        (bob, "bob low"),
        (bob, "bob high"),
    ):
        id = start(api, data[api], name.split()[1])
        names[id] = name
        until(lambda: len(front(platform)) == len(names), "it waits at Batch", seconds=60)
    try:
        assert [names[id] for id in front(platform)] == ["ada high", "bob high", "ada normal", "bob low", "ada low"]
    finally:
        for id, name in names.items():
            (ada if name.startswith("ada") else bob).call("POST", f"/jobs/{id}/stop")
    for id, name in names.items():
        (ada if name.startswith("ada") else bob).wait(f"/jobs/{id}", "cancelled")

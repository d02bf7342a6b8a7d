"""What the tasks tell operators: jobs that fail for an admin's reasons, workflows that break, queues that are blocked.

Run: python -m pytest tests/api/test_operator_metrics.py
"""

import json
from collections.abc import Callable
from typing import Any

import pytest

from lambdas.datasets import tasks as datasets
from lambdas.endpoints import tasks as endpoints
from lambdas.jobs import service, tasks
from lambdas.models import tasks as models
from tests.api.client import ApiClient
from tests.api.jobs import created, new_job, record, table

BROKE = {
    "source": "aws.states",
    "detail-type": "Step Functions Execution Status Change",
    "detail": {
        "name": "absent",
        "status": "TIMED_OUT",
        "executionArn": "arn:aws:states:us-east-1:0:execution:x:absent",
    },
}
NO_QUOTA = "ResourceLimitExceeded: account-level service limit is 0 Instances"


def sent(capsys: pytest.CaptureFixture[str]) -> list[tuple[str, float]]:
    """Return the metrics sent since the last look, with their values."""
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"_aws"' in line]
    names = [line["_aws"]["CloudWatchMetrics"][0]["Metrics"][0]["Name"] for line in lines]
    return [(name, line[name][0]) for name, line in zip(names, lines, strict=True)]


@pytest.fixture
def job(api: Callable[..., ApiClient]) -> dict[str, Any]:
    """A queued job."""
    client = api("jobs")
    return created(client, new_job(table(client)))


def test_a_job_that_fails_for_an_admins_reason_is_counted_once(
    job: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    sent(capsys)
    queued = record(job)
    for _ in range(2):  # the second time with the record as it was before
        assert service.end(queued, "failed", NO_QUOTA).status == "failed"
    assert sent(capsys) == [("JobFailures", 1.0)]


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [("failed", "AlgorithmError: [data] No such column, exit code: 1"), ("cancelled", "Stopped."), ("completed", None)],
)
def test_no_other_end_is_counted(
    job: dict[str, Any], outcome: Any, reason: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    sent(capsys)
    service.end(record(job), outcome, reason)
    assert sent(capsys) == []


@pytest.mark.parametrize("handler", [datasets.recover, models.recover, tasks.watch, endpoints.watch])
def test_every_watcher_counts_a_broken_workflow(handler: Any, capsys: pytest.CaptureFixture[str]) -> None:
    sent(capsys)
    handler(BROKE, None)
    assert sent(capsys) == [("WorkflowFailures", 1.0)]


def test_a_blocked_queue_is_counted_whosever_job_blocks_it(capsys: pytest.CaptureFixture[str]) -> None:
    detail = {"jobName": "job-absent", "jobQueue": "arn:aws:batch:us-east-1:0:job-queue/x", "statusReason": "CAPACITY"}
    sent(capsys)
    tasks.watch({"detail-type": "Batch Service Job Queue Blocked", "source": "aws.batch", "detail": detail}, None)
    assert sent(capsys) == [("BlockedQueues", 1.0)]

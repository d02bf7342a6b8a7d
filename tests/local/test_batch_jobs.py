"""Service jobs of the local AWS Batch: `pytest tests/local -k batch`."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local.services import Services, until

WORK = "print('worked')"


@pytest.fixture
def queue(services: Services, request: pytest.FixtureRequest) -> str:
    """A fair-share queue of its own for the test, with room for one instance."""
    name = request.node.name.replace("_", "-")[:60]
    services.batch.create_service_environment(
        serviceEnvironmentName=name,
        serviceEnvironmentType="SAGEMAKER_TRAINING",
        capacityLimits=[{"maxCapacity": 1, "capacityUnit": "NUM_INSTANCES"}],
    )
    policy = services.batch.create_scheduling_policy(name=name, fairsharePolicy={"shareDecaySeconds": 3600})
    services.batch.create_job_queue(
        jobQueueName=name,
        jobQueueType="SAGEMAKER_TRAINING",
        priority=1,
        schedulingPolicyArn=policy["arn"],
        serviceEnvironmentOrder=[{"order": 1, "serviceEnvironment": name}],
    )
    return name


def submit(services: Services, queue: str, name: str, train: str = WORK, share: str = "ada", **more: Any) -> str:
    payload = services.training_request(name, services.image(name, train=train), **more.pop("payload", {}))
    return services.batch.submit_service_job(
        jobName=name,
        jobQueue=queue,
        serviceJobType="SAGEMAKER_TRAINING",
        serviceRequestPayload=json.dumps(payload),
        shareIdentifier=share,
        **more,
    )["jobId"]


def in_status(services: Services, job_id: str, *statuses: str) -> dict[str, Any]:
    return until(lambda: services.batch.describe_service_job(jobId=job_id), lambda job: job["status"] in statuses)


def ended(services: Services, job_id: str) -> dict[str, Any]:
    return in_status(services, job_id, "SUCCEEDED", "FAILED")


def test_a_service_job_trains_and_succeeds(services: Services, queue: str) -> None:
    job = ended(services, submit(services, queue, "job-0123456789abcdefghi"))

    assert job["status"] == "SUCCEEDED", job["statusReason"]
    assert job["statusReason"] == "Received status from SageMaker: Training job completed"
    [attempt] = job["attempts"]
    assert attempt["startedAt"] <= attempt["stoppedAt"]
    name = attempt["serviceResourceId"]["value"].rpartition("/")[2]
    assert name.startswith("AWSBatchjob-0123456789abcdefghi") and len(name) == 63
    assert services.sagemaker.describe_training_job(TrainingJobName=name)["TrainingJobStatus"] == "Completed"
    events = until(
        lambda: services.details("Batch Service Job State Change", jobId=job["jobId"]),
        lambda found: found and found[-1]["status"] == "SUCCEEDED",
    )
    assert [e["status"] for e in events] == ["RUNNABLE", "SCHEDULED", "STARTING", "RUNNING", "SUCCEEDED"]
    assert all("serviceRequestPayload" not in event and "tags" not in event for event in events)

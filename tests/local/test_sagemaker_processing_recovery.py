"""Processing jobs of a platform that stopped, was killed, or lacks capacity.

Run: pytest tests/local/test_sagemaker_processing_recovery.py
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.local.services import MiniStack, Services, ServicesProcess, alive, until
from tests.local.test_sagemaker_processing import EVENT, PATIENT, STUBBORN, log_lines

STOPPED = "InternalServerError: the platform stopped while the job was running"


@pytest.fixture
def own(aws: MiniStack, tmp_path: Path) -> Iterator[Services]:
    """SageMaker that a test may stop or disturb."""
    services = Services(tmp_path, aws.url, stop_grace=1.0, health_timeout=10.0)
    yield services
    services.close()


def test_the_account_quota_refuses_a_job_of_this_kind(own: Services) -> None:
    own.faults.quota["ml.m5.large"] = 1
    image = own.image("quota", process=PATIENT)
    own.sagemaker.create_training_job(**own.training_request("training", own.image("quota", train=PATIENT)))
    own.sagemaker.create_processing_job(**own.processing_request("first", image))
    with pytest.raises(ClientError, match=r"'ml\.m5\.large for processing job usage' is 1 Instances") as refused:
        own.sagemaker.create_processing_job(**own.processing_request("second", image))
    assert refused.value.response["Error"]["Code"] == "ResourceLimitExceeded"
    own.sagemaker.stop_processing_job(ProcessingJobName="first")
    own.processed("first")
    own.sagemaker.create_processing_job(**own.processing_request("second", image))


def test_a_job_that_waits_for_capacity_stops_at_once(own: Services) -> None:
    own.faults.capacity_wait["ml.m5.large"] = 60.0
    own.sagemaker.create_processing_job(**own.processing_request("pending", own.image("pending", process=PATIENT)))
    own.sagemaker.stop_processing_job(ProcessingJobName="pending")
    job = own.processed("pending")
    assert job["ProcessingJobStatus"] == "Stopped"
    assert "ProcessingStartTime" not in job and "ProcessingEndTime" not in job


def test_an_orderly_stop_of_the_platform_fails_the_job(own: Services) -> None:
    own.sagemaker.create_processing_job(
        **own.processing_request("interrupted", own.image("interrupted", process=PATIENT))
    )
    until(lambda: log_lines(own, "interrupted"), bool)
    own.close()
    own.start()
    job = own.processed("interrupted")
    assert (job["ProcessingJobStatus"], job["FailureReason"]) == ("Failed", STOPPED)


def test_after_a_kill_the_job_is_failed_and_its_program_gone(aws: MiniStack, tmp_path: Path) -> None:
    killed = ServicesProcess(tmp_path, aws.url)
    killed.sagemaker.create_processing_job(
        **killed.processing_request("killed", killed.image("killed", process=STUBBORN))
    )
    program = int(until(lambda: log_lines(killed, "killed"), bool)[0])
    killed.close()
    until(lambda: alive(program), lambda lives: not lives, seconds=3)
    after = Services(tmp_path, aws.url, stop_grace=1.0, health_timeout=10.0)
    try:
        job = after.processed("killed")
        assert (job["ProcessingJobStatus"], job["FailureReason"]) == ("Failed", STOPPED)
        assert after.details(EVENT, ProcessingJobName="killed", ProcessingJobStatus="Failed")
        assert not list((tmp_path / "sagemaker/processing").iterdir())
    finally:
        after.close()

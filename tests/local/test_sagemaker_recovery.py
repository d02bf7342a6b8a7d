"""What the local SageMaker and Batch make of a platform that stopped or was killed, and of planted faults."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.local.services import BUCKET, MiniStack, Services, ServicesProcess, alive, until
from tests.local.test_batch_jobs import create_queue, ended, in_status, submit
from tests.local.test_sagemaker_endpoints import create_endpoint, gone, invoke, settled
from tests.local.test_sagemaker_training import PATIENT, STUBBORN, program_lines

STOPPED = "InternalServerError: the platform stopped while the job was running"
STEPS = ["Starting", "Downloading", "Training", "Uploading", "Completed"]
EVENT = "SageMaker Training Job State Change"


@pytest.fixture
def own(aws: MiniStack, tmp_path: Path) -> Iterator[Services]:
    """SageMaker and Batch that a test may stop or disturb."""
    services = Services(tmp_path, aws.url, stop_grace=1.0, health_timeout=10.0)
    yield services
    services.close()


def test_after_a_kill_jobs_are_failed_programs_are_gone_and_endpoints_serve_again(
    aws: MiniStack, tmp_path: Path
) -> None:
    killed = ServicesProcess(tmp_path, aws.url)
    image = killed.image("killed", train=STUBBORN)
    killed.sagemaker.create_training_job(**killed.training_request("killed", image))
    create_endpoint(killed, "survivor")
    program = int(until(lambda: program_lines(killed, "killed"), bool)[0])
    server = invoke(killed, "survivor")["pid"]
    queue = create_queue(killed, "interrupted")
    running = submit(killed, queue, "interrupted", train=STUBBORN)
    waiting = submit(killed, queue, "waiting")
    in_status(killed, running, "RUNNING")
    killed.close()

    until(lambda: (alive(program), alive(server)), lambda pair: not any(pair), seconds=3)
    after = Services(tmp_path, aws.url, stop_grace=1.0, health_timeout=10.0)
    try:
        job = after.ended("killed")
        assert (job["TrainingJobStatus"], job["FailureReason"]) == ("Failed", STOPPED)
        assert after.details(EVENT, TrainingJobName="killed", TrainingJobStatus="Failed")
        assert settled(after, "survivor")["EndpointStatus"] == "InService"
        until(lambda: can_invoke(after, "survivor"), bool)
        assert invoke(after, "survivor")["pid"] != server
        assert STOPPED in ended(after, running)["statusReason"]
        assert ended(after, waiting)["status"] == "SUCCEEDED"
        after.sagemaker.delete_endpoint(EndpointName="survivor")
        gone(after, "survivor")
    finally:
        after.close()
    assert not list((tmp_path / "sagemaker/jobs").iterdir())


def test_an_orderly_stop_keeps_the_checkpoint_of_a_running_job(own: Services) -> None:
    image = own.image("stopped", train=PATIENT)
    request = own.training_request("stopped", image, CheckpointConfig={"S3Uri": f"s3://{BUCKET}/stopped/c"})
    own.sagemaker.create_training_job(**request)
    until(lambda: program_lines(own, "stopped"), bool)
    own.close()
    own.start()
    job = own.ended("stopped")
    assert (job["TrainingJobStatus"], job["FailureReason"]) == ("Failed", STOPPED)
    assert own.object(f"s3://{BUCKET}/stopped/c/state.json") == b"saved"


def test_a_job_that_batch_may_try_again_runs_again_after_a_stop(own: Services) -> None:
    queue = create_queue(own, "again")
    job = submit(own, queue, "again", train=ONCE_SLOW, retryStrategy={"attempts": 2}, payload=CHECKPOINTED)
    in_status(own, job, "RUNNING")
    until(lambda: own.keys("again/c/"), bool)
    own.close()
    own.start()
    described = ended(own, job)
    assert described["status"] == "SUCCEEDED", described["statusReason"]
    assert [STOPPED in attempt["statusReason"] for attempt in described["attempts"]] == [True, False]


def test_the_account_quota_refuses_a_job_and_batch_gives_up_without_an_attempt(own: Services) -> None:
    own.faults.quota["ml.m5.large"] = 0
    request = own.training_request("quota", own.image("quota"))
    with pytest.raises(ClientError, match=r"'ml\.m5\.large for training job usage' is 0 Instances") as refused:
        own.sagemaker.create_training_job(**request)
    assert refused.value.response["Error"]["Code"] == "ResourceLimitExceeded"

    job = ended(own, submit(own, create_queue(own, "quota"), "quota"))

    assert (job["status"], job["attempts"]) == ("FAILED", [])
    assert job["statusReason"].startswith("Received status from SageMaker: The account-level service limit")


def test_a_job_that_waits_for_capacity_is_pending_and_starts_when_it_comes(own: Services) -> None:
    own.faults.capacity_wait["ml.m5.large"] = 1.0
    job = submit(own, create_queue(own, "capacity"), "capacity")
    scheduled = in_status(own, job, "SCHEDULED")
    name = scheduled["latestAttempt"]["serviceResourceId"]["value"].rpartition("/")[2]
    assert own.sagemaker.describe_training_job(TrainingJobName=name)["SecondaryStatus"] == "Pending"
    assert ended(own, job)["status"] == "SUCCEEDED"


def test_a_pending_job_stops_at_once(own: Services) -> None:
    own.faults.capacity_wait["ml.m5.large"] = 60.0
    own.sagemaker.create_training_job(**own.training_request("pending", own.image("pending")))
    own.sagemaker.stop_training_job(TrainingJobName="pending")
    assert own.ended("pending")["SecondaryStatus"] == "Stopped"


@pytest.mark.parametrize(
    ("mode", "arriving"),
    [
        ("", STEPS),
        ("duplicate", [step for step in STEPS for _ in range(2)]),
        ("reorder", ["Downloading", "Starting", "Uploading", "Training", "Completed"]),
        ("drop", []),
    ],
)
def test_events_arrive_as_the_fault_says(own: Services, mode: str, arriving: list[str]) -> None:
    own.faults.events = mode
    own.sagemaker.create_training_job(**own.training_request("events", own.image("events", train="")))
    own.ended("events")
    own.faults.events = "" if mode == "drop" else mode
    events = until(
        lambda: [event["SecondaryStatus"] for event in own.details(EVENT, TrainingJobName="events")],
        lambda found: len(found) >= len(arriving),
    )
    assert events == arriving


def can_invoke(services: Services, name: str) -> bool:
    try:
        return bool(invoke(services, name))
    except ClientError:
        return False


CHECKPOINTED = {"CheckpointConfig": {"S3Uri": f"s3://{BUCKET}/again/c"}}
ONCE_SLOW = """
import os, pathlib, signal, sys
state = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"]) / "checkpoints/state"
if state.exists():
    sys.exit(0)
state.write_text("begun")
signal.pause()
"""

"""Eight ways for a job to fail, each brought about, and the class that each has.

The jobs go through Batch and SageMaker; what those then say is read as the platform reads it.

Run: python -m pytest tests/local/test_failure_classes.py
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lambdas.jobs.outcome import observe
from tests.local.services import BUCKET, Services
from tests.local.test_batch_jobs import create_queue, ended, submit
from tests.units.test_jobs import job

INSTANCE = "ml.m5.large"
# A container of ours: its own contract around a training that fails.
CONTAINER = f"""
import resource, sys
sys.path.insert(0, {str(Path(__file__).resolve().parents[2])!r})
from training_containers.common.contract import TrainingError, run_training
def train(paths):
    %s
sys.exit(run_training(train))
"""
WITHOUT_ROWS = CONTAINER % "raise TrainingError('The file rows.csv has no rows.')"
LARGE = CONTAINER % "resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31)); return bytearray(2**33)"
BROKEN = CONTAINER % "return 1 / 0"
KILLED = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"  # as the kernel does when memory runs out
ENDLESS = "import time; time.sleep(60)"
NOTHING = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/nothing-here"}}
WITHOUT_DATA = {"InputDataConfig": [{"ChannelName": "train", "DataSource": NOTHING}]}


@pytest.fixture(scope="module")
def queue(services: Services) -> str:
    return create_queue(services, "failures", capacity=9)


@pytest.mark.parametrize(
    ("name", "expected", "words", "program", "payload"),
    [
        ("bad-data", "data", "The file rows.csv has no rows.", WITHOUT_ROWS, {}),
        ("no-data", "data", "No S3 objects found", "", WITHOUT_DATA),
        ("too-large", "memory", "ran out of memory", LARGE, {}),
        ("killed", "memory", "See the job's logs", KILLED, {}),
        ("broken", "code", "Unexpected ZeroDivisionError", BROKEN, {}),
        ("endless", "timeout", "max_runtime_seconds", ENDLESS, {"StoppingCondition": {"MaxRuntimeInSeconds": 1}}),
    ],
)  # fmt: skip
def test_failures_of_programs(
    services: Services, queue: str, name: str, expected: str, words: str, program: str, payload: dict[str, Any]
) -> None:
    expect(services, submit(services, queue, name, train=program, payload=payload), expected, words)


@pytest.mark.parametrize(
    ("expected", "words", "plant"),
    [
        ("quota", "account-level service limit", lambda faults: faults.quota.update({INSTANCE: 0})),
        ("capacity", "Unable to provision", lambda faults: faults.no_capacity.add(INSTANCE)),
    ],
)
def test_failures_of_aws(
    services: Services, queue: str, expected: str, words: str, plant: Callable[[Any], None]
) -> None:
    plant(services.faults)
    try:
        expect(services, submit(services, queue, f"without-{expected}"), expected, words)
    finally:
        services.faults.clear()


def expect(services: Services, batch_job: str, expected: str, words: str) -> None:
    """Wait for the end of a Batch job, and compare what it is taken for."""
    described = ended(services, batch_job)
    arn = described.get("latestAttempt", {}).get("serviceResourceId", {}).get("value")
    name = arn.rpartition("/")[2] if arn else None
    training = services.sagemaker.describe_training_job(TrainingJobName=name) if name else None
    seen = observe(job(), described, training)
    assert seen.outcome == "failed" and seen.failure and seen.reason
    assert (seen.failure.class_, words in seen.reason) == (expected, True), seen
    assert seen.failure.fix

"""Which class a failure has, by the words in which AWS and containers describe it.

Run: python -m pytest tests/units/test_job_failures.py
"""

from typing import Any, get_args

import pytest

from lambdas.jobs import failures
from lambdas.jobs.outcome import observe
from lambdas.jobs.watched import FailureClass
from tests.units.test_jobs import ARN, batch, job, training
from training_containers.common.contract import TrainingError, failure_reason

QUOTA = (
    "ResourceLimitExceeded: An error occurred (ResourceLimitExceeded) when calling the CreateTrainingJob operation: "
    "The account-level service limit 'ml.g5.xlarge for training job usage' is 0 Instances, with current utilization of "
    "0 Instances and a request delta of 1 Instances."
)


class OutOfMemoryError(RuntimeError):
    """As torch.cuda's, which is not installed here."""


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        # Containers of ours: what failure_reason writes, between what SageMaker puts around it.
        (failure_reason(TrainingError("Column 'x' is not in the data.")), "data"),
        (failure_reason(TrainingError("Parameter 'epochs' must be a whole number.", "code")), "code"),
        (failure_reason(TrainingError("The script ended with exit code 1. CUDA out of memory.", "code")), "memory"),
        (failure_reason(MemoryError()), "memory"),
        (failure_reason(OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")), "memory"),
        (failure_reason(RuntimeError("MPS backend out of memory")), "memory"),
        (failure_reason(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")), "memory"),
        (failure_reason(KeyError("quota")), "code"),
        (failure_reason(ValueError("AccessDenied")), "code"),
        # Other containers.
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB", "memory"),
        ("RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)", "memory"),
        ("OSError: [Errno 28] No space left on device", "memory"),
        ("Traceback (most recent call last): ... ZeroDivisionError: division by zero", "code"),
        ("ModuleNotFoundError: No module named 'xgboost'", "code"),
        (
            "ConnectionError: Failed to establish a new connection: [Errno -3] Temporary failure in name resolution",
            "code",
        ),
        ("See the job's logs for more information", "code"),
    ],
)
def test_words_of_a_container(reason: str, expected: str) -> None:
    assert failures.classify(f"AlgorithmError: {reason}, exit code: 1").class_ == expected


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("AlgorithmError: , exit code: 137", "memory"),
        ("AlgorithmError: See the job's logs for more information, exit code: 137", "memory"),
        ("CapacityError: Unable to provision requested ML compute capacity. Please retry using a different ML instance "
         "type.", "capacity"),
        ("Terminated by JobStateTimeLimit action due to reason: CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY", "capacity"),
        ("CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY - Unable to provision requested compute resources", "capacity"),
        ("Terminated by JobStateTimeLimit action due to reason: MISCONFIGURATION:SERVICE_ENVIRONMENT_MAX_RESOURCE",
         "quota"),
        (QUOTA, "quota"),
        (f"Received status from SageMaker:{QUOTA}", "quota"),
        ("ClientError: Data download failed:Unable to download object s3://b/k (AccessDenied: Access Denied)",
         "permission"),
        ("ClientError: User: arn:aws:sts::1:assumed-role/x is not authorized to perform: kms:Decrypt", "permission"),
        ('ClientError: Data download failed:No S3 objects found under S3 URL "s3://b/none" given in input data source.',
         "data"),
        ("ClientError: Please use an instance type with more memory, or reduce the size of training data processed on "
         "an instance.", "memory"),
        ("The container wrote no manifest.json and metrics.json to /opt/ml/output/data.", "code"),
        ("InternalServerError: We encountered an internal error. Please try again.", "unknown"),
        ("Task timed out after 900.00 seconds", "unknown"),
        (None, "unknown"),
    ],
)  # fmt: skip
def test_words_of_aws_and_of_the_platform(reason: str | None, expected: str) -> None:
    assert failures.classify(reason).class_ == expected


def test_operators_are_woken_for_what_users_cannot_mend() -> None:
    assert set(failures.FIXES) - {"memory", "data", "code", "timeout"} == failures.FOR_OPERATORS


def test_every_class_has_a_fix() -> None:
    assert set(failures.FIXES) == set(get_args(FailureClass))
    assert failures.classify("AlgorithmError: No space left on device, exit code: 1").fix.startswith(
        "The instance's disk"
    )


@pytest.mark.parametrize(
    ("described", "batch_reason", "expected"),
    [
        (training("Failed", "Failed", FailureReason="AlgorithmError: [data] No column 'x', exit code: 1"), "", "data"),
        (training("Stopped", "MaxRuntimeExceeded"), "", "timeout"),
        (training("Stopped", "MaxWaitTimeExceeded"), "", "capacity"),
        (training("Stopped", "Stopped"), "Job attempt duration exceeded timeout", "timeout"),
        (training("Stopped", "Stopped"), "", "unknown"),
    ],
)
def test_descriptions_of_a_training_job(described: dict[str, Any], batch_reason: str, expected: str) -> None:
    seen = observe(job(), batch("FAILED", ARN, statusReason=batch_reason), described)
    assert seen.outcome == "failed" and seen.failure
    assert seen.failure.class_ == expected
    assert seen.reason and "[data]" not in seen.reason


def test_only_failures_are_classified() -> None:
    asked = job(stop_requested_at="2026-01-01T00:00:00Z")
    assert observe(asked, batch("FAILED", ARN), training("Stopped", "Stopped")).failure is None
    assert observe(job(), batch("SUCCEEDED", ARN), training("Completed", "Completed")).failure is None


def test_a_job_that_batch_tries_again_has_not_failed() -> None:
    """Batch puts a job whose training job failed for lack of capacity back into the queue."""
    lacking = training(
        "Failed", "Failed", FailureReason="CapacityError: Unable to provision requested ML compute capacity."
    )
    words = "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY - Unable to provision requested compute resources"
    waiting = observe(job(stage="starting", status="running"), batch("RUNNABLE", ARN, statusReason=words), lacking)
    assert (waiting.outcome, waiting.changes["reason"]) == (None, words)
    given_up = observe(job(stage="starting", status="running"), batch("FAILED", ARN, statusReason=words), lacking)
    assert given_up.outcome == "failed" and given_up.failure and given_up.failure.class_ == "capacity"


def test_a_job_that_ran_out_of_time_in_silence_says_so() -> None:
    silent = job(stalled_since="2026-01-01T00:00:00Z")
    reason = observe(silent, batch("FAILED", ARN), training("Stopped", "MaxRuntimeExceeded")).reason
    assert reason and reason.endswith("It had printed nothing since 2026-01-01T00:00:00Z: look there first.")

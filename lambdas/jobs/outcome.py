"""What Batch and SageMaker say of a job, read as changes to our record. Pure: the same descriptions always
give the same answer, so duplicated, reordered and lost events end in the same state."""

import re
from dataclasses import dataclass
from typing import Any, Literal

from lambdas.jobs.schemas import Attempt, Job, Stage

Outcome = Literal["completed", "failed", "cancelled"]

STAGES: dict[str, Stage] = {
    "Pending": "starting",
    "Starting": "starting",
    "LaunchingMLInstances": "starting",
    "PreparingTrainingStack": "starting",
    "DownloadingTrainingImage": "starting",
    "Downloading": "downloading",
    "Training": "training",
    "Interrupted": "starting",
    "Restarting": "starting",
    "Updating": "training",
    "Uploading": "uploading",
    "Stopping": "stopping",
}
# The order in which a job moves; a description that is older than the record changes nothing.
ORDER: list[Stage] = ["held", "queued", "starting", "downloading", "training", "uploading", "stopping", "registering"]
WAITING = {"SUBMITTED", "PENDING", "RUNNABLE"}


@dataclass(frozen=True)
class Observation:
    """The changes that a look at AWS asks for, and how the job ended if it did."""

    changes: dict[str, Any]
    outcome: Outcome | None = None
    reason: str | None = None


def observe(job: Job, batch: dict[str, Any], training: dict[str, Any] | None) -> Observation:
    """Read DescribeServiceJob and, once there is one, DescribeTrainingJob (which decides)."""
    changes: dict[str, Any] = {}
    attempts = attempts_of(batch)
    if attempts and attempts != job.attempts:
        changes["attempts"] = attempts
    if training is not None:
        return _observe_training(job, training, changes)
    if batch["status"] == "FAILED":
        reason = _reason_of_batch(batch)
        return Observation(changes, *_ended_without_training(job, reason))
    reason = batch.get("statusReason")
    if batch["status"] in WAITING and job.stage == "queued" and reason and reason != job.reason:
        changes["reason"] = reason
    return Observation(changes)


def attempts_of(batch: dict[str, Any]) -> list[Attempt]:
    """Return every training job that Batch made for this service job, oldest first."""
    resources = [attempt.get("serviceResourceId") for attempt in batch.get("attempts", [])]
    resources.append(batch.get("latestAttempt", {}).get("serviceResourceId"))
    arns = dict.fromkeys(resource["value"] for resource in resources if resource and resource.get("value"))
    return [Attempt(training_job_arn=arn, training_job_name=arn.rsplit("/", 1)[-1]) for arn in arns]


def _observe_training(job: Job, training: dict[str, Any], changes: dict[str, Any]) -> Observation:
    status, secondary = training["TrainingJobStatus"], training["SecondaryStatus"]
    artefact = training.get("ModelArtifacts", {}).get("S3ModelArtifacts")
    if status == "Completed":
        if artefact != job.artefact:
            changes["artefact"] = artefact
        return Observation(changes, "completed")
    if status == "Failed":
        outcome: Outcome = "cancelled" if job.stop_requested_at else "failed"
        return Observation(changes, outcome, reason_of(training.get("FailureReason")))
    if status == "Stopped":
        if job.stop_requested_at:
            return Observation(changes, "cancelled", "Stopped on request; its checkpoints are kept.")
        if secondary in {"MaxRuntimeExceeded", "MaxWaitTimeExceeded"}:
            limit = f"It ran longer than max_runtime_seconds ({job.max_runtime_seconds}); raise it and run again."
            return Observation(changes, "failed", limit)
        return Observation(changes, "failed", "It was stopped outside of this platform.")
    stage: Stage = "stopping" if job.stop_requested_at else STAGES.get(secondary, "starting")
    if job.status == "pending" or ORDER.index(stage) > ORDER.index(job.stage or "held"):
        changes |= {"status": "running", "stage": stage, "reason": None}
        started = training.get("TrainingStartTime") or training.get("CreationTime")
        if job.started_at is None and started is not None:
            changes["started_at"] = started.isoformat()
    return Observation(changes)


def _ended_without_training(job: Job, reason: str) -> tuple[Outcome, str]:
    if job.stop_requested_at:
        return "cancelled", "Stopped on request before it started."
    return "failed", reason


def _reason_of_batch(batch: dict[str, Any]) -> str:
    reason = batch.get("statusReason") or "AWS Batch failed the job without a reason."
    # Batch prefixes SageMaker's words, with and without a space after the colon.
    return re.sub(r"^Received status from SageMaker:\s*", "", reason)


def reason_of(failure: str | None) -> str:
    """Return the container's own words from a FailureReason: `AlgorithmError: <words>, exit code: 1`."""
    if not failure:
        return "The training container failed without a reason; read the job's logs."
    return re.sub(r"^AlgorithmError:\s*|,?\s*exit code: \d+\s*$", "", failure).strip() or failure

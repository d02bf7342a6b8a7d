"""What Batch and SageMaker say of a job, read as changes to our record. Pure: the same descriptions always
give the same answer, so duplicated, reordered and lost events end in the same state."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from lambdas.jobs import failures
from lambdas.jobs.schemas import Attempt, Job, Stage
from lambdas.jobs.watched import Failure

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
ENDED = {"Completed", "Failed", "Stopped"}


@dataclass(frozen=True)
class Observation:
    """The changes that a look at AWS asks for, and how the job ended if it did."""

    changes: dict[str, Any]
    outcome: Outcome | None = None
    reason: str | None = None
    failure: Failure | None = None
    waits_since: datetime | None = None


def observe(job: Job, batch: dict[str, Any], training: dict[str, Any] | None) -> Observation:
    """Read DescribeServiceJob and, once there is one, DescribeTrainingJob (which decides)."""
    changes: dict[str, Any] = {}
    attempts = attempts_of(batch)
    if attempts and attempts != job.attempts:
        changes["attempts"] = attempts
    # What has ended at SageMaker while its job is back in the queue, Batch tries again: it does when capacity lacks.
    if training is not None and not (batch["status"] in WAITING and training["TrainingJobStatus"] in ENDED):
        return _observe_training(job, training, batch.get("statusReason"), changes)
    if batch["status"] == "FAILED":
        if job.stop_requested_at:
            return Observation(changes, "cancelled", "Stopped on request before it started.")
        reason = batch.get("statusReason") or "AWS Batch failed the job without a reason."
        return Observation(changes, "failed", failures.OF_BATCH.sub("", reason), failures.classify(reason))
    reason = batch.get("statusReason")
    if batch["status"] in WAITING and job.stage in {"queued", "starting"} and reason and reason != job.reason:
        changes["reason"] = reason
    return Observation(changes)


def waits_since(batch: dict[str, Any]) -> datetime | None:
    """Return since when a job has waited for instances, of Batch or of SageMaker; None once it has them or has ended.

    A try that got no instance goes on waiting; after one that ran, Batch's queue begins anew.
    """
    if batch["status"] not in WAITING | {"SCHEDULED"}:
        return None
    ran = [
        attempt["stoppedAt"] for attempt in batch.get("attempts", []) if {"startedAt", "stoppedAt"} <= attempt.keys()
    ]
    return datetime.fromtimestamp(max([batch["createdAt"], *ran]) / 1000, UTC)


def attempts_of(batch: dict[str, Any]) -> list[Attempt]:
    """Return every training job that Batch made for this service job, oldest first."""
    resources = [attempt.get("serviceResourceId") for attempt in batch.get("attempts", [])]
    resources.append(batch.get("latestAttempt", {}).get("serviceResourceId"))
    arns = dict.fromkeys(resource["value"] for resource in resources if resource and resource.get("value"))
    return [Attempt(training_job_arn=arn, training_job_name=arn.rsplit("/", 1)[-1]) for arn in arns]


def _observe_training(
    job: Job, training: dict[str, Any], batch_reason: str | None, changes: dict[str, Any]
) -> Observation:
    status, secondary = training["TrainingJobStatus"], training["SecondaryStatus"]
    artefact = training.get("ModelArtifacts", {}).get("S3ModelArtifacts")
    if secondary != job.secondary_status:
        changes["secondary_status"] = secondary
    started = training.get("TrainingStartTime")
    if job.started_at is None and started is not None:
        changes["started_at"] = started.isoformat()
    if status == "Completed":
        if artefact != job.artefact:
            changes["artefact"] = artefact
        return Observation(changes, "completed")
    if status in ENDED and job.stop_requested_at:
        failed = reason_of(training.get("FailureReason")) if status == "Failed" else None
        return Observation(changes, "cancelled", failed or "Stopped on request; its checkpoints are kept.")
    if status == "Failed":
        reason = training.get("FailureReason")
        return Observation(changes, "failed", reason_of(reason), failures.classify(reason, secondary))
    if status == "Stopped":
        reason = _reason_of_stop(job, secondary)
        return Observation(changes, "failed", reason, failures.classify(reason, secondary, batch_reason))
    stage: Stage = "stopping" if job.stop_requested_at else STAGES.get(secondary, "starting")
    if job.status == "pending" or ORDER.index(stage) > ORDER.index(job.stage or "held"):
        changes |= {"status": "running", "stage": stage, "reason": None}
    return Observation(changes)


def _reason_of_stop(job: Job, secondary: str) -> str:
    if secondary == "MaxRuntimeExceeded":
        silent = f" It had printed nothing since {job.stalled_since}: look there first." if job.stalled_since else ""
        return f"It ran longer than max_runtime_seconds ({job.max_runtime_seconds}); raise it and run again.{silent}"
    if secondary == "MaxWaitTimeExceeded":
        return "It did not end in the time that a job on spot capacity may take, waiting for instances included."
    return "It was stopped outside of this platform."


def reason_of(failure: str | None) -> str:
    """Return the container's own words from a FailureReason: `AlgorithmError: [data] <words>, exit code: 1`."""
    if not failure:
        return "The training container failed without a reason; read the job's logs."
    return failures.without_marks(failure) or failure

"""What happens to a job outside of requests: submit, control, watch, register, and the log subscription.

Each function here runs in its own Lambda under its own role. Every step can be repeated: tokens and intents
are stored before the call they belong to, and an event is only a hint to look at AWS again.
"""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from lambdas.common import aws, objects, waits, workflows
from lambdas.common.environment import mapping, optional, variable
from lambdas.common.errors import NotFound, Stale
from lambdas.common.observability import emit, logger
from lambdas.common.store import now
from lambdas.jobs import (
    artefacts,
    batch_jobs,
    evaluations,
    history,
    logs,
    schedules,
    scripts,
    service,
    training_request,
    utilization,
    watchdog,
)
from lambdas.jobs import progress as progress_lines
from lambdas.jobs.outcome import Observation, observe, reason_of, waits_since
from lambdas.jobs.schemas import Job
from lambdas.jobs.service import JOBS
from lambdas.models import service as models

Event = dict[str, Any]
TRAIN = "TRAIN_WORKFLOW_ARN"


# ---------------------------------------------------------------------------------------------------- submit


def submit(event: Event, context: Any) -> None:
    """Workflow step: submit the job to AWS Batch. The workflow then waits for the token to be answered."""
    job = JOBS.get(event["owner"], event["id"])
    waits.keep_token(job.id, event["token"])
    if job.stop_requested_at or job.ended:
        waits.succeed(job.id, {"status": "not submitted"})
        return
    if job.batch_job_id is None:
        to = deployment()
        body = json.dumps(training_request.config(job, to)).encode()
        aws.client("s3").put_object(Bucket=to.jobs_bucket, Key=f"{job.owner}/{job.id}/config/config.json", Body=body)
        if job.client_token is None:
            token, image = training_request.client_token(job), training_request.image(job, to)
            job = JOBS.settle(job, client_token=token, image_uri=image, batch_priority=job.priority)
        batch_job_id = batch_jobs.submit(training_request.submit_service_job(job, to))
        job = JOBS.settle(job, batch_job_id=batch_job_id)
    batch_jobs.prioritise(job)  # changed between the read above and the submission
    if job.stop_requested_at:  # asked for between the read above and the submission
        batch_jobs.terminate(job)


def deployment() -> training_request.Deployment:
    """Return what this stage gives every training job."""
    vpc = optional("VPC_CONFIG")
    return training_request.Deployment(
        stage=variable("STAGE"),
        role_arn=variable("EXECUTION_ROLE_ARN"),
        jobs_bucket=variable("JOBS_BUCKET"),
        images=mapping("IMAGES"),
        queues=mapping("QUEUES"),
        vpc=json.loads(vpc) if vpc else None,
        kms_key_arn=optional("KMS_KEY_ARN"),
    )


# --------------------------------------------------------------------------------------------------- control


def control(event: Event, context: Any) -> None:
    """Act on a job for the API: {"action": "stop" | "prioritise" | "log" | "delete", "owner", "id"}."""
    if event["action"] == "delete":
        sweep(event["owner"], event["id"])
        return
    job = JOBS.get(event["owner"], event["id"])
    if event["action"] == "prioritise":
        batch_jobs.prioritise(job)
    elif event["action"] == "log":
        logs.make_file(job)
    elif not job.ended:
        batch_jobs.terminate(job)


def sweep(owner: str, id: str) -> None:
    """Remove what a deleted job or script left behind: its files, and a job's metric points."""
    objects.delete_prefix(variable("JOBS_BUCKET"), f"{owner}/{id}/")
    history.delete(owner, id)
    aws.client("dynamodb").delete_item(TableName=variable("WAITS_TABLE"), Key={"id": {"S": id}})


# ----------------------------------------------------------------------------------------------------- watch


def watch(event: Event, context: Any) -> None:
    """Bring records up to date with AWS: for one job after an event, for all under way on the schedule."""
    kind = event.get("detail-type")
    if kind == "Batch Service Job State Change":
        reconcile_id(event["detail"]["jobName"])
    elif kind == "SageMaker Training Job State Change":
        described = describe_training(event["detail"]["TrainingJobName"])
        environment = (described or {}).get("Environment", {})
        if environment.get("SLIPWAY_STAGE") == variable("STAGE"):
            reconcile_id(environment.get("SLIPWAY_JOB_ID", ""))
    elif kind == "Batch Service Job Queue Blocked":
        blocked(event["detail"])
    elif kind == "Step Functions Execution Status Change":
        workflows.broke(event)
        reconcile_id(event["detail"]["name"])
    else:
        start_due(clock_of(event))
        reconcile_all(clock_of(event))
        waits.reconcile_all(scripts.PREFIX, sweep)  # deleted, and the control task did not finish


def clock_of(event: Event) -> datetime:
    """Return when the schedule woke the function."""
    return datetime.fromisoformat(event["time"]) if "time" in event else datetime.now(UTC)


def start_due(now: datetime) -> None:
    """Have a job made for every schedule that is due; what is lost on the way is due again the next time."""
    for owner, id in schedules.due(now):
        payload = json.dumps({"owner": owner, "id": id, "time": now.isoformat()}).encode()
        aws.client("lambda").invoke(
            FunctionName=variable("JOBS_SCHEDULE_FUNCTION"), InvocationType="Event", Payload=payload
        )


def schedule(event: Event, context: Any) -> None:
    """Make the job of a schedule that is due."""
    schedules.run(event["owner"], event["id"], clock_of(event))


def blocked(job: dict[str, Any]) -> None:
    """Count a queue that Batch says is blocked by the job at its head; the job's reason for waiting is its own."""
    said = {"id": job["jobName"], "queue": job["jobQueue"], "reason": job.get("statusReason")}
    logger.error("queue blocked", extra=said)
    emit("BlockedQueues", 1)
    reconcile_id(job["jobName"])


def reconcile_all(clock: datetime) -> None:
    """Reconcile every job under way, and say how long the oldest of those that have no instance yet has waited."""
    waiting: list[datetime] = []

    def look(owner: str, id: str) -> None:
        if since := reconcile(owner, id):
            waiting.append(since)

    waits.reconcile_all("job-", look)
    emit("QueueAgeSeconds", max(0, (clock - min(waiting, default=clock)).total_seconds()))


def reconcile_id(id: str) -> None:
    """Reconcile the job of that id; ids of other stages and other programs are no concern of ours."""
    try:
        job = JOBS.find(id)
    except NotFound:
        return
    reconcile(job.owner, job.id)


def reconcile(owner: str, id: str) -> datetime | None:
    """Make one job's record, workflow and AWS agree; return since when it waits for an instance, if it does."""
    try:
        job = JOBS.get(owner, id)
    except NotFound:
        sweep(owner, id)  # deleted, and the control task did not finish
        return None
    if job.ended:
        return None
    if job.stage == "held":
        if job.not_before and job.not_before <= now():
            service.enqueue(job)
        return None
    if job.batch_job_id is None:
        reconcile_unsubmitted(job)
        return None
    batch_jobs.prioritise(job)  # asked for, and Batch was not told
    observation = look_at(job)
    changes = observation.changes
    if observation.outcome is None:
        changes = changes | watchdog.look(job.model_copy(update=changes))
    if changes:
        try:
            job = JOBS.update(job, **changes)
        except Stale:  # somebody else saw something newer: look again
            return reconcile(owner, id)
    if observation.outcome is None:
        if not waits.heartbeat(id):
            logger.warning("job without a workflow", extra={"id": id})
    elif waits.succeed(id, {"outcome": observation.outcome}):
        return None  # its workflow does the rest
    elif workflows.execution(TRAIN, id)["status"] != "RUNNING":
        finish_without_workflow(job)
    return observation.waits_since


def reconcile_unsubmitted(job: Job) -> None:
    """Start a job whose workflow never started; end one whose workflow ended before it was submitted."""
    execution = workflows.execution(TRAIN, job.id)
    if execution["status"] == "ABSENT":
        workflows.start(TRAIN, job.owner, job.id)
    elif execution["status"] != "RUNNING":
        finish_without_workflow(job, execution.get("cause") or "Its workflow ended before it was submitted.")


def finish_without_workflow(job: Job, cause: str | None = None) -> None:
    """Do the workflow's last step for a job whose workflow is gone."""
    payload = {"owner": job.owner, "id": job.id} | ({"error": {"Cause": cause}} if cause else {})
    aws.client("lambda").invoke(
        FunctionName=variable("JOBS_REGISTER_FUNCTION"), InvocationType="Event", Payload=json.dumps(payload).encode()
    )


def look_at(job: Job) -> Observation:
    """Describe the job at Batch and at SageMaker, and say what that means."""
    batch = aws.client("batch").describe_service_job(jobId=job.batch_job_id)
    resource = batch.get("latestAttempt", {}).get("serviceResourceId", {}).get("value")
    training = describe_training(resource.rsplit("/", 1)[-1]) if resource else None
    return replace(observe(job, batch, training), waits_since=waits_since(batch))


def describe_training(name: str) -> dict[str, Any] | None:
    """Return DescribeTrainingJob, or None when there is no such training job (yet)."""
    try:
        return aws.client("sagemaker").describe_training_job(TrainingJobName=name)
    except Exception as error:
        if aws.error_code(error) in {"ValidationException", "ResourceNotFound"}:
            return None
        raise


# -------------------------------------------------------------------------------------------------- register


def register(event: Event, context: Any) -> dict[str, bool]:
    """Workflow step: end the job. A completed one becomes a model version; any other says why not.

    Returns whether an endpoint is to follow.
    """
    job = JOBS.get(event["owner"], event["id"])
    if not job.ended:
        settle(job, event)
        job = JOBS.get(job.owner, job.id)
    return {"deploy": job.status == "completed" and job.deploy is not None}


def settle(job: Job, event: Event) -> None:
    """End a job as AWS says that it ended, or as the workflow's error does."""
    observation = look_at(job) if job.batch_job_id else Observation({})
    if observation.outcome == "completed" and "error" not in event and job.kind == "evaluation":
        evaluations.record(JOBS.settle(job, **observation.changes))
    elif observation.outcome == "completed" and "error" not in event:
        _register(job, observation)
    elif observation.outcome in {"failed", "cancelled"}:
        service.end(job, observation.outcome, observation.reason, failure=observation.failure, **observation.changes)
    elif "error" in event:
        # The workflow broke. What still runs must not go on unseen.
        if job.batch_job_id and observation.outcome is None:
            batch_jobs.terminate(job)
        service.end(job, "failed", workflow_failure(event["error"]), **observation.changes)
    elif job.stop_requested_at:
        service.end(job, "cancelled", "Stopped on request before it started.")
    else:
        raise RuntimeError(f"{job.id} has not ended: the workflow went on too early.")
    # Figures come last: a job neither waits for them nor fails for want of them, as a second try finds it ended.
    job = JOBS.get(job.owner, job.id)
    if used := utilization.read(job):
        JOBS.settle(job, utilization=used)


def _register(job: Job, observation: Observation) -> None:
    job = JOBS.settle(job, stage="registering", **observation.changes)
    if job.model.id is None:
        named = job.model.model_copy(update={"id": models.new_version_id()})
        job = JOBS.settle(job, unless=lambda job: job.model.id is not None, model=named)
    version = artefacts.register(job)
    model = job.model.model_copy(update={"version": version.version})
    final = job.progress.model_copy(update={"percent": 100.0, "metrics": version.metrics})
    service.end(job, "completed", model=model, progress=final, primary_metric=version.primary_metric)


def workflow_failure(error: dict[str, Any]) -> str:
    """Return the reason in a workflow's error."""
    return reason_of(re.sub(r"\s+", " ", workflows.reason_of(error)))


# -------------------------------------------------------------------------------------------------- progress


def progress(event: Event, context: Any) -> dict[str, int]:
    """Log subscription: keep the progress lines that containers print."""
    return {"kept": progress_lines.keep(event)}

"""The rules of jobs of every kind: how a job starts, stops, ends and goes away."""

import json
from datetime import UTC, datetime
from typing import Any

from lambdas.common import aws, waits, workflows
from lambdas.common.environment import variable
from lambdas.common.errors import BadRequest, Conflict, NotFound, Stale
from lambdas.common.identity import Caller
from lambdas.common.pages import Page
from lambdas.common.store import EntityStore, now
from lambdas.common.transactions import Write
from lambdas.datasets import service as datasets
from lambdas.jobs import alarms, failures, limits, runs, scripts
from lambdas.jobs import registrations as registrations  # the endpoints call it
from lambdas.jobs import totals as ends
from lambdas.jobs.active import active as active  # the statistics call these
from lambdas.jobs.outcome import Outcome
from lambdas.jobs.queues import queues as queues
from lambdas.jobs.runs import Runs as Runs
from lambdas.jobs.runs import activity as activity
from lambdas.jobs.runs import runs_of_models as runs_of_models
from lambdas.jobs.runs import runs_of_users as runs_of_users
from lambdas.jobs.schemas import NOT_YET_TRAINING, Job, JobUpdate, Stage
from lambdas.jobs.scripts import Script
from lambdas.jobs.totals import totals as totals  # the metrics call it
from lambdas.models import service as models

JOBS = EntityStore("JOBS_TABLE", Job, "job")
TRAIN = "TRAIN_WORKFLOW_ARN"


def owned(caller: Caller, id: str) -> Job:
    """Return a job that the caller may change: their own, or any for an admin; raises NotFound."""
    if not id.startswith("job-"):  # scripts are kept in the same table
        raise NotFound(f"There is no training job {id}.")
    return JOBS.find(id) if caller.is_admin else JOBS.get(caller.username, id)


def list_jobs(caller: Caller, limit: int, cursor: str | None, **matching: str | None) -> Page[Job]:
    """Return a page of the caller's jobs, newest first."""
    return JOBS.list(caller.username, "job-", limit, cursor, **matching)


def start(job: Job) -> Job:
    """Queue a held job, or one whose time has not come; raises Conflict when it is neither, TooManyRequests."""
    if job.stage != "held":
        raise Conflict(f"The job {job.id} is {job.stage or job.status} already; start is for jobs that are held.")
    return enqueue(job)


def enqueue(job: Job) -> Job:
    """Queue a held job, count it if it is not counted yet, and start its workflow; any other stays as it is."""
    while job.stage == "held":
        queued = job.model_copy(update={"charged_month": job.charged_month or limits.month_of(datetime.now(UTC))})
        writes = [] if job.charged_month else [waits.opening(job.id, job.owner), *limits.charging(queued)]
        try:
            job = JOBS.update(job, *writes, stage="queued", charged_month=queued.charged_month)
        except Stale:  # started or stopped at this moment, or another job of the user's counted
            job = JOBS.get(job.owner, job.id)
            continue
        workflows.start(TRAIN, job.owner, job.id)
    return job


def update(job: Job, changes: JobUpdate) -> Job:
    """Store what was sent of the changes; raises Conflict for the priority of a job that waits no more."""
    sent = changes.model_dump(exclude_unset=True)
    if sent.get("name", "") is None or sent.get("priority", "") is None:
        raise BadRequest("name and priority may be changed, not removed.")
    waiting_only = "priority" in sent
    job = JOBS.settle(job, unless=lambda job: waiting_only and job.stage not in NOT_YET_TRAINING, **sent)
    if waiting_only and job.stage not in NOT_YET_TRAINING:
        raise Conflict(f"The job {job.id} is {job.stage or job.status}; its priority counts only while it waits.")
    if waiting_only and job.batch_job_id:
        control("prioritise", job)
    return job


def stop(job: Job) -> Job:
    """Record that the job shall stop, and have the control task do it; raises Conflict when it has ended.

    One that was never submitted ends at once.
    """
    if job.stage == "held":
        job = end(job, "cancelled", "Stopped on request before it started.", since="held")
        if job.status == "cancelled":
            return job
    # Submitted, or seen to move, at this moment: the wish holds all the same.
    job = JOBS.settle(
        job,
        unless=lambda job: job.ended or job.stop_requested_at is not None,
        stop_requested_at=now(),
        stage="stopping",
    )
    if job.ended:
        raise Conflict(f"The job {job.id} is {job.status} already.")
    control("stop", job)
    return job


def delete(job: Job) -> None:
    """Delete an ended job; its files follow. Models that it made stay. Raises Conflict while it runs."""
    if not job.ended:
        raise Conflict(f"The job {job.id} is {job.status}; stop it first.")
    # Opened again until its files are gone too: a crash in between is finished by reconcile.
    JOBS.delete(job, waits.opening(job.id, job.owner))
    control("delete", job)


def control(action: str, on: Job | Script) -> None:
    """Have the control task act on a job or a script; the API itself may not touch Batch."""
    payload = json.dumps({"action": action, "owner": on.owner, "id": on.id}).encode()
    aws.client("lambda").invoke(FunctionName=variable("JOBS_CONTROL_FUNCTION"), InvocationType="Event", Payload=payload)


def end(job: Job, outcome: Outcome, reason: str | None = None, /, *, since: Stage | None = None, **changes: Any) -> Job:
    """Store a job's end and let go of all that it holds, in one transaction. A job that has ended stays as it is.

    With `since`, so does one that is in another stage by now.
    """
    changes |= {"status": outcome, "stage": None, "reason": reason, "ended_at": now()}
    changes |= {"warning": None, "stalled_since": None}
    if outcome == "failed" and changes.get("failure") is None:
        changes["failure"] = failures.classify(reason)
    writes = [
        waits.closing(job.id),
        datasets.release(job.dataset_owner, job.dataset_id, job.id),
        *scripts.release(job.owner, job.script, job.id),
    ]
    if job.base_model and job.base_model_id:
        writes.append(models.release(job.base_model.user_id or job.owner, job.base_model_id, job.id))
    if job.deploy and outcome == "completed":
        writes.append(waits.opening(deployment_wait(job.id), job.owner))
    while not job.ended and since in (None, job.stage):
        try:
            counted = [*limits.releasing(job), *runs.ended(job, outcome), *ends.ended(job, outcome, changes)]
            counted += alarms.ended(job, outcome, changes)
            return JOBS.update(job, *writes, *counted, **changes)
        except Stale:  # what it is charged for may have changed as well
            job = JOBS.get(job.owner, job.id)
    return job


# --------------------------------------------------------------------------------------------- for later nouns


def deployment_wait(id: str) -> str:
    """Return the id under which the endpoint that a completed job asked for is under way, until it is made."""
    return f"ep-{id}"


def deployed(job: Job, **outcome: str) -> list[Write]:
    """Return the writes that end what `deploy` asked for: `endpoint_id` or `deploy_error`. They fail with Stale."""
    return [JOBS.change(job, **outcome), no_deployment(job.id)]


def no_deployment(id: str) -> Write:
    """Return the write by which no endpoint of a job is under way any more."""
    return waits.closing(deployment_wait(id))

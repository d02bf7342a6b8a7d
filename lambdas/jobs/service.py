"""The rules of jobs: who may ask for what, and how a job starts, stops, ends and goes away."""

import json
import re
from typing import Any

from lambdas.common import aws, waits, workflows
from lambdas.common.environment import variable
from lambdas.common.errors import BadRequest, Conflict
from lambdas.common.identity import Caller
from lambdas.common.ids import new_id
from lambdas.common.instances import allowed_instance_type
from lambdas.common.pages import Page
from lambdas.common.store import EntityStore, now
from lambdas.datasets import service as datasets
from lambdas.jobs import failures
from lambdas.jobs.outcome import Outcome
from lambdas.jobs.schemas import Job, JobCreate, RegisteredModel, TrainingType
from lambdas.jobs.training_types import TRAINING_TYPES
from lambdas.models.schemas import RESERVED

JOBS = EntityStore("JOBS_TABLE", Job, "job")
TARGET_PROBLEMS = {"missing_column", "unknown_column"}  # of a data set's readiness: another `target` would do


def create(caller: Caller, request: JobCreate) -> Job:
    """Accept a job: refuse what cannot run, hold its data set, store it, start its workflow.

    Raises BadRequest naming the field, in the words of the data set's readiness; NotFound, Conflict for the data set.
    """
    training_type = TRAINING_TYPES[request.training_type]
    parameters = training_type.checked(request.parameters)
    data = datasets.for_training(caller, request.dataset_id, request.dataset_version)
    refuse_unready(data, request.training_type, parameters.get("target"))
    dataset = data.dataset
    id = new_id("job")
    job = Job(
        owner=caller.username,
        id=id,
        name=request.name,
        description=request.description,
        training_type=request.training_type,
        parameters=parameters,
        dataset_id=dataset.id,
        dataset_owner=dataset.owner,
        dataset_version=data.version,
        dataset_uri=data.uri,
        dataset_sha256=data.sha256,
        image_family=training_type.image_family,
        instance_type=allowed_instance_type(request.instance_type),
        priority=request.priority,
        max_runtime_seconds=request.max_runtime_seconds,
        stage="queued",
        model=RegisteredModel(model_id=request.model_id or model_id_from(request.name)),
    )
    JOBS.create(job, waits.opening(id, job.owner), datasets.hold(dataset, id))
    workflows.start("TRAIN_WORKFLOW_ARN", job.owner, job.id)
    return job


def refuse_unready(data: datasets.TrainingData, training_type: TrainingType, target: str | None) -> None:
    """Raise BadRequest saying why a data set cannot train this, as its readiness does."""
    found = data.readiness(training_type, target)
    if found.ready:
        return
    problems = [f"{problem.message} {problem.fix}" for problem in found.problems]
    field = "parameters.target" if found.problems[0].code in TARGET_PROBLEMS else "dataset_id"
    raise BadRequest(problems[0], errors=[{"field": field, "message": problem} for problem in problems])


def model_id_from(name: str) -> str:
    """Return a registry name made from a display name: lower case, hyphens for everything else."""
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    slug = slug[:57].strip("-") or "model"
    return f"{slug}-model" if slug in RESERVED else slug


def owned(caller: Caller, id: str) -> Job:
    """Return a job that the caller may change: their own, or any for an admin; raises NotFound."""
    return JOBS.find(id) if caller.is_admin else JOBS.get(caller.username, id)


def list_jobs(caller: Caller, limit: int, cursor: str | None, **matching: str | None) -> Page[Job]:
    """Return a page of the caller's jobs, newest first."""
    return JOBS.list(caller.username, "job-", limit, cursor, **matching)


def stop(job: Job) -> Job:
    """Record that the job shall stop, and have the control task do it; raises Conflict when it has ended."""
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


def control(action: str, job: Job) -> None:
    """Have the control task act on a job; the API itself may not touch Batch."""
    payload = json.dumps({"action": action, "owner": job.owner, "id": job.id}).encode()
    aws.client("lambda").invoke(FunctionName=variable("JOBS_CONTROL_FUNCTION"), InvocationType="Event", Payload=payload)


def end(job: Job, outcome: Outcome, reason: str | None = None, /, **changes: Any) -> Job:
    """Store a job's end and let go of its data set, in one transaction. A job that has ended stays as it is."""
    changes |= {"status": outcome, "stage": None, "reason": reason, "ended_at": now()}
    changes |= {"warning": None, "stalled_since": None}
    if outcome == "failed" and changes.get("failure") is None:
        changes["failure"] = failures.classify(reason)
    released = datasets.release(job.dataset_owner, job.dataset_id, job.id)
    return JOBS.settle(job, waits.closing(job.id), released, unless=lambda job: job.ended, **changes)

"""The rules of jobs: who may ask for what, and how a job starts, stops, ends and goes away."""

import json
import re
from datetime import UTC, datetime
from typing import Any

from lambdas.common import aws, waits, workflows
from lambdas.common.environment import mapping, variable
from lambdas.common.errors import BadRequest, Conflict, NotFound, SlipwayError, Stale
from lambdas.common.identity import Caller
from lambdas.common.ids import new_id
from lambdas.common.instances import allowed_instance_type
from lambdas.common.pages import Page
from lambdas.common.store import EntityStore, iso, now
from lambdas.common.transactions import Write, transact_in_turn
from lambdas.datasets import service as datasets
from lambdas.jobs import alarms, failures, limits, runs, scripts
from lambdas.jobs import registrations as registrations  # the endpoints call it
from lambdas.jobs.active import active as active  # the statistics call these
from lambdas.jobs.outcome import Outcome
from lambdas.jobs.queues import queues as queues
from lambdas.jobs.runs import Runs as Runs
from lambdas.jobs.runs import activity as activity
from lambdas.jobs.runs import runs_of_models as runs_of_models
from lambdas.jobs.runs import runs_of_users as runs_of_users
from lambdas.jobs.schemas import (
    NOT_YET_TRAINING,
    Job,
    JobCreate,
    JobScript,
    JobUpdate,
    RegisteredModel,
    Stage,
    TrainingType,
    UsedScript,
)
from lambdas.jobs.scripts import Script
from lambdas.jobs.training_types import TRAINING_TYPES, Training
from lambdas.models import service as models
from lambdas.models.schemas import RESERVED, ModelReference, ModelVersion

JOBS = EntityStore("JOBS_TABLE", Job, "job")
TRAIN = "TRAIN_WORKFLOW_ARN"
# What a job takes from its request as it stands.
AS_ASKED = {"name", "description", "training_type", "priority", "max_runtime_seconds", "managed_spot", "instance_count"}
REPEATED = AS_ASKED | {"parameters", "dataset_id", "instance_type"}
TARGET_PROBLEMS = {"missing_column", "unknown_column"}  # of a data set's readiness: another `target` would do


def create(caller: Caller, request: JobCreate) -> Job:
    """Accept a job: refuse what cannot run, hold what it uses, count it, store it, start its workflow.

    Raises BadRequest naming the field, in the words of the data set's readiness; NotFound, Conflict for the data set
    or the base model; TooManyRequests past the user's limits.
    """
    return begin(caller, request, new_id("job"))


def rerun(caller: Caller, job: Job) -> Job:
    """Accept a new job with the capsule of another: same data, parameters, image and instances; see `create`.

    Raises Conflict when what the other was made of is there no more, or it made no model.
    """
    if job.kind != "training":
        raise Conflict(f"{job.id} is an evaluation; POST /jobs/evaluations again instead.")
    request = JobCreate(
        **job.model_dump(include=REPEATED),
        dataset_version=job.dataset_version,
        model_id=job.model.model_id,
        base_model=job.base_model,
        script=job.script and JobScript(**job.script.model_dump(exclude={"sha256"})),
    )
    try:
        return begin(caller, request, new_id("job"), repeats=job)
    except NotFound as error:
        raise Conflict(f"{job.id} cannot be run again: {error.detail}") from error


def begin(caller: Caller, request: JobCreate, id: str, repeats: Job | None = None) -> Job:
    """Accept a job under an id; one that repeats another runs in that one's image, on the very same data."""
    training_type = TRAINING_TYPES[request.training_type]
    parameters = training_type.checked(request.parameters)
    data = datasets.for_training(caller, request.dataset_id, request.dataset_version)
    script = script_of(caller, request)
    # The mapping of a dataset may be changed, its versions never.
    column_mapping = repeats.column_mapping if repeats else roles(data, request.training_type, parameters)
    if repeats and data.sha256 != repeats.dataset_sha256:
        raise Conflict(f"{repeats.id} cannot be run again: its data has changed since.")
    instance_type = allowed_instance_type(request.instance_type, caller)
    refuse_instances(request, training_type, instance_type)
    deploy = request.deploy and request.deploy.model_copy(
        update={"instance_type": allowed_instance_type(request.deploy.instance_type, caller, "deploy.instance_type")}
    )
    base = base_version(caller, request)
    if repeats and base and base.id != repeats.base_model_id:
        raise Conflict(f"{repeats.id} cannot be run again: its base model was deleted, and another has its name.")
    held = request.hold or request.not_before is not None
    job = Job(
        owner=caller.username,
        id=id,
        **request.model_dump(include=AS_ASKED),
        parameters=parameters,
        dataset_id=data.dataset.id,
        dataset_owner=data.dataset.owner,
        dataset_version=data.version,
        dataset_uri=data.uri,
        dataset_sha256=data.sha256,
        examples_uri=data.examples,
        column_mapping=column_mapping,
        base_model=base and ModelReference(user_id=base.owner, model_id=base.model_id, version=base.version),
        base_model_id=base and base.id,
        base_model_uri=base and models.files_uri(base),
        script=script,
        image_family=script.image if script else training_type.image_family,
        image_uri=repeats and repeats.image_uri,
        instance_type=instance_type,
        deploy=deploy,
        not_before=request.not_before and iso(request.not_before),
        rerun_of=repeats and repeats.id,
        charged_month=None if request.hold else limits.month_of(datetime.now(UTC)),
        stage="held" if held else "queued",
        model=RegisteredModel(model_id=request.model_id or model_id_from(request.name)),
    )
    writes = [JOBS.creation(job), datasets.hold(data.dataset, id), *scripts.hold(job.owner, script, id)]
    writes += runs.begun(job)
    if base:
        writes.append(models.hold(base, id))
    if not request.hold:
        writes += [waits.opening(id, job.owner), *limits.charging(job)]
    transact_in_turn(*writes)
    if not held:
        workflows.start(TRAIN, job.owner, id)
    return job


def script_of(caller: Caller, request: JobCreate) -> UsedScript | None:
    """Return the script of a custom job, None for any other; raises BadRequest where it is absent or too much."""
    if (request.training_type == "custom") != (request.script is not None):
        message = "Jobs of type custom run a script, and no others do: give script.id with that type."
        raise BadRequest(message, errors=[{"field": "script", "message": message}])
    return scripts.for_job(caller, request.script) if request.script else None


def create_many(caller: Caller, requests: list[JobCreate]) -> list[Job | SlipwayError]:
    """Create each of many jobs; one that cannot be created is its error, and keeps no other from it."""

    def one(request: JobCreate) -> Job | SlipwayError:
        try:
            return create(caller, request)
        except SlipwayError as error:
            return error

    return [one(request) for request in requests]


def base_version(caller: Caller, request: JobCreate) -> ModelVersion | None:
    """Return the version that a job goes on from; raises BadRequest where there can be none, NotFound, Conflict."""
    wanted = request.base_model
    if wanted is None:
        return None
    if not TRAINING_TYPES[request.training_type].base_model:
        message = f"{request.training_type} starts from nothing: leave base_model out."
        raise BadRequest(message, errors=[{"field": "base_model", "message": message}])
    found = models.find(caller, wanted.user_id or caller.username, wanted.model_id, wanted.version)
    if found.status != "ready" or not models.trusted(found):
        state = found.status if found.status != "ready" else f"called {found.verdict} by the scanner"
        raise Conflict(
            f"{found.model_id} {found.version} is {state}: only a ready and clean version can be gone on from."
        )
    return found


def refuse_instances(request: JobCreate, training_type: Training, instance_type: str) -> None:
    """Raise BadRequest for more instances than the type of training can use or the stage has."""
    most = min(training_type.max_instances, mapping("INSTANCE_TYPES")[instance_type])
    if request.instance_count > most:
        message = f"{request.training_type} on {instance_type} trains on {most} instances here at most."
        raise BadRequest(message, errors=[{"field": "instance_count", "message": message}])


def roles(data: datasets.TrainingData, training_type: TrainingType, parameters: dict[str, Any]) -> dict[str, str]:
    """Return {role: column} of a data set; raises BadRequest saying why it cannot train this, as its readiness does."""
    found = data.readiness(training_type, parameters.get("target") if training_type == "tabular" else None)
    if found.ready:
        return found.column_mapping
    problems = [f"{problem.message} {problem.fix}" for problem in found.problems]
    of_target = training_type == "tabular" and found.problems[0].code in TARGET_PROBLEMS
    field = "parameters.target" if of_target else "dataset_id"
    raise BadRequest(problems[0], errors=[{"field": field, "message": problem} for problem in problems])


def model_id_from(name: str) -> str:
    """Return a registry name made from a display name: lower case, hyphens for everything else."""
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    slug = slug[:57].strip("-") or "model"
    return f"{slug}-model" if slug in RESERVED else slug


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
            counted = [*limits.releasing(job), *runs.ended(job, outcome), *alarms.ended(job, outcome, changes)]
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

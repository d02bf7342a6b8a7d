"""Jobs of kind `training`: who may ask for what, and the record that a request becomes."""

import re
from datetime import UTC, datetime
from typing import Any

from lambdas.common import waits, workflows
from lambdas.common.environment import mapping
from lambdas.common.errors import BadRequest, Conflict, NotFound, SlipwayError
from lambdas.common.identity import Caller
from lambdas.common.ids import new_id
from lambdas.common.instances import allowed_instance_type
from lambdas.common.store import iso
from lambdas.common.transactions import transact_in_turn
from lambdas.datasets import service as datasets
from lambdas.jobs import limits, runs, scripts
from lambdas.jobs.schemas import Job, JobCreate, JobScript, RegisteredModel, TrainingType, UsedScript
from lambdas.jobs.service import JOBS, TRAIN
from lambdas.jobs.training_types import TRAINING_TYPES, Training
from lambdas.models import service as models
from lambdas.models.schemas import RESERVED, ModelReference, ModelVersion

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

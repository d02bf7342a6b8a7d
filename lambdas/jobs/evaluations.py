"""Jobs of kind `evaluation`: a model of the registry, asked about every row of a dataset, in the same queues.

They are jobs like those that train, with the same limits, stages, logs and figures; what they leave is no model but
figures, which are kept with the model's version.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from lambdas.common import waits, workflows
from lambdas.common.errors import BadRequest, Conflict
from lambdas.common.identity import Caller
from lambdas.common.ids import new_id
from lambdas.common.instances import allowed_instance_type
from lambdas.common.store import now
from lambdas.common.transactions import Write, transact_in_turn
from lambdas.datasets import service as datasets
from lambdas.jobs import alarms, artefacts, limits, runs, service
from lambdas.jobs.evaluation_schemas import EvaluationCreate
from lambdas.jobs.schemas import Job, RegisteredModel, TrainingType
from lambdas.jobs.served_models import served_model
from lambdas.jobs.training_types import TRAINING_TYPES
from lambdas.models import service as models
from lambdas.models.schemas import Evaluation, ModelReference, ModelVersion

# Training types whose containers evaluate: all but custom scripts, of which nobody knows what they learn.
EVALUATED: list[TrainingType] = [name for name in TRAINING_TYPES if name != "custom"]
# Of a dataset's readiness to train, what keeps it from being evaluated on as well; a few rows of one class are enough.
UNFIT = {"trains_nothing_yet", "wrong_type", "wrong_format", "missing_column", "unknown_column"}


def create(caller: Caller, request: EvaluationCreate) -> Job:
    """Accept an evaluation: hold model and dataset, count it, store it, start its workflow.

    Raises NotFound for a model that the caller may not change, as its figures are kept with it; Conflict for one that
    cannot be evaluated; BadRequest for a dataset that lacks its columns; TooManyRequests past the user's limits.
    """
    return begin(caller, request, allowed_instance_type(request.instance_type, caller), new_id("job"))


def begin(
    caller: Caller, request: EvaluationCreate, instance_type: str, id: str, *also: Write, schedule_id: str | None = None
) -> Job:
    """Do as `create`, on an instance type that was allowed before, and together with `also` or not at all."""
    found = checked(caller, request)
    version, data = found.version, found.data
    job = Job(
        owner=caller.username,
        id=id,
        kind="evaluation",
        **request.model_dump(include={"name", "description", "priority", "max_runtime_seconds", "threshold"}),
        schedule_id=schedule_id,
        endpoint_id=request.endpoint_id,
        training_type=found.training_type,
        parameters=found.parameters,
        dataset_id=data.dataset.id,
        dataset_owner=data.dataset.owner,
        dataset_version=data.version,
        dataset_uri=data.uri,
        dataset_sha256=data.sha256,
        examples_uri=data.examples,
        column_mapping=found.column_mapping,
        base_model=ModelReference(user_id=version.owner, model_id=version.model_id, version=version.version),
        base_model_id=version.id,
        base_model_uri=models.files_uri(version),
        image_family=version.image or "",
        instance_type=instance_type,
        charged_month=limits.month_of(datetime.now(UTC)),
        stage="queued",
        model=RegisteredModel(id=version.id, model_id=version.model_id, version=version.version),
    )
    held = [datasets.hold(data.dataset, id), models.hold(version, id)]
    begun = [waits.opening(id, job.owner), *limits.charging(job), *runs.begun(job)]
    transact_in_turn(*also, service.JOBS.creation(job), *held, *begun)
    workflows.start(service.TRAIN, job.owner, id)
    return job


@dataclass(frozen=True)
class Evaluable:
    """A model and the data that it can be asked about."""

    version: ModelVersion
    training_type: TrainingType
    parameters: dict[str, str]
    data: datasets.TrainingData
    column_mapping: dict[str, str]


def checked(caller: Caller, request: EvaluationCreate) -> Evaluable:
    """Return what a request names; raises NotFound, Conflict, BadRequest where it cannot be evaluated."""
    served = served_model(caller.username, request.endpoint_id) if request.endpoint_id else None
    wanted = request.model or served
    assert wanted  # the request has one of the two
    version, training_type = evaluable(caller, wanted)
    data = datasets.for_training(caller, request.dataset_id, request.dataset_version)
    target = {"target": version.parameters["target"]} if training_type == "tabular" else {}
    return Evaluable(version, training_type, target, data, fitting(data, training_type, target.get("target")))


def evaluable(caller: Caller, wanted: ModelReference) -> tuple[ModelVersion, TrainingType]:
    """Return the version that a reference names and what trained it; raises NotFound, Conflict where it cannot be."""
    owner = wanted.user_id or caller.username
    version = models.find_to_change(caller, owner, wanted.model_id, wanted.version)
    name = f"{version.model_id} {version.version}"
    if version.status != "ready":
        raise Conflict(f"{name} is {version.status}; only a ready version can be evaluated.")
    known = version.training_type or version.image  # before types were kept: the image that trains tables only
    if known not in EVALUATED or version.model_archive is None:
        raise Conflict(f"{name} cannot be evaluated: it must be trained here, as one of {', '.join(EVALUATED)}.")
    return version, known


def fitting(data: datasets.TrainingData, training_type: TrainingType, target: str | None) -> dict[str, str]:
    """Return {role: column} of a dataset; raises BadRequest for one without the columns that the model needs."""
    found = data.readiness(training_type, target)
    messages = [f"{problem.message} {problem.fix}" for problem in found.problems if problem.code in UNFIT]
    if messages:
        raise BadRequest(messages[0], errors=[{"field": "dataset_id", "message": message} for message in messages])
    return found.column_mapping


def record(job: Job) -> None:
    """Keep what a completed evaluation found with the model's version, and end the job; safe to repeat."""
    if job.artefact is None:
        raise artefacts.ArtefactError("The evaluation wrote nothing.")
    bucket, _, key = job.artefact.removeprefix("s3://").partition("/")
    report = artefacts.read_report(bucket, key.replace("/model.tar.gz", "/output.tar.gz"))
    results = artefacts.results_of(report["metrics.json"])
    assert job.base_model and job.base_model.user_id and job.base_model_id
    found = Evaluation(
        job_id=job.id,
        dataset_id=job.dataset_id,
        dataset_version=job.dataset_version,
        primary_metric=results.primary_metric,
        metrics=results.metrics,
        at=now(),
    )
    models.record_evaluation(job.base_model.user_id, job.base_model_id, found)
    reason = alarms.past(results.primary_metric, job.threshold)
    alarms.tell(job, results.primary_metric, reason)
    final = job.progress.model_copy(update={"percent": 100.0, "metrics": results.metrics})
    alarm = {"alarm": reason is not None, "alarm_reason": reason}
    service.end(job, "completed", progress=final, primary_metric=results.primary_metric, **alarm)

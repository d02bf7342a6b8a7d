"""Training jobs over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from lambdas.common.dependencies import Caller, Writer
from lambdas.common.errors import SlipwayError
from lambdas.common.pages import Cursor, Limit, Page
from lambdas.common.uploads import UploadPlan
from lambdas.datasets import service as datasets
from lambdas.jobs import (
    capsule,
    details,
    evaluations,
    history,
    limits,
    logs,
    queues,
    registrations,
    scripts,
    service,
    trainings,
)
from lambdas.jobs.answers import (
    BatchCreate,
    BatchCreated,
    BatchError,
    BatchItem,
    Capsule,
    Queue,
    TrainingTypePublic,
    TypeMetric,
    Usage,
)
from lambdas.jobs.evaluation_schemas import EvaluationCreate
from lambdas.jobs.registrations import Registration, RegistrationPublic
from lambdas.jobs.schemas import (
    Job,
    JobCreate,
    JobDetails,
    JobPublic,
    JobUpdate,
    Kind,
    LogLine,
    MetricPoint,
    Status,
    TrainingType,
)
from lambdas.jobs.scripts import Script, ScriptCreate, ScriptCreated, ScriptId, ScriptPublic
from lambdas.jobs.training_types import TRAINING_TYPES, Training
from lambdas.jobs.watched import LogDownload, MetricSeries

router = APIRouter(tags=["jobs"])


def readable_job(caller: Caller, id: str) -> Job:
    """Return the caller's job (any job for an admin); raises NotFound."""
    return service.owned(caller, id)


def writable_job(caller: Writer, id: str) -> Job:
    """Return the caller's job to change it; raises NotFound, or Forbidden for a viewer."""
    return service.owned(caller, id)


def readable_job_of_any_kind(caller: Caller, id: str) -> Job | Registration:
    """Return the caller's job, of whatever kind (any for an admin); raises NotFound."""
    return registrations.owned(caller, id) if id.startswith(registrations.PREFIX) else service.owned(caller, id)


def writable_job_of_any_kind(caller: Writer, id: str) -> Job | Registration:
    """Return the caller's job, of whatever kind, to change it; raises NotFound, or Forbidden for a viewer."""
    return readable_job_of_any_kind(caller, id)


def writable_script(caller: Writer, id: ScriptId) -> Script:
    """Return the caller's script to change it (any for an admin); raises NotFound, or Forbidden for a viewer."""
    return scripts.owned(caller, id)


ReadableJob = Annotated[Job, Depends(readable_job)]
WritableJob = Annotated[Job, Depends(writable_job)]
ReadableJobOfAnyKind = Annotated[Job | Registration, Depends(readable_job_of_any_kind)]
WritableJobOfAnyKind = Annotated[Job | Registration, Depends(writable_job_of_any_kind)]
WritableScript = Annotated[Script, Depends(writable_script)]
Points = Annotated[
    int | None, Query(ge=2, le=1000, description="Return the whole history of each metric, in so many points at most.")
]


@router.post("/jobs", status_code=201)
def create_job(caller: Writer, request: JobCreate) -> JobPublic:
    """Train a model on a data set. The job waits in its queue, runs, and registers the model."""
    return JobPublic.of(trainings.create(caller, request))


@router.post("/jobs/batch")
def create_jobs(caller: Writer, wanted: BatchCreate) -> BatchCreated:
    """Create up to 50 jobs; one that cannot be created says why and keeps no other from it."""

    def item(made: Job | SlipwayError) -> BatchItem:
        if isinstance(made, SlipwayError):
            return BatchItem(error=BatchError(code=made.code, detail=made.detail))
        return BatchItem(job=JobPublic.of(made))

    return BatchCreated(items=[item(made) for made in trainings.create_many(caller, wanted.jobs)])


@router.get("/jobs")
def list_jobs(
    caller: Caller,
    status: Status | None = None,
    training_type: TrainingType | None = None,
    kind: Kind = "training",
    schedule_id: str | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[JobPublic] | Page[RegistrationPublic]:
    """List your jobs of a kind, newest first."""
    if kind == "register":
        listed = registrations.list_registrations(caller, limit, cursor, status=status, training_type=training_type)
        items = [RegistrationPublic.of(registration) for registration in listed.items]
        return Page(items=items, next_cursor=listed.next_cursor)
    matching = {"status": status, "training_type": training_type, "schedule_id": schedule_id}
    page = service.list_jobs(caller, limit, cursor, **matching)
    items = [JobPublic.of(job) for job in page.items if job.kind == kind]
    return Page(items=items, next_cursor=page.next_cursor)


@router.get("/jobs/queue")
def list_queues(caller: Caller) -> Page[Queue]:
    """Return the queue of each instance type, and where your own jobs stand in it."""
    return Page(items=queues.queues(caller))


@router.get("/jobs/usage")
def get_usage(caller: Caller) -> Usage:
    """Return what your jobs take, and may take."""
    return limits.usage(caller.username)


@router.post("/jobs/scripts", status_code=201)
def create_script(caller: Writer, request: ScriptCreate) -> ScriptCreated:
    """Begin the upload of a script: PUT the parts of its ZIP to the URLs of the plan, then complete."""
    return scripts.create(caller, request)


@router.get("/jobs/scripts")
def list_scripts(caller: Caller, limit: Limit = 50, cursor: Cursor = None) -> Page[ScriptPublic]:
    """List your scripts, newest first."""
    page = scripts.list_scripts(caller, limit, cursor)
    return Page(items=[ScriptPublic.of(script) for script in page.items], next_cursor=page.next_cursor)


@router.get("/jobs/scripts/{id}/upload")
def get_script_upload(script: WritableScript) -> UploadPlan:
    """Go on with an upload: fresh URLs for what is still missing."""
    return scripts.plan(script)


@router.post("/jobs/scripts/{id}/complete")
def complete_script(script: WritableScript) -> ScriptPublic:
    """End the upload of a script: its ZIP is judged by what it lists, and nothing of it is run."""
    return ScriptPublic.of(scripts.complete(script))


@router.delete("/jobs/scripts/{id}", status_code=204)
def delete_script(script: WritableScript) -> None:
    """Delete a script that no job is waiting for or running."""
    scripts.delete(script)
    service.control("delete", script)


@router.post("/jobs/evaluations", status_code=201)
def evaluate_model(caller: Writer, request: EvaluationCreate) -> JobPublic:
    """Ask a model about every row of a dataset, and keep the figures with the model, for GET /ai-models/compare."""
    return JobPublic.of(evaluations.create(caller, request))


@router.get("/jobs/{id}")
def get_job(job: ReadableJobOfAnyKind) -> JobDetails | RegistrationPublic:
    """Return a job. While it waits it says why, and where it stands in its queue; while it runs, its progress is read
    from the end of its log: it is as fresh as the log. One of kind `register` says what it waits for."""
    return RegistrationPublic.of(job) if isinstance(job, Registration) else details.of(job)


@router.patch("/jobs/{id}")
def update_job(job: WritableJob, changes: JobUpdate) -> JobPublic:
    """Change name or description, or the priority of a job that waits."""
    return JobPublic.of(service.update(job, changes))


@router.get("/jobs/{id}/capsule")
def get_capsule(job: ReadableJob) -> Capsule:
    """Return all that the job is made of: image, data, base model, parameters with every default, library versions."""
    return capsule.of(job)


@router.get("/jobs/{id}/logs")
def get_job_logs(job: ReadableJob, limit: Limit = 100, cursor: Cursor = None) -> Page[LogLine]:
    """Return what the container printed. While the job runs there is always a cursor: ask again with it."""
    return logs.lines(job, limit, cursor)


@router.get("/jobs/{id}/logs/download")
def download_job_logs(job: ReadableJob, response: Response) -> LogDownload:
    """Return the address of the whole log as one file; 202 while it is being made: ask again."""
    found = logs.download(job)
    response.status_code = 200 if found.status == "ready" else 202
    return found


@router.get("/jobs/{id}/metrics")
def get_job_metrics(
    job: ReadableJob, limit: Limit = 100, cursor: Cursor = None, points: Points = None
) -> Page[MetricPoint] | MetricSeries:
    """Return the metrics that the job has reported, newest first; with `points`, all of them for a plot."""
    return history.page(job, limit, cursor) if points is None else history.series(job, points)


@router.post("/jobs/{id}/start", status_code=202)
def start_job(job: WritableJob) -> JobPublic:
    """Start a job that is held, or whose time has not come."""
    return JobPublic.of(service.start(job))


@router.post("/jobs/{id}/rerun", status_code=201)
def rerun_job(caller: Writer, job: ReadableJob) -> JobPublic:
    """Train again from the job's capsule: same data, parameters, seed and image, as a job of its own."""
    return JobPublic.of(trainings.rerun(caller, job))


@router.post("/jobs/{id}/stop", status_code=202)
def stop_job(job: WritableJobOfAnyKind) -> JobPublic | RegistrationPublic:
    """Stop a job: its container gets SIGTERM and two minutes to save a checkpoint. One that is held ends at once."""
    if isinstance(job, Registration):
        return RegistrationPublic.of(registrations.stop(job))
    return JobPublic.of(service.stop(job))


@router.delete("/jobs/{id}", status_code=204)
def delete_job(job: WritableJobOfAnyKind) -> None:
    """Delete an ended job and its files. The models and the endpoint it made stay."""
    if isinstance(job, Registration):
        registrations.delete(job)
    else:
        service.delete(job)


@router.get("/training-types")
def list_training_types(caller: Caller) -> Page[TrainingTypePublic]:
    """List what can be trained: the parameters of each type with their ranges, and the data that it takes."""
    return Page(items=[described(name, training) for name, training in TRAINING_TYPES.items()])


def described(name: TrainingType, training: Training) -> TrainingTypePublic:
    """Return a training type as it is shown."""
    return TrainingTypePublic(
        training_type=name,
        description=training.description,
        parameters=training.parameters.model_json_schema(),
        dataset=datasets.needs_of(name),
        primary_metrics=[TypeMetric(**vars(metric)) for metric in training.primary_metrics],
        model_type=training.model_type,
        framework=training.framework,
        image_family=training.image_family,
        base_model=training.base_model,
        max_instances=training.max_instances,
    )

"""Training jobs over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Depends

from lambdas.common.dependencies import Caller, Writer
from lambdas.common.errors import SlipwayError
from lambdas.common.pages import Cursor, Limit, Page
from lambdas.datasets import service as datasets
from lambdas.jobs import capsule, limits, progress, queues, service
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
from lambdas.jobs.schemas import Job, JobCreate, JobPublic, JobUpdate, LogLine, MetricPoint, Status, TrainingType
from lambdas.jobs.training_types import TRAINING_TYPES, Training

router = APIRouter(tags=["jobs"])


def readable_job(caller: Caller, id: str) -> Job:
    """Return the caller's job (any job for an admin); raises NotFound."""
    return service.owned(caller, id)


def writable_job(caller: Writer, id: str) -> Job:
    """Return the caller's job to change it; raises NotFound, or Forbidden for a viewer."""
    return service.owned(caller, id)


ReadableJob = Annotated[Job, Depends(readable_job)]
WritableJob = Annotated[Job, Depends(writable_job)]


@router.post("/jobs", status_code=201)
def create_job(caller: Writer, request: JobCreate) -> JobPublic:
    """Train a model on a data set. The job waits in its queue, runs, and registers the model."""
    return JobPublic.of(service.create(caller, request))


@router.post("/jobs/batch")
def create_jobs(caller: Writer, wanted: BatchCreate) -> BatchCreated:
    """Create up to 50 jobs; one that cannot be created says why and keeps no other from it."""

    def item(made: Job | SlipwayError) -> BatchItem:
        if isinstance(made, SlipwayError):
            return BatchItem(error=BatchError(code=made.code, detail=made.detail))
        return BatchItem(job=JobPublic.of(made))

    return BatchCreated(items=[item(made) for made in service.create_many(caller, wanted.jobs)])


@router.get("/jobs")
def list_jobs(
    caller: Caller,
    status: Status | None = None,
    training_type: TrainingType | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[JobPublic]:
    """List your jobs, newest first."""
    page = service.list_jobs(caller, limit, cursor, status=status, training_type=training_type)
    return Page(items=[JobPublic.of(job) for job in page.items], next_cursor=page.next_cursor)


@router.get("/jobs/queue")
def list_queues(caller: Caller) -> Page[Queue]:
    """Return the queue of each instance type, and where your own jobs stand in it."""
    return Page(items=queues.queues(caller))


@router.get("/jobs/usage")
def get_usage(caller: Caller) -> Usage:
    """Return what your jobs take, and may take."""
    return limits.usage(caller.username)


@router.get("/jobs/{id}")
def get_job(job: ReadableJob) -> JobPublic:
    """Return a job. While it waits it says why, and where it stands in its queue; while it runs, its progress is read
    from the end of its log: it is as fresh as the log."""
    return queues.shown(progress.live(job))


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
    return progress.log_lines(job, limit, cursor)


@router.get("/jobs/{id}/metrics")
def get_job_metrics(job: ReadableJob, limit: Limit = 100, cursor: Cursor = None) -> Page[MetricPoint]:
    """Return the metrics that the job has reported, newest first."""
    page = progress.history(job, limit, cursor)
    points = [MetricPoint(**point.model_dump(include=set(MetricPoint.model_fields))) for point in page.items]
    return Page(items=points, next_cursor=page.next_cursor)


@router.post("/jobs/{id}/start", status_code=202)
def start_job(job: WritableJob) -> JobPublic:
    """Start a job that is held, or whose time has not come."""
    return JobPublic.of(service.start(job))


@router.post("/jobs/{id}/rerun", status_code=201)
def rerun_job(caller: Writer, job: ReadableJob) -> JobPublic:
    """Train again from the job's capsule: same data, parameters, seed and image, as a job of its own."""
    return JobPublic.of(service.rerun(caller, job))


@router.post("/jobs/{id}/stop", status_code=202)
def stop_job(job: WritableJob) -> JobPublic:
    """Stop a job: its container gets SIGTERM and two minutes to save a checkpoint. One that is held ends at once."""
    return JobPublic.of(service.stop(job))


@router.delete("/jobs/{id}", status_code=204)
def delete_job(job: WritableJob) -> None:
    """Delete an ended job and its files. The models it made stay."""
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

"""Training jobs over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from lambdas.common.dependencies import Caller, Writer
from lambdas.common.pages import Cursor, Limit, Page
from lambdas.jobs import details, history, logs, service
from lambdas.jobs.schemas import Job, JobCreate, JobDetails, JobPublic, LogLine, MetricPoint, Status, TrainingType
from lambdas.jobs.watched import LogDownload, MetricSeries

router = APIRouter(prefix="/jobs", tags=["jobs"])


def readable_job(caller: Caller, id: str) -> Job:
    """Return the caller's job (any job for an admin); raises NotFound."""
    return service.owned(caller, id)


def writable_job(caller: Writer, id: str) -> Job:
    """Return the caller's job to change it; raises NotFound, or Forbidden for a viewer."""
    return service.owned(caller, id)


ReadableJob = Annotated[Job, Depends(readable_job)]
WritableJob = Annotated[Job, Depends(writable_job)]
Points = Annotated[
    int | None, Query(ge=2, le=1000, description="Return the whole history of each metric, in so many points at most.")
]


@router.post("", status_code=201)
def create_job(caller: Writer, request: JobCreate) -> JobPublic:
    """Train a model on a data set. The job waits in its queue, runs, and registers the model."""
    return JobPublic.of(service.create(caller, request))


@router.get("")
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


@router.get("/{id}")
def get_job(job: ReadableJob) -> JobDetails:
    """Return a job. While it runs, its progress is read from the end of its log: it is as fresh as the log."""
    return details.of(job)


@router.get("/{id}/logs")
def get_job_logs(job: ReadableJob, limit: Limit = 100, cursor: Cursor = None) -> Page[LogLine]:
    """Return what the container printed. While the job runs there is always a cursor: ask again with it."""
    return logs.lines(job, limit, cursor)


@router.get("/{id}/logs/download")
def download_job_logs(job: ReadableJob, response: Response) -> LogDownload:
    """Return the address of the whole log as one file; 202 while it is being made: ask again."""
    found = logs.download(job)
    response.status_code = 200 if found.status == "ready" else 202
    return found


@router.get("/{id}/metrics")
def get_job_metrics(
    job: ReadableJob, limit: Limit = 100, cursor: Cursor = None, points: Points = None
) -> Page[MetricPoint] | MetricSeries:
    """Return the metrics that the job has reported, newest first; with `points`, all of them for a plot."""
    return history.page(job, limit, cursor) if points is None else history.series(job, points)


@router.post("/{id}/stop", status_code=202)
def stop_job(job: WritableJob) -> JobPublic:
    """Stop a job: its container gets SIGTERM and two minutes to save a checkpoint."""
    return JobPublic.of(service.stop(job))


@router.delete("/{id}", status_code=204)
def delete_job(job: WritableJob) -> None:
    """Delete an ended job and its files. The models it made stay."""
    service.delete(job)

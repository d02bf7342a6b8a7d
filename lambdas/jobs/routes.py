"""Training jobs over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Depends

from lambdas.common.dependencies import Caller, Writer
from lambdas.common.pages import Cursor, Limit, Page
from lambdas.jobs import progress, scripts, service
from lambdas.jobs.schemas import Job, JobCreate, JobPublic, LogLine, MetricPoint, Status, TrainingType
from lambdas.jobs.scripts import Script, ScriptCreate, ScriptCreated, ScriptId, ScriptPublic

router = APIRouter(prefix="/jobs", tags=["jobs"])


def readable_job(caller: Caller, id: str) -> Job:
    """Return the caller's job (any job for an admin); raises NotFound."""
    return service.owned(caller, id)


def writable_job(caller: Writer, id: str) -> Job:
    """Return the caller's job to change it; raises NotFound, or Forbidden for a viewer."""
    return service.owned(caller, id)


def writable_script(caller: Writer, id: ScriptId) -> Script:
    """Return the caller's script to change it (any for an admin); raises NotFound, or Forbidden for a viewer."""
    return scripts.owned(caller, id)


ReadableJob = Annotated[Job, Depends(readable_job)]
WritableJob = Annotated[Job, Depends(writable_job)]
WritableScript = Annotated[Script, Depends(writable_script)]


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


@router.post("/scripts", status_code=201)
def create_script(caller: Writer, request: ScriptCreate) -> ScriptCreated:
    """Begin the upload of a script: PUT the parts of its ZIP to the URLs of the plan, then complete."""
    return scripts.create(caller, request)


@router.get("/scripts")
def list_scripts(caller: Caller, limit: Limit = 50, cursor: Cursor = None) -> Page[ScriptPublic]:
    """List your scripts, newest first."""
    page = scripts.list_scripts(caller, limit, cursor)
    return Page(items=[ScriptPublic.of(script) for script in page.items], next_cursor=page.next_cursor)


@router.post("/scripts/{id}/complete")
def complete_script(script: WritableScript) -> ScriptPublic:
    """End the upload of a script: its ZIP is judged by what it lists, and nothing of it is run."""
    return ScriptPublic.of(scripts.complete(script))


@router.delete("/scripts/{id}", status_code=204)
def delete_script(script: WritableScript) -> None:
    """Delete a script that no job is waiting for or running."""
    scripts.delete(script)
    service.control("delete", script)


@router.get("/{id}")
def get_job(job: ReadableJob) -> JobPublic:
    """Return a job. While it runs, its progress is read from the end of its log: it is as fresh as the log."""
    return JobPublic.of(progress.live(job))


@router.get("/{id}/logs")
def get_job_logs(job: ReadableJob, limit: Limit = 100, cursor: Cursor = None) -> Page[LogLine]:
    """Return what the container printed. While the job runs there is always a cursor: ask again with it."""
    return progress.log_lines(job, limit, cursor)


@router.get("/{id}/metrics")
def get_job_metrics(job: ReadableJob, limit: Limit = 100, cursor: Cursor = None) -> Page[MetricPoint]:
    """Return the metrics that the job has reported, newest first."""
    page = progress.history(job, limit, cursor)
    points = [MetricPoint(**point.model_dump(include=set(MetricPoint.model_fields))) for point in page.items]
    return Page(items=points, next_cursor=page.next_cursor)


@router.post("/{id}/stop", status_code=202)
def stop_job(job: WritableJob) -> JobPublic:
    """Stop a job: its container gets SIGTERM and two minutes to save a checkpoint."""
    return JobPublic.of(service.stop(job))


@router.delete("/{id}", status_code=204)
def delete_job(job: WritableJob) -> None:
    """Delete an ended job and its files. The models it made stay."""
    service.delete(job)

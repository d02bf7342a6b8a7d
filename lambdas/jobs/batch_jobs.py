"""A job as AWS Batch has it: submitted once, moved up or down while it waits, terminated."""

from typing import Any

from lambdas.common import aws
from lambdas.common.observability import logger
from lambdas.jobs.schemas import Job
from lambdas.jobs.service import JOBS
from lambdas.jobs.training_request import SCHEDULING_PRIORITY

THROTTLED = {"TooManyRequestsException", "ThrottlingException"}


class Throttled(Exception):
    """Batch takes five submissions a second of the whole account; the workflow tries again."""


def submit(request: dict[str, Any]) -> str:
    """Submit to Batch and return the Batch job's id; a submission that went through before is adopted.

    Batch rejects a repeated clientToken rather than answering with the first job, and an answer may be lost:
    both are settled by looking for the name, which is our id and therefore unique.
    """
    batch = aws.client("batch")
    existing = batch_job_named(request["jobQueue"], request["jobName"])
    if existing:
        return existing
    try:
        return batch.submit_service_job(**request)["jobId"]
    except Exception as error:
        existing = batch_job_named(request["jobQueue"], request["jobName"])
        if existing is None:
            if aws.error_code(error) in THROTTLED:
                raise Throttled(request["jobName"]) from error
            raise
        return existing


def batch_job_named(queue: str, name: str) -> str | None:
    """Return the id of the service job of that name, or None."""
    filters = [{"name": "JOB_NAME", "values": [name]}]  # without a filter Batch lists running jobs only
    found = aws.client("batch").list_service_jobs(jobQueue=queue, filters=filters)["jobSummaryList"]
    return found[0]["jobId"] if found else None


def prioritise(job: Job) -> None:
    """Tell Batch the priority of a waiting job, unless that is the one it knows."""
    if job.batch_job_id is None or job.stage != "queued" or job.priority == job.batch_priority:
        return
    priority = SCHEDULING_PRIORITY[job.priority]
    try:
        aws.client("batch").update_service_job(jobId=job.batch_job_id, schedulingPriority=priority)
    except Exception as error:
        if aws.error_code(error) != "ClientException":
            raise
        logger.info("starts already", extra={"id": job.id})
    told = job.priority
    JOBS.settle(job, unless=lambda job: job.priority != told, batch_priority=told)


def terminate(job: Job) -> None:
    """Terminate the Batch job, and with it the training job: SIGTERM, 120 s, SIGKILL."""
    if job.batch_job_id:
        aws.client("batch").terminate_service_job(jobId=job.batch_job_id, reason="Stopped on request")

"""The endpoint that a training job asked for: begun once its model is registered, noted on the job either way."""

from typing import Any

from lambdas.common.errors import NotFound, SlipwayError, Stale, Unavailable
from lambdas.common.identity import Caller
from lambdas.common.ids import new_id
from lambdas.common.observability import logger
from lambdas.common.transactions import transact
from lambdas.endpoints import service
from lambdas.endpoints.schemas import EndpointCreate
from lambdas.jobs import service as jobs
from lambdas.jobs.schemas import DeployAfter, Job
from lambdas.models.schemas import ModelReference


def follow(event: dict[str, str], context: Any) -> None:
    """Last step of `train`: {"owner", "id"} of a completed job. Safe to repeat: one endpoint is made, or none."""
    follow_job(event["owner"], event["id"])


def follow_job(owner: str, id: str) -> None:
    """Begin the endpoint of a job, or note on the job why there is none."""
    try:
        job = jobs.JOBS.get(owner, id)
    except NotFound:  # deleted meanwhile
        transact(jobs.no_deployment(id))
        return
    if job.deploy is None or job.endpoint_id or job.deploy_error:
        return
    try:
        begin(job, job.deploy)
    except Stale:
        follow_job(owner, id)  # the job was renamed at this moment, or another call of this was faster
    except Unavailable:
        raise  # that passes
    except SlipwayError as error:
        logger.info("no endpoint", extra={"id": id, "reason": error.detail})
        transact(*jobs.deployed(job, deploy_error=error.detail))


def begin(job: Job, wanted: DeployAfter) -> None:
    """Begin the endpoint together with its note on the job; raises what creating an endpoint raises."""
    assert wanted.instance_type is not None  # decided, and allowed, when the job was created
    request = EndpointCreate(
        name=wanted.name or job.name,
        model=ModelReference(user_id=job.owner, model_id=job.model.model_id, version=job.model.version),
        instance_count=wanted.instance_count,
    )
    id = new_id("ep")
    owner = Caller(username=job.owner, role="member")
    service.begin(owner, request, wanted.instance_type, id, *jobs.deployed(job, endpoint_id=id))

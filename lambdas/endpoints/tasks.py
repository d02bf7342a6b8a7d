"""What happens to an endpoint outside of requests: the steps of its workflows, and keeping its record true.

Names are made from the endpoint's id, so every step can be repeated: what exists already is taken as done,
what is gone already is taken as deleted.
"""

import json
from collections.abc import Callable
from typing import Any

from lambdas.common import aws, waits, workflows
from lambdas.common.environment import mapping, optional, variable
from lambdas.common.errors import NotFound, Stale
from lambdas.common.observability import logger
from lambdas.common.transactions import Write
from lambdas.endpoints import chain, endpoint_request, registration_tasks
from lambdas.endpoints.schemas import Endpoint
from lambdas.endpoints.service import ENDPOINTS
from lambdas.models import service as models

Event = dict[str, Any]
FOLLOWING = "ep-job-"  # what a completed job leaves under way when it asked for an endpoint
MISSING = {"ValidationException", "ResourceNotFound"}  # what SageMaker calls a name it does not have


# ---------------------------------------------------------------------------------------------------- deploy


def deploy(event: Event, context: Any) -> dict[str, Any]:
    """One step of `deploy` or `teardown`: {"step", "owner", "id"} and what the step needs."""
    try:
        endpoint = ENDPOINTS.get(event["owner"], event["id"])
    except NotFound:
        logger.info("endpoint is gone", extra={"id": event["id"], "step": event["step"]})
        return {"gone": True}
    return STEPS[event["step"]](endpoint, event) or {}


def create_model(endpoint: Endpoint, event: Event) -> None:
    """Make SageMaker's model and endpoint configuration."""
    sagemaker, to = aws.client("sagemaker"), deployment()
    unless_exists(sagemaker.create_model, **endpoint_request.create_model(endpoint, to))
    unless_exists(sagemaker.create_endpoint_config, **endpoint_request.create_endpoint_config(endpoint, to))


def create_endpoint(endpoint: Endpoint, event: Event) -> None:
    """Make the endpoint; the workflow then waits for the token to be answered."""
    waits.keep_token(endpoint.id, event["token"])
    unless_exists(aws.client("sagemaker").create_endpoint, **endpoint_request.create_endpoint(endpoint, deployment()))


def in_service(endpoint: Endpoint, event: Event) -> None:
    """Store that the endpoint answers."""
    if endpoint.status == "creating":
        ENDPOINTS.update(endpoint, waits.closing(endpoint.id), status="in_service", reason=None)


def roll_back(endpoint: Endpoint, event: Event) -> None:
    """Remove whatever was made, and store why. Raises while SageMaker is still busy, to be tried again."""
    if not delete_endpoint(endpoint, event)["gone"]:
        raise RuntimeError(f"{endpoint.endpoint_name} is not deleted yet.")
    _delete_config_and_model(endpoint)
    if endpoint.status == "creating":
        changes = {"status": "failed", "reason": reason_of(event["error"]), "holds_model": False}
        ENDPOINTS.update(endpoint, waits.closing(endpoint.id), release(endpoint), **changes)


def delete_endpoint(endpoint: Endpoint, event: Event) -> dict[str, bool]:
    """Ask SageMaker to delete the endpoint; return whether it is gone."""
    sagemaker = aws.client("sagemaker")
    described = describe(endpoint.endpoint_name)
    if described is None:
        return {"gone": True}
    if described["EndpointStatus"] not in {"Deleting", "Creating", "Updating"}:
        sagemaker.delete_endpoint(EndpointName=endpoint.endpoint_name)
    return {"gone": describe(endpoint.endpoint_name) is None}


def delete_rest(endpoint: Endpoint, event: Event) -> None:
    """Delete the configuration, the model and the record."""
    _delete_config_and_model(endpoint)
    released = [release(endpoint)] if endpoint.holds_model else []
    ENDPOINTS.delete(endpoint, waits.closing(endpoint.id), *released)


STEPS: dict[str, Callable[[Endpoint, Event], dict[str, bool] | None]] = {
    "create_model": create_model,
    "create_endpoint": create_endpoint,
    "in_service": in_service,
    "roll_back": roll_back,
    "delete_endpoint": delete_endpoint,
    "delete_rest": delete_rest,
}


def deployment() -> endpoint_request.Deployment:
    """Return what this stage gives every endpoint."""
    vpc = optional("VPC_CONFIG")
    return endpoint_request.Deployment(
        stage=variable("STAGE"),
        role_arn=variable("EXECUTION_ROLE_ARN"),
        images=mapping("IMAGES"),
        vpc=json.loads(vpc) if vpc else None,
        kms_key_arn=optional("KMS_KEY_ARN"),
    )


def release(endpoint: Endpoint) -> Write:
    """Return the write that lets go of the model version."""
    return models.release(endpoint.model.user_id or endpoint.owner, endpoint.model_version_id, endpoint.id)


def unless_exists(create: Callable[..., Any], **request: Any) -> None:
    """Create something at SageMaker; the same name from an earlier try is taken as done.

    SageMaker calls a taken name ValidationException too, and tells the two apart only in words.
    """
    try:
        create(**request)
    except Exception as error:
        taken = aws.error_code(error) in {"ValidationException", "ResourceInUse"} and "already exist" in str(error)
        if not taken:
            raise


def _delete_config_and_model(endpoint: Endpoint) -> None:
    sagemaker, name = aws.client("sagemaker"), endpoint.endpoint_name
    for delete, argument in (
        (sagemaker.delete_endpoint_config, "EndpointConfigName"),
        (sagemaker.delete_model, "ModelName"),
    ):
        try:
            delete(**{argument: name})
        except Exception as error:
            if aws.error_code(error) not in MISSING:
                raise


def describe(name: str) -> dict[str, Any] | None:
    """Return DescribeEndpoint, or None when there is no such endpoint."""
    try:
        return aws.client("sagemaker").describe_endpoint(EndpointName=name)
    except Exception as error:
        if aws.error_code(error) in MISSING:
            return None
        raise


def reason_of(error: dict[str, Any]) -> str:
    """Return the words of a workflow's error: a Lambda's own message where there is one."""
    cause = str(error.get("Cause") or error.get("Error") or "The deployment failed.")
    try:
        cause = json.loads(cause).get("errorMessage", cause)
    except (ValueError, AttributeError):
        pass  # plain words
    return cause[:1000]


# ----------------------------------------------------------------------------------------------------- watch


def watch(event: Event, context: Any) -> None:
    """Bring records up to date with SageMaker: for one endpoint after an event, for all under way on the schedule."""
    kind, detail = event.get("detail-type"), event.get("detail", {})
    if kind == "SageMaker Endpoint State Change":
        reconcile_id(detail["EndpointName"].removeprefix(f"slipway-{variable('STAGE')}-"))
    elif kind == "Step Functions Execution Status Change":
        reconcile_id(detail["name"].removesuffix("-delete"))
    else:
        waits.reconcile_all("ep-", reconcile)
        registration_tasks.reconcile_all()


def reconcile_id(id: str) -> None:
    """Reconcile the endpoint or registration of that id; other programs' endpoints are no concern of ours."""
    if id.startswith(registration_tasks.PREFIX):
        waits.reconcile_all(id, registration_tasks.reconcile)
        return
    try:
        endpoint = ENDPOINTS.find(id)
    except NotFound:
        return
    reconcile(endpoint.owner, endpoint.id)


def reconcile(owner: str, id: str) -> None:
    """Make one endpoint's record, workflow and SageMaker agree; begin one that a job asked for."""
    if id.startswith(FOLLOWING):
        chain.follow_job(owner, id.removeprefix("ep-"))
        return
    endpoint = ENDPOINTS.get(owner, id)
    described = describe(endpoint.endpoint_name)
    status = described["EndpointStatus"] if described else None
    reason = (described or {}).get("FailureReason", "SageMaker gave no reason.")
    try:
        reconcile_with(endpoint, status, reason)
    except Stale:  # its workflow or another event was faster
        logger.info("changed meanwhile", extra={"id": id})


def reconcile_with(endpoint: Endpoint, status: str | None, reason: str) -> None:
    """Make the record agree with SageMaker's status, where None means that it has no such endpoint."""
    if endpoint.status == "creating":
        reconcile_creating(endpoint, status, reason)
    elif endpoint.status == "in_service" and status in {None, "Failed", "OutOfService"}:
        gone = "SageMaker has no such endpoint any more." if status is None else reason
        ENDPOINTS.update(endpoint, status="failed", reason=gone)
    elif endpoint.status == "deleting":
        reconcile_deleting(endpoint)


def reconcile_creating(endpoint: Endpoint, status: str | None, reason: str) -> None:
    """Answer the workflow that deploys, start it if it never started, or do its last step when it is gone."""
    if status == "InService":
        waits.succeed(endpoint.id, {"status": status})
    elif status == "Failed":
        waits.fail(endpoint.id, "EndpointFailed", reason)
    execution = workflows.execution("DEPLOY_WORKFLOW_ARN", endpoint.id)["status"]
    if execution == "RUNNING":
        waits.heartbeat(endpoint.id)
    elif execution == "ABSENT":
        workflows.start("DEPLOY_WORKFLOW_ARN", endpoint.owner, endpoint.id)
    elif status == "InService":
        in_service(endpoint, {})
    elif status == "Failed":
        roll_back(endpoint, {"error": {"Cause": reason}})
    elif status is None:
        roll_back(endpoint, {"error": {"Cause": "The deployment's workflow ended before the endpoint was made."}})


def reconcile_deleting(endpoint: Endpoint) -> None:
    """Start a teardown that never started; finish one whose workflow has ended (its name cannot be used twice)."""
    name = f"{endpoint.id}-delete"
    status = workflows.execution("TEARDOWN_WORKFLOW_ARN", name)["status"]
    if status == "ABSENT":
        workflows.start("TEARDOWN_WORKFLOW_ARN", endpoint.owner, endpoint.id, name)
    elif status != "RUNNING" and delete_endpoint(endpoint, {})["gone"]:
        delete_rest(endpoint, {})

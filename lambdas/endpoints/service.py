"""The rules of endpoints: what may be deployed, and how an endpoint is called, and how it goes away."""

import json
from dataclasses import dataclass
from typing import Any

from lambdas.common import aws, waits, workflows
from lambdas.common.environment import variable
from lambdas.common.errors import BadRequest, Conflict, ContainerFailed, NotFound, TooLarge, Unavailable
from lambdas.common.identity import Caller
from lambdas.common.ids import new_id
from lambdas.common.instances import allowed_instance_type
from lambdas.common.pages import Page
from lambdas.common.store import EntityStore, now
from lambdas.common.transactions import Write
from lambdas.endpoints import awake, leases
from lambdas.endpoints.awake import awake_endpoints as awake_endpoints  # the statistics call it
from lambdas.endpoints.schemas import AcceptedRisk, Endpoint, EndpointCreate
from lambdas.models import service as models
from lambdas.models.schemas import ModelVersion

ENDPOINTS = EntityStore("ENDPOINTS_TABLE", Endpoint, "endpoint")
MAX_BODY = 4 * 1024 * 1024  # API Gateway and Lambda carry bodies base64-coded: 6 MB are about 4.4 of ours
AT_REST = {"in_service", "sleeping", "failed"}


@dataclass(frozen=True)
class Prediction:
    """The container's answer, passed on as it is."""

    body: bytes
    content_type: str


def create(caller: Caller, request: EndpointCreate) -> Endpoint:
    """Accept a deployment: hold the model version, store the endpoint, start its workflow.

    Raises NotFound for a model the caller may not see, Conflict for one that cannot be served, BadRequest for an
    instance type that the caller may not have, or a longer lease than the stage allows.
    """
    return begin(caller, request, allowed_instance_type(request.instance_type, caller), new_id("ep"))


def begin(caller: Caller, request: EndpointCreate, instance_type: str, id: str, *also: Write) -> Endpoint:
    """Do as `create`, on an instance type that was allowed before, and together with `also` or not at all."""
    owner = request.model.user_id or caller.username
    version = models.find(caller, owner, request.model.model_id, request.model.version)
    risk = accepted_risk(version, caller, request.accept_risk)
    artefact = servable(version)
    endpoint = Endpoint(
        owner=caller.username,
        id=id,
        name=request.name,
        model=request.model.model_copy(update={"version": version.version, "user_id": owner}),
        model_version_id=version.id,
        instance_type=instance_type,
        instance_count=request.instance_count,
        endpoint_name=f"slipway-{variable('STAGE')}-{id}",
        image_family=version.image or "",
        artefact=artefact,
        accepted_risk=risk,
        lease_hours=leases.hours_of(request.lease_hours),
        started_at=now(),
    )
    writes = [waits.opening(id, endpoint.owner), awake.adding(endpoint), models.hold(version, id)]
    ENDPOINTS.create(endpoint, *writes, *also)
    workflows.start("DEPLOY_WORKFLOW_ARN", endpoint.owner, id)
    return endpoint


def accepted_risk(version: ModelVersion, caller: Caller, accepts: bool) -> AcceptedRisk | None:
    """Return the record that the caller accepts what the scanner found, None where there is nothing to accept.

    Raises Conflict for a malicious version, and for one that is not clean unless the caller says that it may be.
    """
    name = f"{version.model_id} {version.version}"
    if version.verdict == "malicious":
        raise Conflict(f"{name} is blocked and cannot be deployed: {version.reason}")
    if models.trusted(version):
        return None
    if not accepts:
        raise Conflict(
            f"The scanner calls {name} {version.verdict}; its findings are in GET "
            f"/ai-models/{version.owner}/{version.model_id}/files?version={version.version}. "
            "Send accept_risk: true to deploy it all the same; your name is recorded with it."
        )
    return AcceptedRisk(by=caller.username, at=now(), verdict=version.verdict)


def servable(version: ModelVersion) -> str:
    """Return the address of what an endpoint loads; raises Conflict with the reason when there is nothing."""
    if version.status != "ready":
        raise Conflict(
            f"{version.model_id} {version.version} is {version.status}; only a ready version can be deployed."
        )
    if version.image is None or version.model_archive is None:
        raise Conflict(f"{version.model_id} {version.version} was not trained here; this platform cannot serve it yet.")
    return f"s3://{variable('MODELS_BUCKET')}/{version.model_archive}"


def owned(caller: Caller, id: str) -> Endpoint:
    """Return an endpoint that the caller may use: their own, or any for an admin; raises NotFound."""
    return ENDPOINTS.find(id) if caller.is_admin else ENDPOINTS.get(caller.username, id)


def list_endpoints(caller: Caller, limit: int, cursor: str | None, **matching: str | None) -> Page[Endpoint]:
    """Return a page of the caller's endpoints, newest first."""
    return ENDPOINTS.list(caller.username, "ep-", limit, cursor, **matching)


def delete(endpoint: Endpoint) -> Endpoint:
    """Begin to take an endpoint down; raises Conflict while it is being made (SageMaker does not allow it)."""
    if endpoint.status == "deleting":
        return endpoint
    if endpoint.status not in AT_REST:
        raise Conflict(f"The endpoint {endpoint.id} is {endpoint.status}; delete it once that is over.")
    writes = [waits.opening(endpoint.id, endpoint.owner), awake.removing(endpoint.id)]
    endpoint = ENDPOINTS.update(endpoint, *writes, status="deleting")
    workflows.start("TEARDOWN_WORKFLOW_ARN", endpoint.owner, endpoint.id, name=f"{endpoint.id}-delete")
    return endpoint


def invoke(endpoint: Endpoint, body: bytes, content_type: str, accept: str) -> Prediction:
    """Send a body to the model and return its answer.

    Raises Conflict when the endpoint is not in service, Unavailable while it wakes up, TooLarge, BadRequest with the
    container's words for input it refused, ContainerFailed when it broke.
    """
    if endpoint.status == "sleeping":  # nothing wakes it by itself: to try again later would be no use
        raise Conflict(f"{endpoint.reason} POST /endpoints/{endpoint.id}/wake wakes it; it then takes some minutes.")
    if endpoint.status == "creating" and endpoint.wakes:
        raise Unavailable(f"The endpoint {endpoint.id} is waking up; try again in a minute.", retry_after=60)
    if endpoint.status != "in_service":
        why = f": {endpoint.reason}" if endpoint.reason else ""
        raise Conflict(f"The endpoint {endpoint.id} is {endpoint.status}{why}")
    if len(body) > MAX_BODY:
        raise TooLarge(f"The body is larger than {MAX_BODY} bytes; send fewer rows at once.")
    runtime = aws.client("sagemaker-runtime")
    try:
        answer = runtime.invoke_endpoint(
            EndpointName=endpoint.endpoint_name, Body=body, ContentType=content_type, Accept=accept
        )
    except runtime.exceptions.ModelError as error:
        raise container_error(error.response) from error
    except Exception as error:
        if aws.error_code(error) in {"ServiceUnavailable", "ThrottlingException", "InternalFailure"}:
            raise Unavailable("The endpoint did not answer; try again in a moment.", retry_after=2) from error
        if aws.error_code(error) == "ValidationError":
            raise NotFound(f"SageMaker has no endpoint {endpoint.endpoint_name}; deploy the model again.") from error
        raise
    return Prediction(answer["Body"].read(), answer.get("ContentType", "application/octet-stream"))


def container_error(response: dict[str, Any]) -> BadRequest | ContainerFailed:
    """Return the error that a container's answer stands for: its 4xx is the caller's, anything else its own."""
    status, message = response.get("OriginalStatusCode", 500), response.get("OriginalMessage", "")
    try:
        message = json.loads(message)["detail"]
    except (ValueError, KeyError, TypeError):
        pass  # not our containers' error shape: its words are passed on as they are
    message = str(message)[:1000]
    if 400 <= status < 500:
        return BadRequest(f"The model refused the input: {message}")
    return ContainerFailed(f"The model's container failed: {message}")

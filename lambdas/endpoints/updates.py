"""Changes of an endpoint in service: what may change, and how the record says so. The tasks then do it."""

from typing import Any

from lambdas.common import waits, workflows
from lambdas.common.errors import BadRequest, Conflict
from lambdas.common.identity import Caller
from lambdas.common.instances import allowed_instance_type
from lambdas.common.transactions import Write
from lambdas.endpoints import llm, service
from lambdas.endpoints.schemas import Endpoint, EndpointChange, Update
from lambdas.endpoints.service import ENDPOINTS
from lambdas.models import service as models
from lambdas.models.schemas import ModelReference, ModelVersion

WORKFLOW = "UPDATE_WORKFLOW_ARN"
INSTANCES = ("instance_type", "instance_count", "autoscaling")
DEPLOYED = ("model_version_id", "image_family", "artefact", "instance_type", "instance_count")
# Kinds -> what their endpoints do not have.
LACKING: dict[str, tuple[str, ...]] = {
    "serverless": INSTANCES,
    "async": ("autoscaling",),
    "model_based": ("autoscaling",),
    "inference_component_based": INSTANCES,
}
CHANGED = (*DEPLOYED, "model", "autoscaling", "accepted_risk")


def change(caller: Caller, endpoint: Endpoint, request: EndpointChange) -> Endpoint:
    """Change an endpoint: its name at once, all else by an update under way when this returns.

    Raises Conflict unless it is in service, BadRequest for what its kind does not have, and what `create` raises.
    """
    asked = request.model_fields_set
    named: dict[str, Any] = {"name": request.name} if request.name else {}
    update = wanted(caller, endpoint, request) if asked - {"name", "accept_risk"} else None
    if update is None or unchanged(endpoint, update):
        return ENDPOINTS.update(endpoint, **named) if named else endpoint
    holds: list[Write] = []
    if update.model_version_id != endpoint.model_version_id:
        holds = [models.hold(version_of(caller, update.model), endpoint.id)]
    endpoint = ENDPOINTS.update(
        endpoint,
        waits.opening(endpoint.id, endpoint.owner),
        *holds,
        **named,
        status="updating",
        reason=None,
        update=update,
        deployments=update.number,
    )
    workflows.start(WORKFLOW, endpoint.owner, endpoint.id, name=execution_name(endpoint))
    return endpoint


def execution_name(endpoint: Endpoint) -> str:
    """Return the name of the workflow's execution for the update under way."""
    assert endpoint.update
    return f"{endpoint.id}-update-{endpoint.update.number}"


def wanted(caller: Caller, endpoint: Endpoint, request: EndpointChange) -> Update:
    """Return the update that a request asks for."""
    if endpoint.status != "in_service":
        raise Conflict(f"The endpoint {endpoint.id} is {endpoint.status}; change it once it is in service.")
    asked = request.model_fields_set
    refuse_what_its_kind_lacks(endpoint, asked)
    given: dict[str, Any] = {"instance_count": request.instance_count} if request.instance_count else {}
    if request.instance_type:
        given["instance_type"] = allowed_instance_type(request.instance_type, caller)
    if "autoscaling" in asked:
        given["autoscaling"] = request.autoscaling
    if request.model:
        given |= deployable(caller, endpoint, request.model, request.accept_risk)
    values = {name: getattr(endpoint, name) for name in CHANGED} | given
    field = "instance_count" if "instance_count" in asked else "autoscaling"
    service.check_scaling(values["autoscaling"], values["instance_count"], field)
    deploys = any(values[name] != getattr(endpoint, name) for name in DEPLOYED)
    return Update(number=endpoint.deployments + 1, deploys=deploys, **values)


def refuse_what_its_kind_lacks(endpoint: Endpoint, asked: set[str]) -> None:
    """Raise BadRequest, naming the field, for what endpoints of that kind do not have."""
    lacking = LACKING.get(endpoint.kind, ())
    for field in lacking:
        if field in asked:
            message = f"An endpoint of kind {endpoint.kind} has no {field}."
            raise BadRequest(message, errors=[{"field": field, "message": message}])


def deployable(caller: Caller, endpoint: Endpoint, model: ModelReference, accept_risk: bool) -> dict[str, Any]:
    """Return the fields that another version gives an endpoint; raises what deploying it anew would."""
    version = version_of(caller, model)
    risk = service.accepted_risk(version, caller, accept_risk)
    if not endpoint.network_isolation:
        service.refuse_unless_clean(version, caller)
    served = service.servable(version)
    llm.checked(endpoint.kind, endpoint.llm, version, served, endpoint.instance_type)
    return {
        "model": ModelReference(model_id=version.model_id, version=version.version, user_id=version.owner),
        "model_version_id": version.id,
        "artefact": served.artefact,
        "image_family": served.image_family,
        "accepted_risk": risk,
    }


def version_of(caller: Caller, model: ModelReference) -> ModelVersion:
    """Return the version that a reference names; raises NotFound."""
    return models.find(caller, model.user_id or caller.username, model.model_id, model.version)


def unchanged(endpoint: Endpoint, update: Update) -> bool:
    """Return whether an update would leave everything as it is."""
    return all(getattr(update, name) == getattr(endpoint, name) for name in (*DEPLOYED, "autoscaling"))


def updated(endpoint: Endpoint) -> Endpoint:
    """Return the endpoint as its update under way will leave it."""
    assert endpoint.update
    number = endpoint.update.number if endpoint.update.deploys else endpoint.deployment
    values = {name: getattr(endpoint.update, name) for name in CHANGED}
    return endpoint.model_copy(update=values | {"deployment": number, "update": None})

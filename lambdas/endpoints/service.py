"""The rules of endpoints: what may be deployed, and how an endpoint is called, and how it goes away."""

from typing import Any

from lambdas.common import waits, workflows
from lambdas.common.environment import variable
from lambdas.common.errors import BadRequest, Conflict
from lambdas.common.identity import Caller
from lambdas.common.ids import new_id
from lambdas.common.instances import allowed_instance_type
from lambdas.common.pages import Page
from lambdas.common.store import EntityStore, now
from lambdas.common.transactions import Write
from lambdas.endpoints import awake, components, hosts, leases, llm
from lambdas.endpoints import servable as rules
from lambdas.endpoints.awake import awake_endpoints as awake_endpoints  # the statistics call it
from lambdas.endpoints.copies import Copies
from lambdas.endpoints.llm import LlmSettings
from lambdas.endpoints.schemas import AcceptedRisk, Autoscaling, Endpoint, EndpointCreate, Serverless
from lambdas.endpoints.servable import Servable
from lambdas.models import service as models
from lambdas.models.schemas import ModelVersion

ENDPOINTS = EntityStore("ENDPOINTS_TABLE", Endpoint, "endpoint")
AT_REST = {"in_service", "sleeping", "failed"}


def create(caller: Caller, request: EndpointCreate) -> Endpoint:
    """Accept a deployment: hold the model version, store the endpoint, start its workflow.

    Raises NotFound for a model the caller may not see, Conflict for one that cannot be served, BadRequest for an
    instance type that the caller may not have, or a longer lease than the stage allows.
    """
    return begin(caller, request, instance_type_of(caller, request), new_id("ep"))


def instance_type_of(caller: Caller, request: EndpointCreate) -> str | None:
    """Return what an endpoint is to run on, None for a serverless one; raises BadRequest for what is not allowed.

    Raises NotFound or Conflict for another endpoint whose instances cannot be shared.
    """
    if request.host_endpoint_id:
        return shared_with(caller, request.host_endpoint_id).instance_type
    return None if request.kind == "serverless" else allowed_instance_type(request.instance_type, caller)


def shared_with(caller: Caller, id: str) -> Endpoint:
    """Return the endpoint whose instances are to be shared; raises NotFound, Conflict where it shares none."""
    found = ENDPOINTS.get(caller.username, id)
    if found.kind != components.KIND:
        raise Conflict(f"The endpoint {id} is of kind {found.kind}; only {components.KIND} ones share their instances.")
    if found.status not in {"in_service", "updating"}:
        raise Conflict(f"The endpoint {id} is {found.status}; its instances can be shared once it is in service.")
    return found


def begin(caller: Caller, request: EndpointCreate, instance_type: str | None, id: str, *also: Write) -> Endpoint:
    """Do as `create`, on an instance type that was allowed before, and together with `also` or not at all."""
    owner = request.model.user_id or caller.username
    version = models.find(caller, owner, request.model.model_id, request.model.version)
    risk, served, settings = checked(caller, request, version, instance_type)
    endpoint = Endpoint(
        owner=caller.username,
        id=id,
        name=request.name,
        model=request.model.model_copy(update={"version": version.version, "user_id": owner}),
        model_version_id=version.id,
        kind=request.kind,
        instance_type=instance_type,
        instance_count=0 if request.kind == "serverless" or request.host_endpoint_id else request.instance_count,
        serverless=(request.serverless or Serverless()) if request.kind == "serverless" else None,
        autoscaling=request.autoscaling,
        **placed(caller, request, id),
        network_isolation=request.kind != "serverless",
        endpoint_name=f"slipway-{variable('STAGE')}-{id}",
        image_family=served.image_family,
        artefact=served.artefact,
        llm=settings,
        accepted_risk=risk,
        lease_hours=leases.hours_of(request.lease_hours),
        started_at=now(),
    )
    writes = [waits.opening(id, endpoint.owner), awake.adding(endpoint), models.hold(version, id)]
    writes += hosts.joining(endpoint, first=endpoint.host_endpoint_id == id)
    ENDPOINTS.create(endpoint, *writes, *also)
    workflows.start("DEPLOY_WORKFLOW_ARN", endpoint.owner, id)
    return endpoint


def placed(caller: Caller, request: EndpointCreate, id: str) -> dict[str, Any]:
    """Return the fields that say which endpoint of SageMaker a new endpoint's component is on; none for other kinds."""
    if request.kind != components.KIND:
        return {}
    host = shared_with(caller, request.host_endpoint_id).host_endpoint_id if request.host_endpoint_id else id
    copies = request.copies or Copies()
    return {"copies": copies, "host_endpoint_id": host, "host": f"slipway-{variable('STAGE')}-{host}"}


def checked(
    caller: Caller, request: EndpointCreate, version: ModelVersion, instance_type: str | None
) -> tuple[AcceptedRisk | None, Servable, LlmSettings | None]:
    """Return the risk that is accepted, what serves a version and how; raises BadRequest, Conflict where it cannot."""
    check_scaling(request.autoscaling, request.instance_count)
    risk = accepted_risk(version, caller, request.accept_risk)
    if request.kind == "serverless":
        refuse_unless_clean(version, caller)
    served = servable(version)
    return risk, served, llm.checked(request.kind, request.llm, version, served, instance_type)


def accepted_risk(version: ModelVersion, caller: Caller, accepts: bool) -> AcceptedRisk | None:
    """Return the record that the caller accepts what the scanner found, None where there is nothing to accept.

    Raises Conflict for a malicious version, and for one that is not clean unless the caller says that it may be.
    """
    name = f"{version.model_id} {version.version}"
    if version.verdict == "malicious":
        raise Conflict(f"{name} is blocked and cannot be deployed: {version.reason}")
    if models.trusted(version) and not is_foreign_script(version, caller):
        return None
    if not accepts:
        raise Conflict(
            f"The scanner calls {name} {version.verdict}; its findings are in GET "
            f"/ai-models/{version.owner}/{version.model_id}/files?version={version.version}. "
            "Send accept_risk: true to deploy it all the same; your name is recorded with it."
        )
    return AcceptedRisk(by=caller.username, at=now(), verdict=version.verdict)


def is_foreign_script(version: ModelVersion, caller: Caller) -> bool:
    """Return whether somebody else's own script made a model, which nobody has scanned: it may be a pickle."""
    return version.job_id is not None and version.image is None and version.owner != caller.username


def servable(version: ModelVersion) -> Servable:
    """Return what serves a version; raises Conflict with the reason when nothing does."""
    bucket, key = variable("MODELS_BUCKET"), version.model_archive
    if key is not None:
        files = [] if version.image else models.archived_files(version)
        return rules.servable(version, files, lambda _: {}, bucket)
    return rules.servable(version, models.shown_files(version), lambda name: models.document(version, name), bucket)


def refuse_unless_clean(version: ModelVersion, caller: Caller) -> None:
    """Raise Conflict for a version that may not be served without network isolation."""
    if not models.trusted(version) or is_foreign_script(version, caller):
        raise Conflict(
            f"A serverless endpoint cannot be cut off from the network, so only versions that the scanner calls clean "
            f"are served there, and {version.model_id} {version.version} is {version.verdict}. Use kind realtime."
        )


def check_scaling(autoscaling: Autoscaling | None, instance_count: int, field: str = "instance_count") -> None:
    """Raise BadRequest for a number of instances outside of autoscaling's bounds."""
    if autoscaling and not autoscaling.min_instances <= instance_count <= autoscaling.max_instances:
        message = f"{instance_count} is not between autoscaling's min_instances and max_instances."
        raise BadRequest(message, errors=[{"field": field, "message": message}])


def release(endpoint: Endpoint) -> Write:
    """Return the write that lets go of the model version."""
    return models.release(endpoint.model.user_id or endpoint.owner, endpoint.model_version_id, endpoint.id)


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

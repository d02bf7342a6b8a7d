"""What happens to an endpoint outside of requests: the steps of its workflows, and keeping its record true.

Names are made from the endpoint's id, so every step can be repeated: what exists already is taken as done,
what is gone already is taken as deleted.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from lambdas.common import aws, waits, workflows
from lambdas.common.environment import variable
from lambdas.common.errors import NotFound, Stale
from lambdas.common.observability import logger
from lambdas.endpoints import (
    awake,
    chain,
    component_resources,
    endpoint_request,
    health,
    hosts,
    leases,
    registration_tasks,
    resources,
    service,
    sleeping,
    sweep,
    update_tasks,
    updates,
)
from lambdas.endpoints.schemas import Endpoint
from lambdas.endpoints.service import ENDPOINTS

Event = dict[str, Any]
FOLLOWING = "ep-job-"  # what a completed job leaves under way when it asked for an endpoint


# ---------------------------------------------------------------------------------------------------- deploy


def deploy(event: Event, context: Any) -> dict[str, Any]:
    """One step of `deploy`, `update`, `sleep` or `teardown`: {"step", "owner", "id"} and what the step needs."""
    try:
        endpoint = ENDPOINTS.get(event["owner"], event["id"])
    except NotFound:
        logger.info("endpoint is gone", extra={"id": event["id"], "step": event["step"]})
        return {"gone": True}
    return STEPS[event["step"]](endpoint, event) or {}


def create_model(endpoint: Endpoint, event: Event) -> dict[str, bool]:
    """Make SageMaker's model and endpoint configuration; say whether it is a component, which sends no events."""
    resources.create_model_and_config(endpoint)
    return {"component": endpoint.host is not None}


def create_endpoint(endpoint: Endpoint, event: Event) -> None:
    """Make the endpoint; the workflow then waits for the token to be answered."""
    waits.keep_token(endpoint.id, event["token"])
    request = endpoint_request.create_endpoint(endpoint, resources.deployment())
    resources.create(aws.client("sagemaker").create_endpoint, **request)


def place(endpoint: Endpoint, event: Event) -> dict[str, bool]:
    """Bring an inference component nearer to service; say whether it is there, else the workflow looks again."""
    return {"placed": endpoint.status != "creating" or component_resources.place(endpoint)}


def in_service(endpoint: Endpoint, event: Event) -> None:
    """Store that the endpoint answers."""
    if endpoint.status != "creating":
        return
    resources.let_logs_end(endpoint)
    problem = component_resources.scale(endpoint) if endpoint.host else resources.scale(endpoint)
    kept = {"autoscaling": None} if problem else {}
    changes = kept | leases.beginning(endpoint, datetime.now(UTC))
    ENDPOINTS.update(endpoint, waits.closing(endpoint.id), status="in_service", reason=problem, **changes)


def roll_back(endpoint: Endpoint, event: Event) -> None:
    """Remove whatever was made, and store why. Raises while SageMaker is still busy, to be tried again."""
    if not delete_endpoint(endpoint, event)["gone"]:
        raise RuntimeError(f"{endpoint.endpoint_name} is not deleted yet.")
    if endpoint.wakes:  # it served before: it goes on sleeping, with all that it is made of
        if endpoint.status == "creating":
            sleeping.asleep_again(endpoint, workflows.reason_of(event["error"]))
        return
    remove(endpoint)
    if endpoint.status == "creating":
        changes = {"status": "failed", "reason": workflows.reason_of(event["error"]), "holds_model": False}
        writes = [waits.closing(endpoint.id), awake.removing(endpoint.id), service.release(endpoint)]
        ENDPOINTS.update(endpoint, *writes, **changes, **leases.settled(endpoint, datetime.now(UTC)))


def delete_endpoint(endpoint: Endpoint, event: Event) -> dict[str, bool]:
    """Ask SageMaker to delete the endpoint, which then does not scale any more; return whether it is gone."""
    if endpoint.host:
        return {"gone": component_resources.take_away(endpoint)}
    if endpoint.autoscaling:
        resources.stop_scaling(endpoint)
    described = resources.describe(endpoint.endpoint_name)
    if described is None:
        return {"gone": True}
    if described["EndpointStatus"] not in resources.BUSY:
        aws.client("sagemaker").delete_endpoint(EndpointName=endpoint.endpoint_name)
    return {"gone": resources.describe(endpoint.endpoint_name) is None}


def asleep(endpoint: Endpoint, event: Event) -> None:
    """Store that the endpoint is gone from SageMaker, so that it can be woken."""
    sleeping.asleep(endpoint)


def delete_rest(endpoint: Endpoint, event: Event) -> None:
    """Delete what remains of an endpoint that SageMaker has no more, and the record."""
    remove(endpoint)
    resources.delete_inferences(endpoint)
    released = [service.release(found) for found in deployed(endpoint)] if endpoint.holds_model else []
    ENDPOINTS.delete(endpoint, waits.closing(endpoint.id), *released)


def remove(endpoint: Endpoint) -> None:
    """Delete every deployment's model and configuration, an update's alarm; let the logs end."""
    for found in deployments(endpoint):
        resources.delete_model_and_config(found)
    if endpoint.update:
        resources.delete_alarm(updates.updated(endpoint))
    resources.let_logs_end(endpoint)


def deployments(endpoint: Endpoint) -> list[Endpoint]:
    """Return the endpoint as it is deployed; and as an update would have left it, which was lost on the way."""
    return [endpoint, updates.updated(endpoint)] if endpoint.update else [endpoint]


def deployed(endpoint: Endpoint) -> list[Endpoint]:
    """Return its deployments, one for each version that it holds."""
    return list({found.model_version_id: found for found in deployments(endpoint)}.values())


STEPS: dict[str, Callable[[Endpoint, Event], dict[str, bool] | None]] = {
    "create_model": create_model,
    "create_endpoint": create_endpoint,
    "place": place,
    "in_service": in_service,
    "roll_back": roll_back,
    "prepare_update": update_tasks.prepare_update,
    "update_endpoint": update_tasks.update_endpoint,
    "settle_update": update_tasks.settle_update,
    "delete_endpoint": delete_endpoint,
    "delete_rest": delete_rest,
    "asleep": asleep,
}


# ----------------------------------------------------------------------------------------------------- watch


def watch(event: Event, context: Any) -> None:
    """Bring records up to date with SageMaker: for one endpoint after an event, for all under way on the schedule."""
    kind, detail = event.get("detail-type"), event.get("detail", {})
    if kind == "SageMaker Endpoint State Change":
        reconcile_endpoint(detail["EndpointName"])
    elif kind == "Step Functions Execution Status Change":
        workflows.broke(event)
        reconcile_id("-".join(detail["name"].split("-")[:2]))  # after the id: which of its executions it is
    else:
        look_at_all(clock_of(event))


def look_at_all(clock: datetime) -> None:
    """Reconcile what is under way, put to sleep what is due, say how the rest does; none keeps another from it."""
    try:
        waits.reconcile_all("ep-", reconcile)
        registration_tasks.reconcile_all()
    finally:
        try:
            sweep.sweep(clock)
        finally:
            health.report(clock)


def clock_of(event: Event) -> datetime:
    """Return the time at which EventBridge's schedule sent the event; for one without a time, now."""
    return datetime.fromisoformat(event["time"]) if "time" in event else datetime.now(UTC)


def reconcile_endpoint(name: str) -> None:
    """Reconcile the endpoint of that name, or all whose components are on it."""
    for id in hosts.members(name) or [name.removeprefix(f"slipway-{variable('STAGE')}-")]:
        reconcile_id(id)


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
    state = resources.state(endpoint)
    reason = (state and state.reason) or "SageMaker gave no reason."
    try:
        if endpoint.status == "updating":
            update_tasks.reconcile_updating(endpoint, state)
        else:
            reconcile_with(endpoint, state and state.status, reason)
    except Stale:  # its workflow or another event was faster
        logger.info("changed meanwhile", extra={"id": id})


def reconcile_with(endpoint: Endpoint, status: str | None, reason: str) -> None:
    """Make the record agree with SageMaker's status, where None means that it has no such endpoint."""
    if endpoint.status == "creating":
        reconcile_creating(endpoint, status, reason)
    elif endpoint.status == "in_service" and (status is None or status in resources.BROKEN):
        gone = "SageMaker has no such endpoint any more." if status is None else reason
        ended = leases.settled(endpoint, datetime.now(UTC))
        ENDPOINTS.update(endpoint, awake.removing(endpoint.id), status="failed", reason=gone, **ended)
    elif endpoint.status == "sleeping":
        reconcile_sleeping(endpoint)
    elif endpoint.status == "deleting":
        reconcile_deleting(endpoint)


def reconcile_creating(endpoint: Endpoint, status: str | None, reason: str) -> None:
    """Answer the workflow that deploys, start it if it never started, or do its last step when it is gone."""
    if status == "InService":
        waits.succeed(endpoint.id, {"status": status})
    elif status == "Failed":
        waits.fail(endpoint.id, "EndpointFailed", reason)
    name = sleeping.deploy_name(endpoint)
    execution = workflows.execution("DEPLOY_WORKFLOW_ARN", name)["status"]
    if execution == "RUNNING":
        waits.heartbeat(endpoint.id)
    elif execution == "ABSENT":
        workflows.start("DEPLOY_WORKFLOW_ARN", endpoint.owner, endpoint.id, name)
    elif status == "InService":
        in_service(endpoint, {})
    elif status == "Failed":
        roll_back(endpoint, {"error": {"Cause": reason}})
    elif status is None:
        roll_back(endpoint, {"error": {"Cause": "The deployment's workflow ended before the endpoint was made."}})


def reconcile_sleeping(endpoint: Endpoint) -> None:
    """Start what puts it to sleep if that never started; do its steps when its workflow has ended before its end."""
    name = sleeping.sleep_name(endpoint)
    execution = workflows.execution(sleeping.SLEEP, name)["status"]
    if execution == "ABSENT" and endpoint.stopped_at is None:
        workflows.start(sleeping.SLEEP, endpoint.owner, endpoint.id, name)
    elif execution != "RUNNING" and delete_endpoint(endpoint, {})["gone"]:
        sleeping.asleep(endpoint)


def reconcile_deleting(endpoint: Endpoint) -> None:
    """Start a teardown that never started; finish one whose workflow has ended (its name cannot be used twice)."""
    name = f"{endpoint.id}-delete"
    status = workflows.execution("TEARDOWN_WORKFLOW_ARN", name)["status"]
    if status == "ABSENT":
        workflows.start("TEARDOWN_WORKFLOW_ARN", endpoint.owner, endpoint.id, name)
    elif status != "RUNNING" and delete_endpoint(endpoint, {})["gone"]:
        delete_rest(endpoint, {})

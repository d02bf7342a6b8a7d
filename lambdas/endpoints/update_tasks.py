"""The steps of an update without downtime: a new model and configuration beside the old, SageMaker changes over.

Whatever breaks, the last step looks what SageMaker serves, keeps the record true to it and removes the other.
"""

from datetime import UTC, datetime
from typing import Any

from lambdas.common import aws, waits, workflows
from lambdas.endpoints import awake, components, endpoint_request, leases, resources, service, updates
from lambdas.endpoints.resources import State
from lambdas.endpoints.schemas import Endpoint
from lambdas.endpoints.service import ENDPOINTS

Event = dict[str, Any]


class StillBusy(Exception):
    """SageMaker has not settled yet; the workflow tries again."""


def prepare_update(endpoint: Endpoint, event: Event) -> dict[str, bool]:
    """Make what the new version needs beside what serves; return whether it is to be deployed at all."""
    if endpoint.update is None:  # a step that is done again after the last one
        return {"deploys": False}
    if endpoint.autoscaling and endpoint.update.deploys:
        resources.stop_scaling(endpoint)  # AWS refuses to update what scales by itself to other instances
    if endpoint.update.deploys:
        new = updates.updated(endpoint)
        resources.create_model_and_config(new)
        if endpoint_request.guarded(new):
            alarm = components.put_update_alarm(new) if new.host else endpoint_request.put_alarm(new)
            aws.client("cloudwatch").put_metric_alarm(**alarm)
    return {"deploys": endpoint.update.deploys, "component": endpoint.host is not None}


def update_endpoint(endpoint: Endpoint, event: Event) -> None:
    """Let SageMaker change over; the workflow then waits for the token to be answered, if it has given one."""
    if "token" in event:
        waits.keep_token(endpoint.id, event["token"])
    if endpoint.update is None:
        return
    new = updates.updated(endpoint)
    state = resources.state(endpoint)
    if state and state.status == "InService" and not serves(state, new):
        change_over(endpoint, new)
    begun = endpoint.update.model_copy(update={"begun": True})
    ENDPOINTS.settle(endpoint, unless=lambda found: found.update is None, update=begun)  # it may be renamed meanwhile


def change_over(endpoint: Endpoint, new: Endpoint) -> None:
    """Ask SageMaker to change over to what was made beside what serves."""
    sagemaker = aws.client("sagemaker")
    if new.host:
        resources.create(sagemaker.update_inference_component, **components.update_component(new))
        return
    scaled = endpoint.autoscaling is not None and new.instance_count == endpoint.instance_count
    resources.create(sagemaker.update_endpoint, **endpoint_request.update_endpoint(new, scaled))


def settle_update(endpoint: Endpoint, event: Event) -> None:
    """Keep the version that SageMaker serves, remove the other. Raises StillBusy, to be tried again."""
    if endpoint.update is None:
        return
    state = resources.state(endpoint)
    if state is not None and state.status in resources.BUSY:
        raise StillBusy(f"{endpoint.endpoint_name} is {state.status}.")
    if state is None or state.status != "InService":
        lost(endpoint, state)
    elif not endpoint.update.deploys or serves(state, updates.updated(endpoint)):
        succeed(endpoint)
    else:
        told = state.reason if endpoint.update.begun else None
        roll_back(endpoint, told or workflows.reason_of(event.get("error", {})))


def serves(state: State, endpoint: Endpoint) -> bool:
    """Return whether SageMaker serves that deployment of an endpoint."""
    return state.deployed == endpoint_request.deployed_name(endpoint)


def succeed(endpoint: Endpoint) -> None:
    """Store what serves now, let go of what did."""
    assert endpoint.update
    new, released = updates.updated(endpoint), []
    if endpoint.update.deploys:
        remove_deployment(new, endpoint)
    if endpoint.autoscaling and new.autoscaling is None:
        resources.stop_scaling(endpoint)
    problem = resources.scale(new)
    if new.model_version_id != endpoint.model_version_id:
        released = [service.release(endpoint)]
    changes = {name: getattr(new, name) for name in (*updates.CHANGED, "deployment")}
    if problem:
        changes["autoscaling"] = None
    changes |= leases.passing(endpoint, datetime.now(UTC))
    settled = {"status": "in_service", "reason": problem, "update": None}
    ENDPOINTS.update(endpoint, waits.closing(endpoint.id), *released, **changes | settled)


def roll_back(endpoint: Endpoint, reason: str) -> None:
    """Store why the old version serves on, let go of the new one."""
    new = updates.updated(endpoint)
    remove_deployment(new, new)
    problem = resources.scale(endpoint)
    released = [service.release(new)] if new.model_version_id != endpoint.model_version_id else []
    kept = {"autoscaling": None} if problem else {}
    told = f"The update to {new.model.model_id} {new.model.version} failed, and what served before serves on: {reason}"
    settled = {"status": "in_service", "reason": told[:1000], "update": None}
    ENDPOINTS.update(endpoint, waits.closing(endpoint.id), *released, **kept | settled)


def lost(endpoint: Endpoint, state: State | None) -> None:
    """Store that nothing serves any more. Both deployments stay, and are held, until the endpoint is taken down."""
    why = (state and state.reason) or "SageMaker has no such endpoint any more."
    reason = f"The update failed: {why}"[:1000]
    ended = leases.settled(endpoint, datetime.now(UTC))
    writes = [waits.closing(endpoint.id), awake.removing(endpoint.id)]
    ENDPOINTS.update(endpoint, *writes, status="failed", reason=reason, **ended)


def remove_deployment(new: Endpoint, unused: Endpoint) -> None:
    """Delete the update's alarm, and the model and configuration of the deployment that does not serve."""
    if endpoint_request.guarded(new):
        resources.delete_alarm(new)
    resources.delete_model_and_config(unused)


def reconcile_updating(endpoint: Endpoint, state: State | None) -> None:
    """Answer the workflow that updates, start it if it never started, or do its last step when it is gone."""
    assert endpoint.update
    settled = state is None or state.status not in resources.BUSY
    if settled and endpoint.update.begun:
        if state and serves(state, updates.updated(endpoint)):
            waits.succeed(endpoint.id, {"status": state.status})
        else:
            waits.fail(endpoint.id, "UpdateFailed", (state and state.reason) or "SageMaker gave no reason.")
    name = updates.execution_name(endpoint)
    execution = workflows.execution(updates.WORKFLOW, name)["status"]
    if execution == "RUNNING":
        waits.heartbeat(endpoint.id)
    elif execution == "ABSENT":
        workflows.start(updates.WORKFLOW, endpoint.owner, endpoint.id, name)
    elif settled:
        settle_update(endpoint, {"error": {"Cause": "The update's workflow ended before the update did."}})

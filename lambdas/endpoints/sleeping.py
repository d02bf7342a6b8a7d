"""How an endpoint is put to sleep and woken: SageMaker has it no more, while all that it is made of stays.

Intent first: the record says `sleeping` before anything is deleted, so nobody calls what is about to go. The model
version stays held, SageMaker's model and configuration stay (they cost nothing), and waking makes the endpoint anew.
"""

from datetime import UTC, datetime

from lambdas.common import waits, workflows
from lambdas.common.errors import Conflict
from lambdas.common.store import now
from lambdas.endpoints import awake, hosts, leases
from lambdas.endpoints.lifetimes import LeaseUpdate
from lambdas.endpoints.schemas import Endpoint
from lambdas.endpoints.service import ENDPOINTS

SLEEP, DEPLOY = "SLEEP_WORKFLOW_ARN", "DEPLOY_WORKFLOW_ARN"


def renew(endpoint: Endpoint, wanted: LeaseUpdate) -> Endpoint:
    """Begin a new lease now; raises BadRequest for a longer one than the stage allows, Conflict while it sleeps."""
    hours = leases.hours_of(wanted.hours, endpoint.lease_hours, field="hours")
    if endpoint.status not in {"in_service", "updating"}:
        how = f": POST /endpoints/{endpoint.id}/wake begins a new lease" if endpoint.status == "sleeping" else ""
        raise Conflict(f"The endpoint {endpoint.id} is {endpoint.status}; only one in service has a lease{how}.")
    return ENDPOINTS.update(endpoint, lease_hours=hours, lease_until=leases.until(hours, datetime.now(UTC)))


def sleep(endpoint: Endpoint, because: str = "Put to sleep on request.", at: datetime | None = None) -> Endpoint:
    """Begin to put an endpoint to sleep; one that sleeps already stays as it is. Raises Conflict unless in service."""
    if endpoint.status == "sleeping":
        return endpoint
    if endpoint.status != "in_service":
        raise Conflict(f"The endpoint {endpoint.id} is {endpoint.status}; only one in service can be put to sleep.")
    endpoint = ENDPOINTS.update(
        endpoint,
        waits.opening(endpoint.id, endpoint.owner),
        awake.removing(endpoint.id),
        status="sleeping",
        reason=because,
        stopped_at=None,
        **leases.settled(endpoint, at or datetime.now(UTC)),
    )
    workflows.start(SLEEP, endpoint.owner, endpoint.id, sleep_name(endpoint))
    return endpoint


def wake(endpoint: Endpoint) -> Endpoint:
    """Begin to deploy a sleeping endpoint as it was; one that wakes already stays as it is. Raises Conflict."""
    if endpoint.status == "in_service" or (endpoint.status == "creating" and endpoint.wakes):
        return endpoint
    if endpoint.status != "sleeping":
        raise Conflict(f"The endpoint {endpoint.id} is {endpoint.status}; only one that sleeps can be woken.")
    if endpoint.stopped_at is None:
        raise Conflict(f"The endpoint {endpoint.id} is still falling asleep; wake it in a minute.")
    first = endpoint.host is not None and hosts.is_first(endpoint.host)
    endpoint = ENDPOINTS.update(
        endpoint,
        waits.opening(endpoint.id, endpoint.owner),
        awake.adding(endpoint),
        *hosts.joining(endpoint, first),
        **({"instance_count": int(first)} if endpoint.host else {}),
        status="creating",
        reason=None,
        stopped_at=None,
        started_at=now(),
        wakes=endpoint.wakes + 1,
    )
    workflows.start(DEPLOY, endpoint.owner, endpoint.id, deploy_name(endpoint))
    return endpoint


def deploy_name(endpoint: Endpoint) -> str:
    """Return the name of the execution that deploys the endpoint this time."""
    return f"{endpoint.id}-wake-{endpoint.wakes}" if endpoint.wakes else endpoint.id


def sleep_name(endpoint: Endpoint) -> str:
    """Return the name of the execution that puts the endpoint to sleep this time."""
    return f"{endpoint.id}-sleep-{endpoint.wakes}"


# ------------------------------------------------------------------------------------- what the tasks do of it


def asleep(endpoint: Endpoint) -> None:
    """Store that SageMaker has the endpoint no more. Safe to repeat, also after it was woken again."""
    if endpoint.status == "sleeping" and endpoint.stopped_at is None:
        ENDPOINTS.update(endpoint, waits.closing(endpoint.id), stopped_at=now())


def asleep_again(endpoint: Endpoint, reason: str) -> None:
    """Store that an endpoint could not be woken: it sleeps as before, says why, and can be woken again."""
    ENDPOINTS.update(
        endpoint,
        waits.closing(endpoint.id),
        awake.removing(endpoint.id),
        status="sleeping",
        reason=f"It could not be woken: {reason}"[:1000],
        stopped_at=now(),
        **leases.settled(endpoint, datetime.now(UTC)),
    )

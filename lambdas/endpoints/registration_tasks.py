"""What moves registrations on: the one step of the workflow `register`, and a look at those that are under way."""

from typing import Any

from lambdas.common import waits, workflows
from lambdas.common.errors import NotFound
from lambdas.common.observability import logger
from lambdas.common.transactions import transact
from lambdas.endpoints import registering
from lambdas.jobs.service import registrations

PREFIX = registrations.PREFIX


def register(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Move the registration {"owner", "id"} on; return whether it is over, and the seconds until the next look."""
    try:
        registration = registrations.REGISTRATIONS.get(event["owner"], event["id"])
    except NotFound:
        logger.info("registration is gone", extra={"id": event["id"]})
        return {"over": True, "seconds": 0}
    registration = registering.move_on(registration)
    return {"over": registration.ended, "seconds": registering.seconds_to_wait(registration)}


def reconcile_all() -> None:
    """Look at every registration that is under way."""
    waits.reconcile_all(PREFIX, reconcile)


def reconcile(owner: str, id: str) -> None:
    """Start a workflow that never began, and move the registration on, whether its workflow lives or not."""
    try:
        registration = registrations.REGISTRATIONS.get(owner, id)
    except NotFound:  # deleted once it had ended
        transact(waits.closing(id))
        return
    if not registration.ended and workflows.execution(registering.WORKFLOW, id)["status"] == "ABSENT":
        workflows.start(registering.WORKFLOW, owner, id)
    registering.move_on(registration)

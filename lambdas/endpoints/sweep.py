"""The sweep: every five minutes, whoever's lease has ended or whom nobody calls any more is put to sleep.

The clock is the schedule's own: the time in its event. An event that is late sweeps late, never early.
"""

from datetime import datetime

from lambdas.common.errors import NotFound, Stale
from lambdas.common.observability import logger
from lambdas.common.store import iso
from lambdas.common.transactions import transact
from lambdas.endpoints import awake, leases, metrics, sleeping
from lambdas.endpoints.schemas import Endpoint
from lambdas.endpoints.service import ENDPOINTS


def sweep(clock: datetime) -> None:
    """Put to sleep what is due, reading only what is awake.

    One that cannot be judged does not keep the others from it; its error is raised in the end, for the alarm.
    """
    failures = []
    for owner, id in awake.everyone():
        try:
            sweep_one(owner, id, clock)
        except Stale:  # changed at this moment: the next sweep sees how
            logger.info("changed meanwhile", extra={"id": id})
        except Exception as error:
            logger.exception("not swept", extra={"id": id})
            failures.append(error)
    if failures:
        raise failures[0]


def sweep_one(owner: str, id: str, clock: datetime) -> None:
    """Put one endpoint to sleep if it is due."""
    try:
        endpoint = ENDPOINTS.get(owner, id)
    except NotFound:
        transact(awake.removing(id))
        return
    if endpoint.status != "in_service":
        return  # what is under way comes to rest first
    lease = leases.end_of_lease(endpoint)
    if lease and lease.at <= clock:
        sleeping.sleep(endpoint, f"Its lease ended at {endpoint.lease_until}.", clock)
    elif idle(endpoint, clock):
        minutes = leases.idle_minutes(endpoint)
        sleeping.sleep(endpoint, f"Nobody called it for {minutes} minutes.", clock)


def idle(endpoint: Endpoint, clock: datetime) -> bool:
    """Return whether nobody has called it for too long.

    CloudWatch is asked only once the record knows of no call that is recent enough, and what it says is stored: one
    question and at most one write in the idle time, however many calls there are.
    """
    known, since = leases.end_by_idleness(endpoint), leases.active_at(endpoint)
    if known is None or since is None or known.at > clock:
        return False
    called = metrics.last(endpoint, since, clock)
    if called is None:
        return True
    later = leases.end_by_idleness(endpoint, called)
    assert later is not None  # as `known` is not
    if later.at <= clock:
        return True
    ENDPOINTS.update(endpoint, last_invoked_at=iso(called))
    return False

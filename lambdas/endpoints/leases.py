"""The rules by which no endpoint is forgotten: leases, idleness, what a run costs.

A lease begins when the endpoint is in service, and again when it is woken; PUT /endpoints/{id}/lease begins a new one.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from lambdas.common.environment import optional
from lambdas.common.errors import BadRequest
from lambdas.common.prices import price
from lambdas.common.store import iso
from lambdas.endpoints.lifetimes import Forecast
from lambdas.endpoints.schemas import Endpoint

HOUR = 3600
UNPRICED = "The price table has no price of what it ran on before, so there is no sum."


class End(NamedTuple):
    """When an endpoint falls asleep by itself, and the sentence that says why."""

    at: datetime
    because: str


def hours_of(wanted: int | None, usual: int | None = None, field: str = "lease_hours") -> int | None:
    """Return how long a lease lasts: what is wanted, else the usual, else the stage's; None is without end.

    Raises BadRequest for more than the stage allows.
    """
    setting = optional("ENDPOINT_LEASE_HOURS")
    most = int(setting) if setting else None
    if wanted is None:
        return min(filter(None, [usual, most]), default=None)
    if most is not None and wanted > most:
        message = f"A lease lasts {most} hours here at most, and can be renewed; ask an admin for longer ones."
        raise BadRequest(message, errors=[{"field": field, "message": message}])
    return wanted


def idle_minutes(endpoint: Endpoint) -> int | None:
    """Return after how many minutes without a call an endpoint sleeps; None is never.

    A serverless one has no instance, and one that scales to zero gives them back: it costs nothing while nobody calls.
    """
    setting = optional("ENDPOINT_IDLE_MINUTES")
    return int(setting) if setting and by_the_hour(endpoint) and not scales_to_zero(endpoint) else None


def by_the_hour(endpoint: Endpoint) -> bool:
    """Return whether the endpoint holds instances, which are billed by the hour."""
    return getattr(endpoint, "kind", "realtime") != "serverless"


def scales_to_zero(endpoint: Endpoint) -> bool:
    """Return whether its instances go while nobody calls it."""
    return endpoint.copies is not None and endpoint.copies.min_copies == 0


def beginning(endpoint: Endpoint, at: datetime) -> dict[str, Any]:
    """Return the changes of an endpoint that has come into service."""
    return {"in_service_since": iso(at), "lease_until": until(endpoint.lease_hours, at)}


def until(hours: int | None, at: datetime) -> str | None:
    """Return when a lease that begins now ends."""
    return iso(at + timedelta(hours=hours)) if hours else None


def settled(endpoint: Endpoint, at: datetime) -> dict[str, Any]:
    """Return the changes of an endpoint whose run ends: its hours are counted, and it has no lease any more."""
    return run_until(endpoint, at) | {
        "started_at": None,
        "in_service_since": None,
        "lease_until": None,
    }


def passing(endpoint: Endpoint, at: datetime) -> dict[str, Any]:
    """Return the changes of an endpoint that runs on, on other instances perhaps: its hours until now are counted."""
    if endpoint.started_at is None:
        return {}
    return run_until(endpoint, at) | {"started_at": iso(at)}


def run_until(endpoint: Endpoint, at: datetime) -> dict[str, Any]:
    """Return the hours and the cost of an endpoint with its present run, which may be followed by another type's."""
    hours = endpoint.instance_hours + hours_running(endpoint, at)
    return {"instance_hours": hours, "cost_before": cost_until(endpoint, at)}


def cost_until(endpoint: Endpoint, at: datetime) -> float | None:
    """Return the USD of all runs, the present one at the price of what it runs on; None where a price is missing."""
    hours = hours_running(endpoint, at)
    before = endpoint.cost_before if endpoint.instance_hours else 0
    each = price("hosting", endpoint.instance_type).usd if hours else 0
    return None if each is None or before is None else before + each * hours


def hours_running(endpoint: Endpoint, at: datetime) -> float:
    """Return the instance-hours of the present run."""
    if endpoint.started_at is None:
        return 0
    seconds = (at - datetime.fromisoformat(endpoint.started_at)).total_seconds()
    return max(seconds, 0) / HOUR * endpoint.instance_count


# ------------------------------------------------------------------------------------------------ the end of it


def end_of_lease(endpoint: Endpoint) -> End | None:
    """Return when the lease ends, None for one without end."""
    if endpoint.lease_until is None:
        return None
    because = f"Its lease ends at {endpoint.lease_until}; PUT /endpoints/{endpoint.id}/lease renews it."
    return End(datetime.fromisoformat(endpoint.lease_until), because)


def end_by_idleness(endpoint: Endpoint, called: datetime | None = None) -> End | None:
    """Return when it will have been idle for too long; `called` is a call later than the record knows of."""
    minutes, since = idle_minutes(endpoint), active_at(endpoint)
    if minutes is None or since is None:
        return None
    because = f"It sleeps after {minutes} minutes in which nobody called it; a call keeps it awake."
    return End(max(since, called or since) + timedelta(minutes=minutes), because)


def active_at(endpoint: Endpoint) -> datetime | None:
    """Return when it was last called, or came into service; None while it is not in service."""
    if endpoint.in_service_since is None:
        return None
    times = [endpoint.in_service_since, *([endpoint.last_invoked_at] if endpoint.last_invoked_at else [])]
    return max(datetime.fromisoformat(time) for time in times)


def first_end(endpoint: Endpoint) -> End | None:
    """Return what will put it to sleep first; None when nothing does."""
    if endpoint.status not in {"in_service", "updating"}:
        return None
    return min(filter(None, [end_of_lease(endpoint), end_by_idleness(endpoint)]), default=None)


def forecast(endpoint: Endpoint, now: datetime | None = None) -> Forecast:
    """Return what is shown of an endpoint's end and of its cost."""
    now, end = now or datetime.now(UTC), first_end(endpoint)
    return Forecast(
        time_left_seconds=max(0, round((end.at - now).total_seconds())) if end else None,
        sleeps_at=iso(end.at) if end else None,
        sleeps_because=end.because if end else None,
        **costs(endpoint, now),
    )


def costs(endpoint: Endpoint, now: datetime) -> dict[str, Any]:
    """Return the cost of an endpoint per hour and so far, or None and why there is no estimate."""
    if not by_the_hour(endpoint):
        return {"cost_note": "No estimate: a serverless endpoint is billed by its requests, not by the hour."}
    each = price("hosting", endpoint.instance_type)
    if each.usd is None:
        return {"cost_note": each.note}
    running, so_far = endpoint.instance_count if endpoint.started_at else 0, cost_until(endpoint, now)
    unpriced = UNPRICED if so_far is None else ""
    return {
        "cost_per_hour": round(each.usd * running, 4),
        "cost_so_far": None if so_far is None else round(so_far, 4),
        "cost_note": " ".join(note for note in (unpriced, each.note, note_of_sharing(endpoint)) if note),
    }


def note_of_sharing(endpoint: Endpoint) -> str:
    """Return what the estimate leaves out where instances come and go with copies, and several models share them."""
    if endpoint.host is None:
        return ""
    if endpoint.instance_count == 0:
        return f"It runs on the instances of {endpoint.host_endpoint_id}, which are reckoned there."
    zero = ", none while it has scaled to zero" if scales_to_zero(endpoint) else ""
    return f"Reckoned with one instance all the time; SageMaker keeps as many as the copies need{zero}."

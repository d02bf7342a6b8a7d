"""When an endpoint was called, and how it did: SageMaker's own count in CloudWatch, so that no call pays for a write.

It counts those calls as well that never pass through our API: a client with a bearer token speaks to SageMaker itself.
"""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel, Field

from lambdas.common import aws
from lambdas.common.metric_data import metric_query
from lambdas.common.store import iso
from lambdas.endpoints import components
from lambdas.endpoints.endpoint_request import VARIANT
from lambdas.endpoints.schemas import Endpoint

NAMESPACE = "AWS/SageMaker"
MINUTE = 60
MICROSECONDS = 1000  # in a millisecond
MOST_PERIODS = 1440
# CloudWatch keeps minutes for 15 days, five minutes for 63, hours for 455.
KEPT = ((timedelta(days=15), MINUTE), (timedelta(days=63), 5 * MINUTE))
COUNTS = {
    "invocations": "Invocations",
    "errors": "InvocationModelErrors",
    "errors_4xx": "Invocation4XXErrors",
    "errors_5xx": "Invocation5XXErrors",
}
LATENCIES = {"p50": "p50", "p90": "p90", "p99": "p99"}


class Latency(BaseModel):
    """Milliseconds that so many of a hundred calls took at most; null where there were none."""

    p50: float | None = None
    p90: float | None = None
    p99: float | None = None


class Counts(BaseModel):
    """What came of calls: `errors_4xx` the model refused, `errors_5xx` it failed at; `errors` has time-outs, too."""

    invocations: int = 0
    errors: int = 0
    errors_4xx: int = 0
    errors_5xx: int = 0


class Point(Counts):
    """The calls of one period, which begins at `time`."""

    time: str
    model_latency_ms: Latency = Field(default_factory=Latency, description="In the container.")
    overhead_latency_ms: Latency = Field(default_factory=Latency, description="In SageMaker, beside the container.")


class EndpointMetrics(BaseModel):
    """An endpoint's calls over time, oldest first; periods without a call are left out."""

    since: str
    until: str
    period_seconds: int
    total: Counts
    points: list[Point]


def last(endpoint: Endpoint, since: datetime, until: datetime) -> datetime | None:
    """Return the end of the last period with a call since a time, None when there was none."""
    period = period_of(since, until)
    found = read([query(endpoint, "invocations", COUNTS["invocations"], "Sum", period)], since, until, period)
    times = [time for time, value in found["invocations"].items() if value]
    return min(max(times) + timedelta(seconds=period), until) if times else None


def last_known(endpoint: Endpoint) -> str | None:
    """Return when an endpoint in service was last called, asking CloudWatch about what the record does not know yet."""
    if endpoint.status not in {"in_service", "updating"} or endpoint.in_service_since is None:
        return endpoint.last_invoked_at
    since = datetime.fromisoformat(max(endpoint.in_service_since, endpoint.last_invoked_at or ""))
    called = last(endpoint, since, datetime.now(UTC))
    return iso(called) if called else endpoint.last_invoked_at


def of(endpoint: Endpoint, hours: int) -> EndpointMetrics:
    """Return the calls of the last hours, in at most 60 periods."""
    until = datetime.now(UTC)
    since = until - timedelta(hours=hours)
    period = period_of(since, until, most=60)
    queries = [query(endpoint, id, name, "Sum", period) for id, name in COUNTS.items()]
    for prefix, name in (("model", "ModelLatency"), ("overhead", "OverheadLatency")):
        queries += [query(endpoint, f"{prefix}_{id}", name, stat, period) for id, stat in LATENCIES.items()]
    found = read(queries, since, until, period)
    points = [point(time, found) for time in sorted(found["invocations"])]
    total = Counts(**{id: sum(getattr(each, id) for each in points) for id in COUNTS})
    return EndpointMetrics(since=iso(since), until=iso(until), period_seconds=period, total=total, points=points)


def point(time: datetime, found: dict[str, dict[datetime, float]]) -> Point:
    """Return one period from what CloudWatch answered."""

    def latency(prefix: str) -> Latency:
        values = {id: found[f"{prefix}_{id}"].get(time) for id in LATENCIES}
        return Latency(**{id: None if us is None else round(us / MICROSECONDS, 3) for id, us in values.items()})

    counts = {id: round(found[id].get(time, 0)) for id in COUNTS}
    return Point(time=iso(time), **counts, model_latency_ms=latency("model"), overhead_latency_ms=latency("overhead"))


def period_of(since: datetime, until: datetime, most: int = MOST_PERIODS) -> int:
    """Return the seconds of one period: as short as CloudWatch has kept them, and at most so many of them."""
    age = datetime.now(UTC) - since
    kept = next((seconds for limit, seconds in KEPT if age < limit), 60 * MINUTE)
    return kept * max(1, math.ceil((until - since).total_seconds() / kept / most))


def query(endpoint: Endpoint, id: str, metric: str, stat: str, period: int) -> dict[str, Any]:
    """Return the query of one statistic of an endpoint's metric."""
    return metric_query(id, NAMESPACE, metric, dimensions(endpoint), period, stat)


def dimensions(endpoint: Endpoint) -> list[dict[str, str]]:
    """Return what SageMaker counts an endpoint's calls by: where several models share one, by its component."""
    if endpoint.host:
        return components.dimensions(endpoint)
    return [{"Name": "EndpointName", "Value": endpoint.endpoint_name}, {"Name": "VariantName", "Value": VARIANT}]


def read(
    queries: list[dict[str, Any]], since: datetime, until: datetime, period: int
) -> dict[str, dict[datetime, float]]:
    """Return {query: {start of a period: value}}, from the period in which `since` lies."""
    start = datetime.fromtimestamp(since.timestamp() // period * period, UTC)
    pages = aws.client("cloudwatch").get_paginator("get_metric_data")
    found: dict[str, dict[datetime, float]] = {asked["Id"]: {} for asked in queries}
    for page in pages.paginate(MetricDataQueries=queries, StartTime=start, EndTime=until):
        for result in page["MetricDataResults"]:
            values = zip(result["Timestamps"], result["Values"], strict=True)
            found[result["Id"]] |= {time.astimezone(UTC): value for time, value in values}
    return found

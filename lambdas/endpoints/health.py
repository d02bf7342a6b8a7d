"""How the stage's endpoints did in the last minutes, as two figures for its alarms: calls that failed, the slowest.

CloudWatch is asked for two metrics of each endpoint in service, which it bills; nothing is asked while there is none.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from lambdas.common.observability import emit
from lambdas.endpoints import awake, metrics
from lambdas.endpoints.schemas import Endpoint

PERIOD = 300  # seconds: between two looks
LATE = timedelta(minutes=2)  # CloudWatch has a minute's figures by then
AT_ONCE = 250  # endpoints: a request holds 500 queries


def report(clock: datetime) -> None:
    """Send what the endpoints in service did in the newest five minutes that CloudWatch knows."""
    serving = [endpoint for endpoint in awake.awake_endpoints(None) if endpoint.status in {"in_service", "updating"}]
    if not serving:
        return
    errors, latencies = look(serving, clock)
    emit("EndpointErrors", errors)
    if latencies:
        emit("EndpointLatencyMilliseconds", max(latencies))


def look(endpoints: list[Endpoint], clock: datetime) -> tuple[float, list[float]]:
    """Return how many calls failed with 5xx, and each called endpoint's p99 of the model's milliseconds.

    The periods lie on the clock's own five minutes, so that looks at equal distances count each of them once.
    """
    until = datetime.fromtimestamp((clock - LATE).timestamp() // PERIOD * PERIOD, UTC)
    errors, latencies = 0.0, []
    for start in range(0, len(endpoints), AT_ONCE):
        queries = [asked for i, e in enumerate(endpoints[start : start + AT_ONCE]) for asked in queries_of(i, e)]
        found = metrics.read(queries, until - timedelta(seconds=PERIOD), until, PERIOD)
        errors += sum(sum(values.values()) for id, values in found.items() if id.startswith("errors"))
        latencies += [us / metrics.MICROSECONDS for id, v in found.items() if id.startswith("p99") for us in v.values()]
    return errors, latencies


def queries_of(number: int, endpoint: Endpoint) -> list[dict[str, Any]]:
    """Return what is asked about one endpoint: an asynchronous one may be slow."""
    errors = metrics.query(endpoint, f"errors{number}", metrics.COUNTS["errors_5xx"], "Sum", PERIOD)
    if endpoint.kind == "async":
        return [errors]
    return [errors, metrics.query(endpoint, f"p99{number}", "ModelLatency", "p99", PERIOD)]

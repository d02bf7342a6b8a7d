"""Deliveries of log lines as CloudWatch Logs makes them, and the page of the metrics as Prometheus reads it."""

import base64
import gzip
import json
from collections.abc import Sequence
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

Samples = dict[tuple[Any, ...], float]  # ("request_count_total", ("method", "GET"), ...) -> value


def line(request_id: str, route: str, status: int = 200, milliseconds: float = 10, **more: Any) -> str:
    """Return the line that a function of the API writes for a request."""
    known = {"level": "INFO", "message": "request", "request_id": request_id, "method": "GET", "route": route}
    return json.dumps(known | {"status": status, "milliseconds": milliseconds, "username": "ada", "code": None} | more)


def delivery(
    messages: Sequence[str], kind: str = "DATA_MESSAGE", stream: str = "2026/01/01/[$LATEST]0"
) -> dict[str, Any]:
    """Return the event of a log subscription (CloudWatch Logs, "Subscription filters with Lambda")."""
    payload = {
        "messageType": kind,
        "owner": "000000000000",
        "logGroup": "slipway-test-platform-JobsLogs",
        "logStream": stream,
        "subscriptionFilters": ["requests"],
        "logEvents": [{"id": str(n), "timestamp": 0, "message": message} for n, message in enumerate(messages)],
    }
    return {"awslogs": {"data": base64.b64encode(gzip.compress(json.dumps(payload).encode())).decode()}}


def samples(page: str) -> Samples:
    """Return every sample of a page by its name and labels."""
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def types(page: str) -> dict[str, str]:
    """Return the type of each metric of a page by its name."""
    return {family.name: family.type for family in text_string_to_metric_families(page)}


def requests_of(found: Samples) -> dict[tuple[str, str, str], float]:
    """Return how many requests were counted by method, route and class of status."""
    counted = {}
    for (name, *labels), value in found.items():
        if name == "request_count_total":
            given = dict(labels)
            counted[given["method"], given["route"], given["status"]] = value
    return counted

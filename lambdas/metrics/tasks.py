"""What log subscriptions deliver: requests to count."""

import base64
import gzip
import json
from typing import Any

from lambdas.common.observability import logger
from lambdas.metrics import counting
from lambdas.metrics.observations import Request, Unreadable, request_of

PROBE = "CONTROL_MESSAGE"  # CloudWatch Logs asks whether the destination is there


def count(event: dict[str, Any], context: Any) -> dict[str, int]:
    """Count the requests of one delivery; raises NotCounted, after which Lambda tries again."""
    payload = json.loads(gzip.decompress(base64.b64decode(event["awslogs"]["data"])))
    if payload.get("messageType") == PROBE:
        return {"lines": 0, "counted": 0}
    messages = [entry["message"] for entry in payload["logEvents"]]
    return {"lines": len(messages), "counted": counting.count(readable(messages, payload["logGroup"]))}


def readable(messages: list[str], log_group: str) -> list[Request]:
    """Return the requests that the lines tell of; a line that is none is logged, and holds up no other."""
    requests: list[Request] = []
    for message in messages:
        try:
            requests.append(request_of(message))
        except Unreadable as problem:
            logger.warning("not counted", extra={"log_group": log_group, "problem": str(problem)[:500]})
    return requests

"""Lines of API Gateway's access log: a stage's format, filled in.

Source: "Variables for access logging for API Gateway" in its developer guide; what has no value is "-".
"""

from __future__ import annotations

import json
import re
import time
from typing import Any

from local.exchanges import Exchange

VARIABLE = re.compile(r"\$context\.([\w:-]+(?:\.[\w:-]+)*)")
CLAIMS = "authorizer.claims."


def line(format: str, exchange: Exchange, status: int) -> str:
    """The access-log line of an exchange that was answered with `status`. Unknown variables have no value."""
    values = variables(exchange, status)
    return VARIABLE.sub(lambda found: escaped(values.get(found[1])), format)


def variables(exchange: Exchange, status: int) -> dict[str, Any]:
    """The variables of an exchange by their names after $context."""
    integration = exchange.integration_seconds
    received = time.gmtime(exchange.received)
    return {
        "apiId": exchange.api_id,
        "error.responseType": exchange.error,
        "extendedRequestId": exchange.id,
        "httpMethod": exchange.method,
        "identity.sourceIp": exchange.address,
        "integration.error": exchange.integration_error,
        "integrationLatency": None if integration is None else round(integration * 1000),
        "path": f"/{exchange.stage}{exchange.path}",
        "protocol": "HTTP/1.1",
        "requestId": exchange.id,
        "requestTime": time.strftime("%d/%b/%Y:%H:%M:%S +0000", received),
        "requestTimeEpoch": round(exchange.received * 1000),
        "resourcePath": exchange.route,
        "responseLatency": exchange.milliseconds(),
        "stage": exchange.stage,
        "status": status,
        **{f"{CLAIMS}{name}": value for name, value in exchange.claims.items()},
    }


def escaped(value: Any) -> str:
    """A value as it stands between the quotes of a JSON text."""
    return "-" if value in (None, "") else json.dumps(str(value))[1:-1]

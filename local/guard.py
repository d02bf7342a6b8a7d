"""The lock on the emulator's port: only programs on this machine, only signed calls, only our own root key.

The emulator takes a known access key id alone as proof of root, accepts the id "test" and any twelve digits, lets
unsigned S3 calls through as root, and answers every web page's requests. This refuses all of that.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

FOREIGN_ROOT_KEY = re.compile(r"test|\d{12}")
OPEN_PATHS = re.compile(
    r"/_ministack/(health|ready)$"
    r"|/_ministack/(cfn-response|cfn-signal)/"  # custom resources answer here; the path holds a random token
    r"|/(restapis|_aws/execute-api)/"  # API Gateway checks its own callers
    r"|/oauth2/"
    r"|/_slipway/"  # checks its caller itself
    r"|/endpoints/[^/]+/(inference-components/[^/]+/)?openai/v1/chat/completions\Z"  # openai_door checks tokens
    r"|/[^/]+/\.well-known/"
)
PRIVATE_PATHS = ("/_ministack/", "/_localstack/")
COGNITO_TARGET = "AWSCognitoIdentityProviderService."  # sign-up and sign-in are unsigned calls


def headers_of(scope: Scope) -> dict[str, str]:
    """The request's headers by lower-case name."""
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


def refusal(scope: Scope, port: int) -> str | None:
    """Why this request may not reach the emulator, or None when it may."""
    headers = headers_of(scope)
    path = scope["path"]
    if headers.get("host") not in (f"127.0.0.1:{port}", f"localhost:{port}"):
        return "The AWS endpoint answers only to its own address."
    if "origin" in headers or headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return "The AWS endpoint does not answer web pages."
    if OPEN_PATHS.match(path):
        return None
    if path.startswith(PRIVATE_PATHS):
        return "This path is closed."
    key = access_key_id(headers, scope["query_string"].decode("latin-1"))
    if key is None:
        signed = headers.get("x-amz-target", "").startswith(COGNITO_TARGET)
        return None if signed else "The request is not signed."
    if FOREIGN_ROOT_KEY.fullmatch(key):
        return "The access key is not one of this platform's; `python -m local env` prints those."
    return None


def access_key_id(headers: dict[str, str], query: str) -> str | None:
    """The access key id that signs the request, in its Authorization header or its query."""
    authorization = headers.get("authorization", "")
    if match := re.search(r"Credential=([^/,\s]+)/", authorization) or re.match(r"AWS ([^:]+):", authorization):
        return match[1]
    fields = parse_qs(query)
    credential = next((fields[name][0] for name in ("X-Amz-Credential", "AWSAccessKeyId") if name in fields), None)
    return credential.split("/")[0] if credential else None


def guarded(app: ASGIApp, port: int) -> ASGIApp:
    """`app` behind the lock. Requests that pass count as HTTPS, as bucket policies demand TLS."""

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # no AWS service we use speaks WebSocket
            return
        reason = refusal(scope, port)
        if reason is not None:
            content: dict[str, Any] = {"__type": "AccessDeniedException", "message": reason}
            await JSONResponse(content, 403)(scope, receive, send)
            return
        await app({**scope, "scheme": "https"}, receive, send)

    return guard

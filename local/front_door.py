"""The one address people and browsers use: the API on any host name, tokens for programs, presigned S3 on 127.0.0.1."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Callable
from typing import Any

from starlette.responses import JSONResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from local.exchanges import STAGE, Exchange, current
from local.guard import headers_of

EVENT_BYTES = 6 * 1024 * 1024  # Lambda's limit; API Gateway's own, 10 MB, is never reached
BESIDE_THE_BODY = 32 * 1024  # of an event: API Gateway takes 10 KB of headers, and hands them on twice
MAX_BODY_BYTES = (EVENT_BYTES - BESIDE_THE_BODY) // 4 * 3  # bodies travel in base64
INTEGRATION_SECONDS = 29.0  # API Gateway's limit
PRESIGNED = (b"X-Amz-Signature=", b"X-Amz-Credential=", b"X-Amz-Algorithm=AWS4-HMAC-SHA256")
S3_METHODS = ("GET", "HEAD", "PUT", "OPTIONS")
TOKEN = "Bearer "
TOKEN_PATH = "/oauth2/token"  # Cognito's, for programs with a client of their own
MAX_FORM_BYTES = 16 * 1024
STEERING_HEADERS = (b"host", b"x-amz-target", b"x-forwarded-host", b"x-forwarded-proto")


Refused = Callable[[Exchange, int, str], None]


class BodyTooLarge(Exception):
    """The request's body is longer than a function takes."""


def front_door(
    emulator: ASGIApp,
    emulator_port: int,
    port: int,
    api_id: Callable[[], str | None],
    buckets: Callable[[], set[str]],
    refused: Refused,
) -> ASGIApp:
    """The front door before `emulator`. `api_id` and `buckets` name what is deployed at the time of each request.

    `refused` is told of each request to the API that ends here, with the status and the type of gateway response.
    """

    async def door(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path = scope["path"]
        if path == "/":
            await RedirectResponse("/api/docs")(scope, receive, send)
        elif path == "/api" or path.startswith("/api/"):
            deployed = api_id()
            if deployed is None:
                await refuse(send, 503, "unavailable", "The platform is not deployed yet; wait for `make up` to end.")
            else:
                below = path.removeprefix("/api") or "/"
                exchange = Exchange(deployed, scope["method"], below, address=(scope.get("client") or ["-"])[0])
                await call_api(emulator, exchange, api_scope(scope, deployed, emulator_port), receive, send, refused)
        elif path == TOKEN_PATH and scope["method"] == "POST":
            await call_tokens(emulator, scope, emulator_port, receive, send)
        elif is_presigned(scope, port, buckets()):
            await emulator({**scope, "scheme": "https", "headers": without_token(scope)}, receive, send)
        else:
            await refuse(
                send, 404, "not_found", "Nothing is here; the API is under /api and its pages are at /api/docs."
            )

    return door


def api_scope(scope: Scope, api_id: str, emulator_port: int) -> Scope:
    """The request as the emulator's REST API `api_id` takes it: stage `api`, path-style."""
    prefix = f"/restapis/{api_id}/{STAGE}/_user_request_"
    raw_path = scope.get("raw_path") or scope["path"].encode()
    host = headers_of(scope).get("host", "")
    headers = [(name, value) for name, value in scope["headers"] if name.lower() not in STEERING_HEADERS]
    headers += [(b"host", f"127.0.0.1:{emulator_port}".encode()), (b"x-forwarded-host", host.encode("latin-1"))]
    headers += [(b"x-forwarded-proto", b"http")]  # what the client spoke to us; URLs in answers are made from it
    return {
        **scope,
        "path": prefix + (scope["path"].removeprefix("/api") or "/"),
        "raw_path": prefix.encode() + (raw_path.removeprefix(b"/api") or b"/"),
        "headers": headers,
    }


def is_presigned(scope: Scope, port: int, buckets: set[str]) -> bool:
    """Whether this is a presigned S3 request for one of the platform's buckets, and carries no other authority."""
    headers = headers_of(scope)
    return (
        headers.get("host") == f"127.0.0.1:{port}"
        and headers.get("authorization", TOKEN).startswith(TOKEN)
        and "x-amz-target" not in headers
        and scope["method"] in S3_METHODS
        and all(part in scope["query_string"] for part in PRESIGNED)
        and re.match(r"/([^/]+)/.", scope["path"] or "") is not None
        and scope["path"].split("/")[1] in buckets
    )


def without_token(scope: Scope) -> list[tuple[bytes, bytes]]:
    """The headers without the API's token.

    Clients send it along when a redirect leads from the API to S3, because both are on one address here. On AWS they
    are not, and clients drop it by themselves; a token is nothing that S3 knows.
    """
    return [(name, value) for name, value in scope["headers"] if name.lower() != b"authorization"]


async def call_tokens(emulator: ASGIApp, scope: Scope, emulator_port: int, receive: Receive, send: Send) -> None:
    """Pass one request for a token to Cognito: a short form, who asks in it or in an Authorization header."""
    taken = (b"authorization", b"content-type", b"content-length", b"transfer-encoding", b"accept")
    headers = [(name, value) for name, value in scope["headers"] if name.lower() in taken]
    headers += [(b"host", f"127.0.0.1:{emulator_port}".encode())]
    try:
        await emulator({**scope, "headers": headers, "query_string": b""}, counted(receive, MAX_FORM_BYTES), send)
    except BodyTooLarge:
        await refuse(send, 413, "too_large", "A request for a token is a short form.")


async def call_api(
    emulator: ASGIApp, exchange: Exchange, scope: Scope, receive: Receive, send: Send, refused: Refused
) -> None:
    """Pass one request to the emulator under API Gateway's limits, which the emulator does not know."""
    answered = abandoned = False
    length = headers_of(scope).get("content-length", "")
    if length.isdigit() and int(length) > MAX_BODY_BYTES:
        refused(exchange, 413, "REQUEST_TOO_LARGE")
        await refuse_body(send, exchange)
        return

    async def limited_send(message: Message) -> None:
        nonlocal answered
        if not abandoned:
            answered = True
            await send(message)

    current.set(exchange)  # the call's own context has it too
    call = asyncio.ensure_future(emulator(scope, counted(receive, MAX_BODY_BYTES), limited_send))
    try:
        await asyncio.wait_for(asyncio.shield(call), INTEGRATION_SECONDS)
    except BodyTooLarge:
        refused(exchange, 413, "REQUEST_TOO_LARGE")
        await refuse_body(send, exchange)
    except TimeoutError:
        if answered:  # only a stream is allowed to last longer
            await call
            return
        abandoned = True  # a running function is not stopped by its caller's timeout, here as on AWS
        call.add_done_callback(lambda done: done.exception())
        refused(exchange, 504, "INTEGRATION_TIMEOUT")
        await refuse(send, 504, "timeout", "The request took longer than 29 seconds.", exchange.id)


def counted(receive: Receive, limit: int) -> Receive:
    """`receive`, raising BodyTooLarge once the body is past the limit, in bytes."""
    total = 0

    async def counting() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > limit:
            raise BodyTooLarge
        return message

    return counting


async def refuse_body(send: Send, exchange: Exchange) -> None:
    """Answer 413, as API Gateway does."""
    uploads = "Over 4 MB, files go to S3: ask POST /ai-models/uploads or POST /datasets for an upload plan."
    await refuse(send, 413, "too_large", f"The request is too large. {uploads}", exchange.id)


async def refuse(send: Send, status: int, code: str, detail: str, request_id: str | None = None) -> None:
    """Answer in the API's error shape."""
    content: dict[str, Any] = {"detail": detail, "code": code, "request_id": request_id or str(uuid.uuid4())}
    await JSONResponse(content, status, headers={"Access-Control-Allow-Origin": "*"})({"type": "http"}, no_body, send)


async def no_body() -> Message:
    """The receive channel of an answer that reads nothing."""
    return {"type": "http.disconnect"}

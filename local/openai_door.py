"""SageMaker's OpenAI-compatible paths before the emulator, which knows neither them nor bearer tokens.

`/endpoints/E/openai/v1/chat/completions`, and `/endpoints/E/inference-components/C/openai/v1/chat/completions`
("Invoke endpoints with OpenAI-compatible APIs" of the SageMaker Developer Guide).
"""

from __future__ import annotations

import contextlib
import re
import uuid
from collections.abc import Callable

from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Receive, Scope, Send

from local.home import ACCOUNT, REGION
from local.sagemaker.protocol import Response, ServiceError, Stream, error_response
from local.sagemaker.service import SageMaker
from local.streams import send_stream

PATH = re.compile(r"/endpoints/([^/]+)(?:/inference-components/([^/]+))?/openai/v1/chat/completions")
Check = Callable[[str, list[tuple[str, str]]], None]  # (token, what it must be good for); raises ServiceError


def openai_door(app: ASGIApp, sagemaker: SageMaker, check: Check) -> ASGIApp:
    """`app` with these paths before it."""

    async def door(scope: Scope, receive: Receive, send: Send) -> None:
        found = PATH.fullmatch(scope["path"]) if scope["type"] == "http" else None
        if found is None:
            await app(scope, receive, send)
            return
        request = Request(scope, receive)
        with contextlib.suppress(ClientDisconnect):
            await sent(await answer(request, found[1], found[2], sagemaker, check), receive, send)

    return door


async def answer(
    request: Request, endpoint: str, component: str | None, sagemaker: SageMaker, check: Check
) -> Response:
    """The container's answer, or why there is none."""
    if request.method != "POST":
        return error_response(ServiceError("MethodNotAllowed", "Only POST is answered here.", 405))
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme != "Bearer":
        return error_response(ServiceError("MissingAuthenticationToken", "The request has no bearer token.", 401))
    prefix = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}"
    wanted = [
        ("sagemaker:CallWithBearerToken", "*"),
        ("sagemaker:InvokeEndpoint", f"{prefix}:endpoint/{endpoint}"),
    ]
    if component:
        wanted.append(("sagemaker:InvokeEndpoint", f"{prefix}:inference-component/{component}"))
    try:
        check(token, wanted)
    except ServiceError as error:
        return error_response(error)
    passed = {name: request.headers[name] for name in ("content-type", "accept") if name in request.headers}
    return await sagemaker.chat(endpoint, component, await request.body(), passed)


async def sent(response: Response, receive: Receive, send: Send) -> None:
    """Send an answer, a stream piece by piece until its end or until the client is gone."""
    status, headers, body = response
    pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    pairs.append((b"x-amzn-requestid", str(uuid.uuid4()).encode()))
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    if not isinstance(body, Stream):
        await send({"type": "http.response.body", "body": body})
        return
    await send_stream(body.pieces, send, receive)

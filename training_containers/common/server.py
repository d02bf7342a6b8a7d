"""SageMaker's serving contract as a small ASGI application: GET /ping, POST /invocations and /v1/chat/completions.

Source: SageMaker Developer Guide, "Use Your Own Inference Code with Hosting Services".
The event loop only moves bytes. One worker thread loads the model and answers, one request at a time.
"""

import asyncio
import json
import os
import signal
import sys
import traceback
from collections.abc import AsyncIterator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

MAX_BODY_BYTES = 6 * 1024 * 1024
MAX_WAITING = 32  # requests being read, queued or answered; the next one is told to come back


@dataclass(frozen=True)
class Stream:
    """An answer that is sent while it is made: the worker thread makes a piece at a time, and others' between them."""

    pieces: Generator[bytes]
    media_type: str


Answer = Callable[[bytes, str], dict[str, Any] | Stream]  # (body, media type) -> the answer; raises BadRequest


class BadRequest(Exception):
    """The request cannot be answered; the text says what to change."""


def run(load: Callable[[], Answer]) -> int:
    """Serve until SIGTERM; the exit status is 1 if the model could not be loaded.

    Listens on SAGEMAKER_BIND_TO_PORT, for this machine only unless SLIPWAY_BIND_HOST says otherwise (the image does).
    """
    import uvicorn  # here, because the application itself does without it

    app = create_app(load)
    config = uvicorn.Config(
        app,
        host=os.environ.get("SLIPWAY_BIND_HOST", "127.0.0.1"),
        port=int(os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080")),
        access_log=False,
        log_level="warning",
    )
    server = uvicorn.Server(config)
    app.state.shut_down = lambda: setattr(server, "should_exit", True)
    signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn raises SIGTERM again after its clean shutdown
    server.run()
    return 1 if app.state.load_failed else 0


def create_app(load: Callable[[], Answer]) -> Starlette:
    """The application; `load` runs in the worker thread while /ping answers 503."""
    worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="model")

    async def load_model(app: Starlette) -> None:
        try:
            app.state.answer = await asyncio.get_running_loop().run_in_executor(worker, load)
        except Exception:
            traceback.print_exc(file=sys.stderr)
            app.state.load_failed = True
            app.state.shut_down()

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        loading = asyncio.create_task(load_model(app))
        yield
        loading.cancel()
        worker.shutdown(cancel_futures=True)

    async def ping(request: Request) -> Response:
        if request.app.state.answer is None:
            return problem(503, "The model is still loading.")
        return JSONResponse({"status": "ready"})

    async def invocations(request: Request) -> Response:
        state = request.app.state
        if state.answer is None:
            return problem(503, "The model is still loading.")
        if state.waiting >= MAX_WAITING:
            return problem(503, f"{MAX_WAITING} requests are waiting already: try again in a second.")
        state.waiting += 1
        try:
            body = await read_body(request)
            media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            made = await asyncio.get_running_loop().run_in_executor(worker, respond, state.answer, body, media_type)
            return StreamingResponse(sent(made, worker), media_type=made.media_type) if type(made) is Stream else made
        finally:
            state.waiting -= 1

    app = Starlette(
        routes=[
            Route("/ping", ping),
            Route("/invocations", invocations, methods=["POST"]),
            Route("/v1/chat/completions", invocations, methods=["POST"]),  # where SageMaker sends OpenAI's clients
        ],
        exception_handlers={HTTPException: http_problem},
        lifespan=lifespan,
    )
    app.state.answer = None
    app.state.waiting = 0
    app.state.load_failed = False
    return app


async def read_body(request: Request) -> bytes:
    """The whole body; raises HTTPException 413 as soon as it is longer than MAX_BODY_BYTES."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise HTTPException(413, f"The body is larger than {MAX_BODY_BYTES} bytes: send fewer rows per request.")
    return bytes(body)


def respond(answer: Answer, body: bytes, media_type: str) -> Response | Stream:
    """One answer, as the worker thread makes it."""
    try:
        made = answer(body, media_type)
        if isinstance(made, Stream):
            return made
        content = json.dumps(made, ensure_ascii=False, allow_nan=False)
    except BadRequest as error:
        return problem(400, str(error))
    except Exception:
        traceback.print_exc(file=sys.stderr)
        return problem(500, "The model failed on this request; the endpoint's log says why.")
    return Response(content, media_type="application/json")


async def sent(stream: Stream, worker: ThreadPoolExecutor) -> AsyncIterator[bytes]:
    """The pieces of a stream as they are made; it ends early when the client is gone."""
    try:
        while piece := await asyncio.get_running_loop().run_in_executor(worker, next, stream.pieces, b""):
            yield piece
    finally:
        with suppress(RuntimeError):  # the server has shut down, and its streams with it
            worker.submit(stream.pieces.close)


def problem(status: int, detail: str) -> JSONResponse:
    """An error in the shape every client of the platform knows."""
    return JSONResponse({"detail": detail}, status, {"Retry-After": "1"} if status == 503 else None)


async def http_problem(_: Request, error: Exception) -> Response:
    """Starlette's own errors (404, 405, 413) in the same shape."""
    assert isinstance(error, HTTPException)
    return JSONResponse({"detail": error.detail}, error.status_code, error.headers)

"""SageMaker's serving contract as a small ASGI application: GET /ping, POST /invocations and /v1/chat/completions.

Source: SageMaker Developer Guide, "Use Your Own Inference Code with Hosting Services".
The event loop only moves bytes; `batching` has one thread that loads the model and answers.
"""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from training_containers.common.batching import Answer, Batcher, Model, problem
from training_containers.common.batching import BadRequest as BadRequest
from training_containers.common.batching import Stream as Stream

MAX_BODY_BYTES = 6 * 1024 * 1024
MAX_WAITING = 64  # requests being read, queued or answered; the next one is told to come back

Message: TypeAlias = dict[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

LOADING = problem(503, "The model is still loading.")
FULL = problem(503, f"{MAX_WAITING} requests are waiting already: try again in a second.")
TOO_LARGE = problem(413, f"The body is larger than {MAX_BODY_BYTES} bytes: send fewer rows per request.")
READY = Answer(200, b'{"status": "ready"}')
METHODS = {
    "/ping": "GET",
    "/invocations": "POST",
    "/v1/chat/completions": "POST",  # where SageMaker sends OpenAI's clients
}


def run(load: Callable[[], Model]) -> int:
    """Serve until SIGTERM; the exit status is 1 if the model could not be loaded.

    After SIGTERM no connection is taken, and requests under way are answered. Listens on SAGEMAKER_BIND_TO_PORT, for
    this machine only unless SLIPWAY_BIND_HOST says otherwise (the image does).
    """
    import uvicorn  # here, because the application itself does without it

    app = Application(load, lambda: setattr(server, "should_exit", True))
    config = uvicorn.Config(
        app,
        host=os.environ.get("SLIPWAY_BIND_HOST", "127.0.0.1"),
        port=int(os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080")),
        loop="uvloop",
        http="httptools",
        ws="none",
        access_log=False,
        log_level="warning",
    )
    server = uvicorn.Server(config)
    signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn raises SIGTERM again after its clean shutdown
    server.run()
    return 1 if app.failed else 0


class Application:
    """The ASGI application; `load` runs in the model's thread while /ping answers 503."""

    def __init__(self, load: Callable[[], Model], shut_down: Callable[[], None]) -> None:
        """`shut_down` is called when the model cannot be loaded."""
        self._load, self._shut_down = load, shut_down
        self._batcher: Batcher | None = None
        self.admitted = 0

    @property
    def failed(self) -> bool:
        """Whether the model could not be loaded."""
        return self._batcher is not None and self._batcher.failed

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.live(receive, send)
            return
        answer = self.at_once(scope)
        if answer is not None:
            await reply(send, answer, scope["path"])
            return
        assert self._batcher is not None  # or there would have been an answer
        self.admitted += 1
        try:
            await invocation(self._batcher, scope, receive, send)
        finally:
            self.admitted -= 1

    async def live(self, receive: Receive, send: Send) -> None:
        """Begin to load when the server starts; it ends once it has answered what it took."""
        await receive()
        self._batcher = Batcher(self._load, self._shut_down)
        self._batcher.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self._batcher.close()
        await send({"type": "lifespan.shutdown.complete"})

    def at_once(self, scope: Message) -> Answer | None:
        """Return the answer to a request that the model need not see, None to one that it must."""
        method = METHODS.get(scope["path"])
        if method is None:
            return problem(404, "There is nothing here but /ping and /invocations.")
        if scope["method"] != method:
            return problem(405, f"{scope['path']} takes {method}.")
        if self._batcher is None or not self._batcher.ready:
            return LOADING
        if method == "GET":
            return READY
        return FULL if self.admitted >= MAX_WAITING else None


async def invocation(batcher: Batcher, scope: Message, receive: Receive, send: Send) -> None:
    """Read one request, wait for its turn, and send its answer, unless its client goes away."""
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > MAX_BODY_BYTES:
            await reply(send, TOO_LARGE, scope["path"])
            return
    answer = await batcher.answer(bytes(body), media_type(scope["headers"]))
    if isinstance(answer, Stream):
        await reply_in_pieces(batcher, answer, receive, send)
    else:
        await reply(send, answer, scope["path"])


def media_type(headers: list[tuple[bytes, bytes]]) -> str:
    """Return what a request says that its body is, without parameters."""
    for name, value in headers:
        if name == b"content-type":
            return value.decode("latin-1").partition(";")[0].strip().lower()
    return ""


async def reply(send: Send, answer: Answer, path: str) -> None:
    """Send an answer."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer.body))]
    if answer.status == 503:
        headers.append((b"retry-after", b"1"))
    if answer.status == 405:
        headers.append((b"allow", METHODS[path].encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


async def reply_in_pieces(batcher: Batcher, stream: Stream, receive: Receive, send: Send) -> None:
    """Send a stream as it is made, until its end or its client's; raises what making it raises: its end is missing."""
    gone = asyncio.ensure_future(receive())  # nothing more comes from a client but that it has gone
    try:
        headers = [(b"content-type", stream.media_type.encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        while (piece := await batcher.piece(stream)) and not gone.done():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    finally:
        gone.cancel()
        batcher.end(stream)

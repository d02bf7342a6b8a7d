"""SageMaker's serving contract: GET /ping, POST /invocations and /v1/chat/completions.

Source: SageMaker Developer Guide, "Use Your Own Inference Code with Hosting Services".
The event loop only moves bytes (`connection`); `batching` has one thread that loads the model and answers.
"""

import asyncio
import os
import signal
from collections.abc import Callable

from training_containers.common.batching import Answer, Batcher, Model, problem
from training_containers.common.batching import BadRequest as BadRequest
from training_containers.common.batching import Stream as Stream
from training_containers.common.connection import Connection

MAX_WAITING = 64  # requests being read, queued or answered; the next one is told to come back
BACKLOG = 2048  # connections that wait to be taken

LOADING = problem(503, "The model is still loading.")
FULL = problem(503, f"{MAX_WAITING} requests are waiting already: try again in a second.")
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
    import uvloop  # here, because the application itself does without it

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(serve(load))


async def serve(load: Callable[[], Model]) -> int:
    """Serve as `run` says."""
    from httptools import HttpRequestParser

    loop, over = asyncio.get_running_loop(), asyncio.Event()
    app = Application(load, over.set)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    listening = await loop.create_server(
        lambda: Connection(app, HttpRequestParser),
        os.environ.get("SLIPWAY_BIND_HOST", "127.0.0.1"),
        int(os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080")),
        backlog=BACKLOG,
    )
    await over.wait()
    listening.close()
    await app.close()
    return 1 if app.batcher.failed else 0


class Application:
    """What is answered, and how many are; `load` runs in the model's thread while /ping answers 503."""

    def __init__(self, load: Callable[[], Model], shut_down: Callable[[], None]) -> None:
        """Begin to load, in a running event loop; `shut_down` is called when the model cannot be loaded."""
        self.batcher = Batcher(load, shut_down)
        self.batcher.start()
        self.admitted = 0
        self.closing = False
        self._connections: set[Connection] = set()
        self._alone = asyncio.Event()
        self._alone.set()

    async def close(self) -> None:
        """Return once all that was asked is answered."""
        self.closing = True
        for connection in list(self._connections):
            connection.finish()
        await self._alone.wait()
        self.batcher.close()

    def joined(self, connection: Connection) -> None:
        """A client has connected."""
        self._connections.add(connection)
        self._alone.clear()

    def left(self, connection: Connection) -> None:
        """A client has gone."""
        self._connections.discard(connection)
        if not self._connections:
            self._alone.set()

    def at_once(self, method: str, path: str) -> Answer | None:
        """Return the answer to a request that the model need not see, None to one that it must."""
        expected = METHODS.get(path)
        if expected is None:
            return problem(404, "There is nothing here but /ping and /invocations.")
        if method != expected:
            refused = problem(405, f"{path} takes {expected}.")
            return Answer(refused.status, refused.body, b"allow: %b\r\n" % expected.encode())
        if not self.batcher.ready:
            return LOADING
        if method == "GET":
            return READY
        return FULL if self.admitted >= MAX_WAITING else None

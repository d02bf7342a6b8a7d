"""The platform's background process: the emulator on one port, the front door on another, one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import json
import logging
import os
import resource
import signal
import sys
from collections.abc import Awaitable
from typing import Any

from hypercorn.asyncio import serve
from hypercorn.config import Config
from starlette.types import Message, Receive, Scope, Send

from local.control import controlled
from local.faults import Faults
from local.front_door import front_door
from local.guard import guarded
from local.home import Home, PlatformError
from local.outputs import Deployment

logger = logging.getLogger("slipway.server")

GRACE_SECONDS = 3.0


def main(emulator_fd: int, front_fd: int, ready_fd: int) -> None:
    """Serve on two inherited listening sockets until SIGTERM; say once on `ready_fd` whether it works."""
    home = Home.from_environment()
    raise_file_limit()
    faulthandler.register(signal.SIGUSR1)
    try:
        asyncio.run(run(home, emulator_fd, front_fd, ready_fd))
    except PlatformError as error:
        say(ready_fd, {"ready": False, "error": str(error)})
        sys.exit(1)
    logger.info("Stopped.")
    logging.shutdown()
    os._exit(0)  # MiniStack's worker threads may wait for ever; everything is saved by now


async def run(home: Home, emulator_fd: int, front_fd: int, ready_fd: int) -> None:
    """Build everything, serve it, and take it down in order."""
    from local import gateway_hooks  # MiniStack reads its settings when it is imported
    from local.cloudwatch_hooks import move_clock
    from local.emulator import Emulator

    emulator_port = int(os.environ["GATEWAY_PORT"])
    port = int(os.environ["SLIPWAY_S3_ENDPOINT"].rpartition(":")[2])
    emulator = Emulator(home, os.environ["AWS_ENDPOINT_URL"], Faults())
    deployment = Deployment(home)
    private = guarded(controlled(emulator.app, emulator.snapshots, emulator.faults, move_clock), emulator_port)
    public = front_door(emulator.app, emulator_port, port, deployment.api_id, deployment.buckets, gateway_hooks.refused)
    started, stopping, closing = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def root(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await lifespan(scope, receive, send)
        else:
            await (public if scope["server"][1] == port else private)(scope, receive, send)

    async def lifespan(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_when_recovered(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                await emulator.recover()
            await send(message)
            started.set()

        await emulator.app(scope, receive, send_when_recovered)

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    application: Any = root  # Hypercorn and Starlette name the same types apart
    server = asyncio.create_task(
        serve(application, configuration(emulator_fd, front_fd), shutdown_trigger=closing.wait)
    )
    await first_of(started.wait(), server)
    await emulator.start()
    saving = asyncio.create_task(emulator.snapshots.keep(emulator.each_tick))
    say(ready_fd, {"ready": True})
    await first_of(stopping.wait(), server, saving)
    logger.info("Stopping.")
    await emulator.stop_services()
    closing.set()
    await server
    saving.cancel()
    await emulator.close()


async def first_of(*waits: Awaitable[Any]) -> None:
    """Wait until one of these ends; raises what it raised."""
    done, _ = await asyncio.wait([asyncio.ensure_future(wait) for wait in waits], return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


def configuration(*descriptors: int) -> Config:
    """Hypercorn on sockets that already listen."""
    config = Config()
    config.bind = [f"fd://{descriptor}" for descriptor in descriptors]
    config.keep_alive_timeout = 75
    config.graceful_timeout = GRACE_SECONDS
    return config


def say(ready_fd: int, word: dict[str, Any]) -> None:
    """Tell the parent how the start went; it may be gone."""
    with contextlib.suppress(BrokenPipeError), os.fdopen(ready_fd, "w") as pipe:
        pipe.write(json.dumps(word) + "\n")


def raise_file_limit() -> None:
    """Allow as many open files as the system lets us: each function's worker holds several."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # macOS reports a limit it does not accept
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

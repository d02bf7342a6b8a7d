"""The model server's application by itself, asked through the ASGI interface."""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from training_containers.common.batching import BadRequest, Model
from training_containers.common.server import Application

Predict = Callable[[list[Any], dict[str, Any]], list[Any]]


def read(body: bytes, media_type: str) -> tuple[list[Any], dict[str, Any]]:
    request = json.loads(body)
    if "refuse" in request:
        raise BadRequest(request["refuse"])
    return request["instances"], request.get("parameters", {})


def model(predict: Predict, **more: Any) -> Callable[[], Model]:
    """A model that loads at once; warming it is answered too."""
    return lambda: Model(read, predict, (b'{"instances": ["sample"]}', "application/json"), **more)


def asked(*instances: Any, **parameters: Any) -> bytes:
    return json.dumps({"instances": list(instances), "parameters": parameters}).encode()


async def call(app: Application, method: str, path: str, *parts: bytes) -> tuple[int, Any, dict[bytes, bytes]]:
    """One request through the ASGI interface: status, JSON, headers."""
    sent: list[dict[str, Any]] = []
    parts = parts or (b"",)
    received = [
        {"type": "http.request", "body": part, "more_body": number < len(parts)} for number, part in enumerate(parts, 1)
    ]

    async def receive() -> dict[str, Any]:
        return received.pop(0) if received else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await app({"type": "http", "method": method, "path": path, "headers": []}, receive, send)
    content = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], json.loads(content), dict(sent[0]["headers"])


async def post(app: Application, body: bytes) -> tuple[int, Any]:
    status, content, _ = await call(app, "POST", "/invocations", body)
    return status, content


async def ping(app: Application) -> int:
    return (await call(app, "GET", "/ping"))[0]


def with_app(load: Callable[[], Model], check: Callable[[Application], Awaitable[None]], wait: bool = True) -> None:
    """Run a check against a started application, by default once it is ready."""

    async def run() -> None:
        ended = asyncio.Event()
        app = Application(load, ended.set)
        shut_down = asyncio.Event()
        started = asyncio.Event()

        async def receive() -> dict[str, Any]:
            if started.is_set():
                await shut_down.wait()
                return {"type": "lifespan.shutdown"}
            return {"type": "lifespan.startup"}

        async def send(message: Any) -> None:
            started.set()

        life = asyncio.create_task(app({"type": "lifespan"}, receive, send))
        await started.wait()
        while wait and await ping(app) != 200:
            await asyncio.sleep(0.005)
        app.ended = ended  # type: ignore[attr-defined]
        await check(app)
        shut_down.set()
        await life

    asyncio.run(asyncio.wait_for(run(), 60))


class Slow:
    """A model that lets a test hold its first batch, and remembers what it was called with."""

    def __init__(self) -> None:
        self.calls: list[list[Any]] = []
        self.held, self.begun = threading.Event(), threading.Event()

    def __call__(self, instances: list[Any], parameters: dict[str, Any]) -> list[Any]:
        self.calls.append(list(instances))
        if "hold" in instances:
            self.begun.set()
            self.held.wait(20)
        if "broken" in instances:
            raise RuntimeError("secret path")
        if "wrong" in instances:
            raise BadRequest(f"Instance {instances.index('wrong')} is wrong.")
        return [[instance, parameters] for instance in instances]

    async def behind(self, app: Application, *bodies: bytes) -> list[tuple[int, Any]]:
        """The answers to requests that all waited while the model was busy."""
        first = asyncio.create_task(post(app, asked("hold")))
        while not self.begun.is_set():
            await asyncio.sleep(0.005)
        waiting = [asyncio.create_task(post(app, body)) for body in bodies]
        while app.admitted < 1 + len(bodies):
            await asyncio.sleep(0.005)
        self.held.set()
        await first
        return await asyncio.gather(*waiting)

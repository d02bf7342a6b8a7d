"""The model server's application by itself, asked by connections without sockets and without an HTTP parser."""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from training_containers.common.batching import BadRequest, Model
from training_containers.common.connection import Connection
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


class Client:
    """A client's connection: the test plays the parser and the transport, and keeps what is written."""

    def __init__(self, app: Application, method: str = "POST") -> None:
        self.method = method
        self.written = bytearray()
        self.said = asyncio.Event()
        self.connection = Connection(app, lambda _: self)
        self.connection.connection_made(self)

    def ask(self, path: str, *parts: bytes) -> None:
        self.connection.on_message_begin()
        self.connection.on_url(path.encode())
        self.connection.on_headers_complete()
        for part in parts:
            self.connection.on_body(part)
        self.connection.on_message_complete()

    async def answer(self) -> tuple[int, Any, dict[str, str]]:
        """Status, JSON and headers."""
        while b"\r\n\r\n" not in self.written:
            await self.said.wait()
        head, _, body = bytes(self.written).partition(b"\r\n\r\n")
        line, *lines = head.decode().split("\r\n")
        headers = dict(each.split(": ", 1) for each in lines)
        assert len(body) == int(headers["content-length"])
        return int(line.split()[1]), json.loads(body), headers

    def go(self) -> None:
        self.connection.connection_lost(None)

    # The parser

    def feed_data(self, data: bytes, /) -> None:
        raise AssertionError

    def get_method(self) -> bytes:
        return self.method.encode()

    def get_http_version(self) -> str:
        return "1.1"

    def should_keep_alive(self) -> bool:
        return True

    def should_upgrade(self) -> bool:
        return False

    # The transport, and its socket

    def get_extra_info(self, _: str) -> "Client":
        return self

    def setsockopt(self, *_: int) -> None:
        pass

    def write(self, data: bytes) -> None:
        self.written += data
        self.said.set()

    def write_eof(self) -> None:
        pass

    def close(self) -> None:
        pass

    def abort(self) -> None:
        raise AssertionError


async def call(app: Application, method: str, path: str, *parts: bytes) -> tuple[int, Any, dict[str, str]]:
    """One request of a client of its own: status, JSON, headers."""
    client = Client(app, method)
    client.ask(path, *parts)
    found = await client.answer()
    client.go()
    return found


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
        while wait and await ping(app) != 200:
            await asyncio.sleep(0.005)
        app.ended = ended  # type: ignore[attr-defined]
        await check(app)
        await app.close()

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

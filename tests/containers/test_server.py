"""The serving application by itself: before the model is loaded, when it cannot be, and when too many ask.

.venv/bin/python -m pytest tests/containers/test_server.py
"""

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette

from training_containers.common.server import MAX_WAITING, Answer, create_app


async def call(app: Starlette, method: str, path: str, body: bytes = b"") -> tuple[int, Any]:
    """One request through the ASGI interface: status and JSON."""
    sent: list[dict[str, Any]] = []
    received = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> dict[str, Any]:
        return next(received)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [],
    }
    await app(scope, receive, send)
    content = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], json.loads(content)


def with_app(load: Callable[[], Answer], check: Callable[[Starlette], Any]) -> None:
    """Run a check against a started application."""

    async def run() -> None:
        app = create_app(load)
        async with app.router.lifespan_context(app):
            await check(app)

    asyncio.run(asyncio.wait_for(run(), 30))


async def loaded(app: Starlette) -> None:
    while (await call(app, "GET", "/ping"))[0] != 200:
        await asyncio.sleep(0.01)


def test_ping_is_503_until_the_model_is_loaded():
    may_load = threading.Event()

    def load() -> Answer:
        may_load.wait(20)
        return lambda body, media_type: {}

    async def check(app: Starlette) -> None:
        assert await call(app, "GET", "/ping") == (503, {"detail": "The model is still loading."})
        assert (await call(app, "POST", "/invocations"))[0] == 503
        may_load.set()
        await loaded(app)
        assert (await call(app, "POST", "/invocations")) == (200, {})

    with_app(load, check)


def test_a_model_that_cannot_be_loaded_ends_the_server(capsys):
    def load() -> Answer:
        raise ValueError("model.onnx is damaged")

    async def check(app: Starlette) -> None:
        ended = asyncio.Event()
        app.state.shut_down = ended.set
        await ended.wait()
        assert app.state.load_failed

    with_app(load, check)
    assert "model.onnx is damaged" in capsys.readouterr().err


def test_requests_beyond_the_queue_are_sent_away_and_ping_still_answers():
    may_answer = threading.Event()

    def answer(body: bytes, media_type: str) -> dict[str, Any]:
        may_answer.wait(20)
        return {"body": body.decode()}

    async def check(app: Starlette) -> None:
        await loaded(app)
        waiting = [asyncio.create_task(call(app, "POST", "/invocations", str(i).encode())) for i in range(MAX_WAITING)]
        while app.state.waiting < MAX_WAITING:
            await asyncio.sleep(0.01)
        status, refused = await call(app, "POST", "/invocations")
        assert (status, refused["detail"].partition(":")[0]) == (503, f"{MAX_WAITING} requests are waiting already")
        assert (await call(app, "GET", "/ping"))[0] == 200
        may_answer.set()
        assert await asyncio.gather(*waiting) == [(200, {"body": str(i)}) for i in range(MAX_WAITING)]
        assert (await call(app, "POST", "/invocations", b"again")) == (200, {"body": "again"})

    with_app(lambda: answer, check)


def test_an_error_nobody_foresaw_is_a_500_without_its_details(capsys):
    def answer(body: bytes, media_type: str) -> dict[str, Any]:
        raise RuntimeError("secret path")

    async def check(app: Starlette) -> None:
        await loaded(app)
        status, content = await call(app, "POST", "/invocations")
        assert status == 500
        assert "secret" not in content["detail"]

    with_app(lambda: answer, check)
    assert "secret path" in capsys.readouterr().err

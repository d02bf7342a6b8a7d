"""The model server by itself: loading and warming, batches, the queue's end, and requests under way at SIGTERM.

.venv/bin/python -m pytest tests/containers/test_model_server.py
"""

import asyncio
import json
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from local.cloud import Image
from tests.containers.jobs import Job, Server, free_port, until
from training_containers.common.batching import BadRequest, Model, Stream
from training_containers.common.server import MAX_BODY_BYTES, MAX_WAITING, Application

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


# ------------------------------------------------------------------------------------------------ loading


def test_ping_is_503_until_the_model_is_loaded_and_warm():
    may_load, warming, may_warm, warmed = threading.Event(), threading.Event(), threading.Event(), []

    def load() -> Model:
        may_load.wait(20)
        return model(predict)()

    def predict(instances: list[Any], _: dict[str, Any]) -> list[Any]:
        warming.set()
        may_warm.wait(20)
        warmed.append(list(instances))
        return instances

    async def check(app: Application) -> None:
        for may_go_on in (may_load, may_warm):
            status, content, headers = await call(app, "GET", "/ping")
            assert (status, content) == (503, {"detail": "The model is still loading."})
            assert headers[b"retry-after"] == b"1"
            assert (await post(app, asked(1)))[0] == 503
            may_go_on.set()
            while not warming.is_set():
                await asyncio.sleep(0.005)
        while await ping(app) != 200:
            await asyncio.sleep(0.005)
        assert warmed == [["sample"]]
        assert await post(app, asked(1)) == (200, {"predictions": [1]})

    with_app(load, check, wait=False)


@pytest.mark.parametrize("fault", ["load", "warm"])
def test_a_model_that_cannot_be_loaded_or_warmed_ends_the_server(fault, capsys):
    def predict(instances: list[Any], _: dict[str, Any]) -> list[Any]:
        raise ValueError("model.onnx is damaged")

    def load() -> Model:
        if fault == "load":
            raise ValueError("model.onnx is damaged")
        return model(predict)()

    async def check(app: Application) -> None:
        await app.ended.wait()  # type: ignore[attr-defined]
        assert app.failed
        assert await ping(app) == 503

    with_app(load, check, wait=False)
    assert "model.onnx is damaged" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------ batches


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


def test_what_waits_while_the_model_is_busy_is_answered_by_one_call():
    slow = Slow()

    async def check(app: Application) -> None:
        answers = await slow.behind(app, *(asked(number, number + 100) for number in range(8)))
        for number, (status, content) in enumerate(answers):
            assert status == 200
            assert [instance for instance, _ in content["predictions"]] == [number, number + 100]

    with_app(model(slow), check)
    assert [len(each) for each in slow.calls] == [1, 1, 16]


def test_clients_that_ask_again_on_an_answer_stay_in_one_batch_and_no_clock_is_asked():
    slow = Slow()

    async def client(app: Application, turns: int) -> None:
        for _ in range(20):
            assert (await post(app, asked(turns)))[0] == 200
            for _ in range(turns):
                await asyncio.sleep(0)

    async def check(app: Application) -> None:
        await asyncio.gather(*(client(app, turns) for turns in range(8)))

    with_app(model(slow), check)
    sizes = [len(each) for each in slow.calls[1:]]
    assert sum(sizes) == 160
    assert len(sizes) <= 22, sizes  # 20, but for the first and the last


def test_no_batch_is_larger_than_the_model_says_but_one_request_may_be():
    slow = Slow()

    async def check(app: Application) -> None:
        bodies = [asked(1, 2, 3), asked(4, 5), asked(*range(10)), asked(6), asked(7), asked(8), asked(9)]
        answers = await slow.behind(app, *bodies)
        assert [len(content["predictions"]) for _, content in answers] == [3, 2, 10, 1, 1, 1, 1]

    with_app(model(slow, most=4), check)
    assert [len(each) for each in slow.calls[2:]] == [3, 2, 10, 1, 3]


def test_requests_with_other_parameters_are_answered_by_other_calls():
    slow = Slow()

    async def check(app: Application) -> None:
        answers = await slow.behind(app, *(asked(number, heat=number % 2) for number in range(6)))
        for number, (_, content) in enumerate(answers):
            assert content["predictions"] == [[number, {"heat": number % 2}]]

    with_app(model(slow), check)
    assert slow.calls[2:] == [[0, 2, 4], [1, 3, 5]]


@pytest.mark.parametrize("place", range(7))
def test_a_request_at_fault_fails_alone_and_in_its_own_words(place, capsys):
    slow = Slow()
    faults = {
        "wrong": (400, "Instance 1 is wrong."),
        "broken": (500, "The model failed on this request; the endpoint's log says why."),
    }

    async def check(app: Application) -> None:
        bodies = [asked(number, number) for number in range(7)]
        bodies[place] = asked("fine", "wrong")
        bodies[-1 - place] = asked("broken") if place != 3 else bodies[-1 - place]
        bodies.append(b'{"refuse": "No."}')
        bodies.append(b"{")
        answers = await slow.behind(app, *bodies)
        *answers, refused, unreadable = answers
        assert refused == (400, {"detail": "No."})
        assert unreadable[0] == 500  # this test's own `read` lets it through
        for number, (status, content) in enumerate(answers):
            if b"wrong" in bodies[number] or b"broken" in bodies[number]:
                expected, detail = faults["wrong" if b"wrong" in bodies[number] else "broken"]
                assert (status, content) == (expected, {"detail": detail})
            else:
                assert (status, content) == (200, {"predictions": [[number, {}]] * 2})

    with_app(model(slow), check)
    if place != 3:
        assert "secret path" in capsys.readouterr().err


def test_a_model_that_forgets_an_instance_or_answers_what_json_cannot_say_fails_that_request_alone(capsys):
    def predict(instances: list[Any], _: dict[str, Any]) -> list[Any]:
        return [float("nan") if each == "nan" else each for each in instances if each != "forgotten"]

    async def check(app: Application) -> None:
        bodies = [asked(1), asked("forgotten", 2), asked(3), asked("nan"), asked(4)]
        answers = await asyncio.gather(*(post(app, body) for body in bodies))
        assert [status for status, _ in answers] == [200, 500, 200, 500, 200]
        assert answers[4] == (200, {"predictions": [4]})

    with_app(model(predict), check)


# --------------------------------------------------------------------------------------------- the queue's end


def test_requests_beyond_the_queue_are_sent_away_and_ping_still_answers():
    slow = Slow()

    async def check(app: Application) -> None:
        first = asyncio.create_task(post(app, asked("hold")))
        waiting = [asyncio.create_task(post(app, asked(number))) for number in range(MAX_WAITING - 1)]
        while app.admitted < MAX_WAITING:
            await asyncio.sleep(0.005)
        status, refused, headers = await call(app, "POST", "/invocations", asked(0))
        assert (status, refused["detail"].partition(":")[0]) == (503, f"{MAX_WAITING} requests are waiting already")
        assert headers[b"retry-after"] == b"1"
        assert await ping(app) == 200
        slow.held.set()
        assert (await first)[0] == 200
        answers = await asyncio.gather(*waiting)
        assert [content["predictions"][0][0] for _, content in answers] == list(range(MAX_WAITING - 1))
        assert (await post(app, asked("again")))[0] == 200
        assert app.admitted == 0

    with_app(model(slow), check)


def test_a_body_in_pieces_is_put_together_and_one_without_an_end_is_refused_early():
    async def check(app: Application) -> None:
        body = asked("a" * 1000)
        pieces = [body[at : at + 100] for at in range(0, len(body), 100)]
        assert (await call(app, "POST", "/invocations", *pieces))[1] == {"predictions": ["a" * 1000]}
        endless = [b" " * (MAX_BODY_BYTES // 2)] * 3
        assert (await call(app, "POST", "/invocations", *endless))[0] == 413
        assert app.admitted == 0

    with_app(model(lambda instances, _: instances), check)


# ----------------------------------------------------------------------------------------------- streams


def test_streams_are_made_piece_by_piece_with_other_requests_between_and_end_with_their_client():
    closed: list[str] = []

    def pieces(name: str, most: int) -> Generator[bytes]:
        try:
            for number in range(most):
                yield f"{name}{number} ".encode()
        finally:
            closed.append(name)

    def whole(body: bytes, media_type: str) -> dict[str, Any] | Stream | None:
        request = json.loads(body)
        if "stream" in request:
            return Stream(pieces(request["stream"], request["most"]), "text/event-stream")
        return {"said": request["say"]} if "say" in request else None

    async def check(app: Application) -> None:
        sent: dict[str, list[bytes]] = {"a": [], "b": [], "endless": []}
        gone = asyncio.Event()

        async def client(name: str, most: int) -> None:
            body = json.dumps({"stream": name, "most": most}).encode()
            parts = [{"type": "http.request", "body": body, "more_body": False}]

            async def receive() -> dict[str, Any]:
                if parts:
                    return parts.pop()
                await gone.wait()
                return {"type": "http.disconnect"}

            async def send(message: Any) -> None:
                sent[name].append(message.get("body", b""))
                if name == "endless" and len(sent[name]) == 50:
                    gone.set()

            scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": []}
            await app(scope, receive, send)

        endless = asyncio.create_task(client("endless", 10**9))
        await asyncio.gather(client("a", 5), client("b", 3))
        assert await post(app, b'{"say": "hello"}') == (200, {"said": "hello"})
        assert await post(app, asked(1)) == (200, {"predictions": [1]})
        assert b"".join(sent["a"]) == b"a0 a1 a2 a3 a4 "
        assert b"".join(sent["b"]) == b"b0 b1 b2 "
        await endless
        assert await post(app, asked(1)) == (200, {"predictions": [1]})  # by then the thread has closed it
        assert sorted(closed) == ["a", "b", "endless"]
        assert app.admitted == 0

    with_app(model(lambda instances, _: instances, whole=whole), check)


# ------------------------------------------------------------------------------------------ the whole server

PROGRAM = """
import json, sys, time
from training_containers.common import server
from training_containers.common.batching import Model

def predict(instances, parameters):
    time.sleep(parameters.get("seconds", 0.005))
    return [[instance, parameters, len(instances)] for instance in instances]

def read(body, media_type):
    request = json.loads(body)
    return request["instances"], request.get("parameters", {})

sys.exit(server.run(lambda: Model(read, predict, (b'{"instances": [1]}', "application/json"), most=16)))
"""


@contextmanager
def serving(image: Image, folder: Path) -> Iterator[Server]:
    """The server as a process of the image's own Python."""
    (folder / "program.py").write_text(PROGRAM)
    port = free_port()
    environment = Job(folder, image).environment(SAGEMAKER_BIND_TO_PORT=str(port), PYTHONPATH=str(image.directory))
    process = subprocess.Popen(
        [image.python, folder / "program.py"], env=environment, stderr=subprocess.PIPE, text=True, stdout=sys.stderr
    )
    server = Server(f"http://127.0.0.1:{port}", process)
    try:
        until(server.is_ready, "the server is ready", seconds=60)
        yield server
    finally:
        process.terminate()
        server.stderr = process.communicate(timeout=60)[1]


def test_clients_at_once_get_their_own_answers_in_batches(image, tmp_path):
    draw = random.Random(7)
    requests_ = [
        {
            "instances": [f"{number}-{at}-{'x' * draw.randrange(200)}" for at in range(draw.randrange(1, 6))],
            "parameters": {"heat": draw.randrange(3)},
        }
        for number in range(600)
    ]
    with serving(image, tmp_path) as server, ThreadPoolExecutor(24) as clients:
        answers = list(clients.map(server.post, requests_))
    together = []
    for request, answer in zip(requests_, answers, strict=True):
        assert answer.status_code == 200, answer.text
        predictions = answer.json()["predictions"]
        assert [instance for instance, _, _ in predictions] == request["instances"]
        assert all(parameters == request["parameters"] for _, parameters, _ in predictions)
        together.append(predictions[0][2])
    assert max(together) > 5
    assert max(together) <= 16


def test_sigterm_lets_requests_under_way_be_answered_and_takes_no_more(image, tmp_path):
    with serving(image, tmp_path) as server, ThreadPoolExecutor(8) as clients:
        slow = [clients.submit(server.post, {"instances": [each], "parameters": {"seconds": 0.4, "n": each}})
                for each in range(6)]  # fmt: skip
        until(lambda: any(each.done() for each in slow), "the first is answered; the others wait")
        server.process.send_signal(signal.SIGTERM)
        answers = [each.result(timeout=30) for each in slow]
        assert [answer.status_code for answer in answers] == [200] * 6
        assert [answer.json()["predictions"][0][0] for answer in answers] == list(range(6))
        assert server.process.wait(timeout=20) == 0
        with pytest.raises(OSError):
            server.post({"instances": [1]})

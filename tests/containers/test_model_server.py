"""The model server: loading and warming, the queue's end, many clients at once, and requests under way at SIGTERM.

.venv/bin/python -m pytest tests/containers/test_model_server.py
"""

import asyncio
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from local.cloud import Image
from tests.containers.jobs import Job, Server, free_port, until
from tests.containers.model_app import Slow, asked, call, model, ping, post, with_app
from training_containers.common.batching import Model
from training_containers.common.connection import MAX_BODY_BYTES
from training_containers.common.server import MAX_WAITING, Application

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
            assert headers["retry-after"] == "1"
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
        assert app.batcher.failed
        assert await ping(app) == 503

    with_app(load, check, wait=False)
    assert "model.onnx is damaged" in capsys.readouterr().err


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
        assert headers["retry-after"] == "1"
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


# ------------------------------------------------------------------------------------------ the whole server

PROGRAM = """
import json, sys, time
from training_containers.common import server
from training_containers.common.batching import Model, Stream

def predict(instances, parameters):
    time.sleep(parameters.get("seconds", 0.005))
    return [[instance, parameters, len(instances)] for instance in instances]

def read(body, media_type):
    request = json.loads(body)
    return request["instances"], request.get("parameters", {})

def whole(body, media_type):
    if media_type == "text/stream":
        return Stream(pieces(**json.loads(body)), "text/event-stream")

def pieces(count, fails=False):
    for number in range(count):
        yield b"piece %d " % number
        time.sleep(0.01)
    if fails:
        raise RuntimeError("out of words")

sample = b'{"instances": [1]}', "application/json"
sys.exit(server.run(lambda: Model(read, predict, sample, most=16, whole=whole)))
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

"""Batches of the model server: who is answered together, who fails alone, and answers that are streams.

.venv/bin/python -m pytest tests/containers/test_batching.py
"""

import asyncio
import json
from collections.abc import Generator
from typing import Any

import pytest

from tests.containers.model_app import Client, Slow, asked, model, post, with_app
from training_containers.common.batching import Stream
from training_containers.common.server import Application


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


def chunks(written: bytearray) -> list[bytes]:
    """The chunks of a chunked answer, the empty last one too."""
    _, _, body = bytes(written).partition(b"\r\n\r\n")
    *parts, rest = body.split(b"\r\n")
    assert rest == b""
    return parts[1::2]


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
        async def client(name: str, most: int, pieces: int) -> list[bytes]:
            """The pieces that a client gets; it goes away after so many."""
            client = Client(app)
            client.ask("/v1/chat/completions", json.dumps({"stream": name, "most": most}).encode())
            while len(found := chunks(client.written)) < pieces:
                client.said.clear()
                await client.said.wait()
            client.go()
            return found

        endless = asyncio.create_task(client("endless", 10**9, 50))
        a, b = await asyncio.gather(client("a", 5, 6), client("b", 3, 4))
        assert await post(app, b'{"say": "hello"}') == (200, {"said": "hello"})
        assert await post(app, asked(1)) == (200, {"predictions": [1]})
        assert a == [b"a0 ", b"a1 ", b"a2 ", b"a3 ", b"a4 ", b""]
        assert b == [b"b0 ", b"b1 ", b"b2 ", b""]
        await endless
        while len(closed) < 3 or app.admitted:
            await asyncio.sleep(0.005)
        assert await post(app, asked(1)) == (200, {"predictions": [1]})
        assert sorted(closed) == ["a", "b", "endless"]

    with_app(model(lambda instances, _: instances, whole=whole), check)

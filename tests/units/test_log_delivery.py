"""Delivery of log events to subscribed functions.  `pytest tests/units/test_log_delivery.py`"""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from local import log_delivery
from local.log_delivery import Attempt, Deliverer, Event, Outcome, Route, batch_size

ROUTE = Route("arn:aws:lambda:us-east-1:000000000000:function:taker", "group", "stream", "filter")


def events(*messages: Any) -> list[Event]:
    return [{"message": str(message)} for message in messages]


class Taker:
    """A destination that waits where a test wants it, and ends as it is told."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.times: list[float] = []
        self.lost: list[str] = []
        self.outcomes: list[Outcome] = []  # of the next attempts; TAKEN after them
        self.gate = threading.Event()
        self.gate.set()
        self.at_once = self.most_at_once = 0

    def attempt(self, route: Route, found: list[Event]) -> Attempt:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.times.append(time.monotonic())
        self.batches.append([event["message"] for event in found])
        self.gate.wait(5)
        self.at_once -= 1
        return Attempt(self.outcomes.pop(0) if self.outcomes else Outcome.TAKEN)

    def give_up(self, route: Route, found: list[Event], said: Any) -> None:
        self.lost += [event["message"] for event in found]


@pytest.fixture
def taker() -> Taker:
    return Taker()


@pytest.fixture
def deliverer(taker: Taker, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deliverer]:
    monkeypatch.setattr(log_delivery, "PACE_SECONDS", 0.1)
    monkeypatch.setattr(log_delivery, "THROTTLED_SECONDS", 0.05)
    made = Deliverer(taker.attempt, lambda route: (0.05, 0.05), taker.give_up)
    yield made
    made.close(5)


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


def test_the_first_leaves_at_once_and_what_comes_meanwhile_together(taker: Taker, deliverer: Deliverer) -> None:
    taker.gate.clear()
    deliverer.put(ROUTE, events(1))
    until(lambda: taker.batches)
    for number in range(2, 50):
        deliverer.put(ROUTE, events(number))
    taker.gate.set()
    until(lambda: len(taker.batches) == 2)
    assert taker.batches == [["1"], [str(number) for number in range(2, 50)]]
    assert taker.most_at_once == 1


def test_a_stream_pauses_after_a_delivery_and_others_do_not_wait_for_it(taker: Taker, deliverer: Deliverer) -> None:
    deliverer.put(ROUTE, events("a"))
    until(lambda: taker.batches)
    deliverer.put(ROUTE, events("b"))
    deliverer.put(ROUTE._replace(stream="other"), events("c"))
    until(lambda: len(taker.batches) == 3)
    assert taker.batches == [["a"], ["c"], ["b"]]
    assert taker.times[2] - taker.times[0] >= 0.1


def test_what_fails_is_tried_again_and_its_stream_goes_on(taker: Taker, deliverer: Deliverer) -> None:
    taker.outcomes = [Outcome.FAILED, Outcome.FAILED]
    deliverer.put(ROUTE, events("a"))
    until(lambda: len(taker.batches) == 3)
    assert deliverer.close(5) and taker.batches == [["a"]] * 3 and taker.lost == []


def test_what_always_fails_is_put_aside_and_no_other_event_with_it(taker: Taker, deliverer: Deliverer) -> None:
    taker.outcomes = [Outcome.FAILED] * 3
    deliverer.put(ROUTE, events("a"))
    until(lambda: taker.lost)
    deliverer.put(ROUTE, events("b"))
    until(lambda: ["b"] in taker.batches)
    assert taker.lost == ["a"] and taker.batches.count(["a"]) == 3


def test_what_finds_no_concurrency_is_tried_until_it_does(taker: Taker, deliverer: Deliverer) -> None:
    taker.outcomes = [Outcome.THROTTLED] * 5
    deliverer.put(ROUTE, events("a"))
    until(lambda: len(taker.batches) == 6)
    deliverer.put(ROUTE, events("b"))
    until(lambda: ["b"] in taker.batches)
    assert taker.lost == []


def test_closing_delivers_what_waits_without_further_pauses(taker: Taker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_delivery, "PACE_SECONDS", 60)
    deliverer = Deliverer(taker.attempt, lambda route: (60,), taker.give_up)
    taker.outcomes = [Outcome.FAILED]
    deliverer.put(ROUTE, events("a"))
    until(lambda: taker.batches)
    deliverer.put(ROUTE, events("b"))
    assert deliverer.close(5)
    assert sorted(taker.batches) == [["a"], ["a"], ["b"]]


def test_a_destination_that_hangs_does_not_keep_the_platform_from_stopping(taker: Taker, deliverer: Deliverer) -> None:
    taker.gate.clear()
    deliverer.put(ROUTE, events("a"))
    assert not deliverer.close(0.05)
    taker.gate.set()


def test_many_threads_lose_nothing_and_keep_each_streams_order(taker: Taker, deliverer: Deliverer) -> None:
    def write(stream: int) -> None:
        for number in range(200):
            deliverer.put(ROUTE._replace(stream=str(stream)), events(f"{stream}:{number}"))

    writers = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert deliverer.close(10)
    delivered = [message.split(":") for batch in taker.batches for message in batch]
    for stream in range(8):
        assert [int(number) for of, number in delivered if of == str(stream)] == list(range(200))


def test_one_delivery_holds_no_more_than_an_invocation_takes() -> None:
    assert batch_size(events(*range(5000))) == log_delivery.BATCH_EVENTS
    assert batch_size(events(*["x" * 200_000] * 5)) == 2
    assert batch_size(events("x" * 900_000, "y")) == 1

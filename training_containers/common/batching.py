"""Requests become batches: whatever waits when the model becomes free, up to a maximum, is answered together.

There is no timer. A batch begins at once when the model is free; while it runs, requests gather for the next one. When
it ends, its answers are written first, and what clients ask on receiving them is read: the next batch begins when as
many have asked as were answered, or when a few turns of the event loop, some microseconds each, brought nothing new. A
full batch never waits for that.
"""

import asyncio
import json
import os
import queue
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

QUIET_TURNS = 32  # of the event loop without news, after answers were written: reading a request takes two
WRITTEN_TOGETHER = 4  # answers in a turn of the event loop: their clients read and ask while the next are written
JSON = json.JSONEncoder(ensure_ascii=False, allow_nan=False)  # made once: json.dumps would make one for each answer

give_way: Callable[[], None] = getattr(os, "sched_yield", lambda: None)  # which not every system has

Instances = list[Any]
Parameters = dict[str, Any]


class BadRequest(Exception):
    """The request cannot be answered; the text says what to change."""


@dataclass(frozen=True)
class Stream:
    """An answer that is sent while it is made: the model's thread makes a piece at a time, and others' between them."""

    pieces: Generator[bytes]
    media_type: str


@dataclass(frozen=True)
class Model:
    """A loaded model, as the modules that serve make it."""

    read: Callable[[bytes, str], tuple[Instances, Parameters]]
    """(body, media type) -> its instances, checked, and its parameters; raises BadRequest."""
    predict: Callable[[Instances, Parameters], list[Any]]
    """A prediction for each instance; they may come from several requests with equal parameters. Raises BadRequest."""
    sample: tuple[bytes, str] | None
    """A request (body, media type) that the model can answer: it is warmed with it. None: nobody knows one."""
    most: int = 32
    """Requests in a batch, and instances of several requests in a call of `predict`; 1 where nothing is gained."""
    whole: Callable[[bytes, str], dict[str, Any] | Stream | None] | None = None
    """(body, media type) -> the answer to a request that is of another form than instances; None to one that is not."""


@dataclass(frozen=True)
class Answer:
    """An answer as it goes out: a status and JSON."""

    status: int
    body: bytes
    more: bytes = b""
    """Headers that few answers have, each with its end of line."""


Answered: TypeAlias = "list[tuple[Request, Answer | Stream]]"


@dataclass
class Request:
    """A request that waits for its answer; the worker fills in what it reads."""

    body: bytes
    media_type: str
    answered: Callable[[Answer | Stream], None]
    instances: Instances = field(default_factory=list)
    parameters: Parameters = field(default_factory=dict)


class Batcher:
    """Lets one thread load a model and answer batches; everything but `Worker` runs in the event loop."""

    def __init__(self, load: Callable[[], Model], ended: Callable[[], None]) -> None:
        """`ended` is called when the model could not be loaded; `failed` is then true."""
        self.ready = self.failed = False
        self._loop = asyncio.get_running_loop()
        self._worker = Worker(load, self)
        self._ended = ended
        self._waiting: deque[Request] = deque()
        self._most = 1
        self._busy = self._settling = False
        self._taken = 0  # requests of the batch under way, or the last one
        self._expected = 0  # of those that were answered last, how many have not asked again
        self._news = False

    def start(self) -> None:
        """Begin to load the model."""
        self._worker.start()

    def close(self) -> None:
        """Let the thread end once it has nothing to do."""
        self._worker.work.put(None)

    async def piece(self, stream: Stream) -> bytes:
        """Return the next piece of a stream, b"" at its end; raises what making it raises."""
        made: asyncio.Future[bytes] = self._loop.create_future()

        def make(_: Model) -> None:
            try:
                piece = next(stream.pieces, b"")
            except Exception as error:
                self.from_worker(unless_done, made, made.set_exception, error)
            else:
                self.from_worker(unless_done, made, made.set_result, piece)

        self._worker.work.put(make)
        return await made

    def end(self, stream: Stream) -> None:
        """Make no more pieces of a stream."""
        self._worker.work.put(lambda _: stream.pieces.close())

    def ask(self, body: bytes, media_type: str, answered: Callable[[Answer | Stream], None]) -> None:
        """Have `answered` called with the answer to a request, once it has had its turn."""
        self._waiting.append(Request(body, media_type, answered))
        self._expected -= 1
        self._news = True
        if not self._busy and not self._settling:
            self._expected, self._settling = 0, True
            self._loop.call_soon(self._settle, 0)  # after this turn: what came together is answered together

    # What follows is called from the worker, by way of the loop.

    def loaded(self, most: int) -> None:
        """Take requests from now on."""
        self._most, self.ready = most, True

    def not_loaded(self) -> None:
        """End: there is no model."""
        self.failed = True
        self._ended()

    def deliver(self, answered: Answered) -> None:
        """Give answers to those who wait for them, some in each turn of the loop."""
        for request, answer in answered[:WRITTEN_TOGETHER]:
            request.answered(answer)
        if len(answered) > WRITTEN_TOGETHER:
            self._loop.call_soon(self.deliver, answered[WRITTEN_TOGETHER:])

    def free(self, answered: Answered) -> None:
        """Deliver the last answers of a batch, and begin the next one, before that if it is full."""
        self._busy = False
        if len(self._waiting) >= self._most:
            self._begin()
        self.deliver(answered)
        if not self._busy:
            self._expected, self._settling, self._news = self._taken, True, False
            self._settle(QUIET_TURNS + len(answered) // WRITTEN_TOGETHER)

    def _settle(self, turns: int) -> None:
        """Begin the next batch once all have asked again, or after so many turns of the loop without news."""
        if self._expected > 0 and turns and len(self._waiting) < self._most:
            if not self._news:
                give_way()  # a client on this processor could not ask while it is looked for
            turns = QUIET_TURNS if self._news else turns - 1
            self._news = False
            self._loop.call_soon(self._settle, turns)
            return
        self._settling = False
        if self._waiting:
            self._begin()

    def _begin(self) -> None:
        self._busy = True
        self._taken = min(self._most, len(self._waiting))
        batch = [self._waiting.popleft() for _ in range(self._taken)]
        self._worker.work.put(lambda model: self._run(model, batch))

    def _run(self, model: Model, batch: list[Request]) -> None:
        """Answer a batch, in the worker: each call's answers are delivered while the next one runs."""
        last: Answered = []
        for answered in answers(model, batch):
            if last:
                self.from_worker(self.deliver, last)
            last = answered
        self.from_worker(self.free, last)

    def from_worker(self, call: Callable[..., None], *arguments: Any) -> None:
        """Have a method called in the event loop, unless the server has ended."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call, *arguments)


class Worker(threading.Thread):
    """The one thread that touches the model."""

    def __init__(self, load: Callable[[], Model], batcher: Batcher) -> None:
        super().__init__(name="model", daemon=True)  # a model that is still loading must not hold up SIGTERM
        self.work: queue.SimpleQueue[Callable[[Model], None] | None] = queue.SimpleQueue()
        self._load = load
        self._batcher = batcher

    def run(self) -> None:
        """Load and warm the model, then work until there is no more."""
        try:
            model = self._load()
            warm(model)
        except Exception:
            traceback.print_exc(file=sys.stderr)
            self._batcher.from_worker(self._batcher.not_loaded)
            return
        self._batcher.from_worker(self._batcher.loaded, model.most)
        while (work := self.work.get()) is not None:
            work(model)


def unless_done(future: asyncio.Future[Any], settle: Callable[[Any], None], value: Any) -> None:
    """Settle a future unless the one who waited for it has gone."""
    if not future.done():
        settle(value)


def warm(model: Model) -> None:
    """Answer the sample once, so that the first client does not wait for what a first prediction sets up."""
    if model.sample is None:
        print("Nobody knows a request that this model can answer: it is served without a first prediction.", flush=True)
        return
    encoded(model.predict(*model.read(*model.sample)))


def answers(model: Model, batch: list[Request]) -> Iterator[Answered]:
    """Yield the answers to a batch as they come to be; what cannot be read is refused without touching the model."""
    single: Answered = []
    groups: dict[str, list[Request]] = {}
    for request in batch:
        try:
            whole = model.whole(request.body, request.media_type) if model.whole else None
            if whole is not None:
                single.append((request, whole if isinstance(whole, Stream) else Answer(200, as_json(whole))))
                continue
            request.instances, request.parameters = model.read(request.body, request.media_type)
        except Exception as error:
            single.append((request, failure(error)))
        else:
            key = json.dumps(request.parameters, sort_keys=True) if request.parameters else ""
            groups.setdefault(key, []).append(request)
    if single:
        yield single
    for group in groups.values():
        for together in calls(group, model.most):
            yield predicted(model, together)


def calls(requests: list[Request], most: int) -> Iterator[list[Request]]:
    """Yield requests that one call answers: as many as have together at most so many instances, or a larger one."""
    together: list[Request] = []
    instances = 0
    for request in requests:
        if together and instances + len(request.instances) > most:
            yield together
            together, instances = [], 0
        together.append(request)
        instances += len(request.instances)
    yield together


def predicted(model: Model, requests: list[Request]) -> Answered:
    """Return answers to requests of equal parameters by one call.

    Where that fails, its halves are tried, so that in the end only the request at fault fails, in its own words.
    """
    instances = [instance for request in requests for instance in request.instances]
    try:
        predictions = model.predict(instances, requests[0].parameters)
        if len(predictions) != len(instances):
            raise RuntimeError(f"The model gave {len(predictions)} predictions for {len(instances)} instances.")
        found: Answered = []
        start = 0
        for request in requests:
            end = start + len(request.instances)
            found.append((request, Answer(200, encoded(predictions[start:end]))))
            start = end
        return found
    except Exception as error:
        if len(requests) == 1:
            return [(requests[0], failure(error))]
    half = len(requests) // 2
    return predicted(model, requests[:half]) + predicted(model, requests[half:])


def encoded(predictions: list[Any]) -> bytes:
    """Return predictions as they are answered; raises ValueError for what JSON cannot say."""
    return as_json({"predictions": predictions})


def as_json(content: dict[str, Any]) -> bytes:
    """Return JSON; raises ValueError for what it cannot say."""
    return JSON.encode(content).encode()


def failure(error: Exception) -> Answer:
    """Return the answer that an error stands for; the details of one that nobody foresaw go to the log alone."""
    if isinstance(error, BadRequest):
        return problem(400, str(error))
    traceback.print_exception(error, file=sys.stderr)
    return problem(500, "The model failed on this request; the endpoint's log says why.")


def problem(status: int, detail: str) -> Answer:
    """Return an error in the shape that every client of the platform knows."""
    return Answer(status, json.dumps({"detail": detail}, ensure_ascii=False).encode("utf-8", "backslashreplace"))

"""Log events on their way to the functions that subscribe to them: in order, in batches, at least once.

Per stream and destination one delivery is on its way at a time; what comes meanwhile leaves together in the next one,
half a second after. So a stream that is quiet is prompt, and a busy one costs few invocations.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from typing import Any, NamedTuple

logger = logging.getLogger("slipway.logs")

PACE_SECONDS = 0.5  # between a delivery's end and the stream's next one
THROTTLED_SECONDS = 1.0  # before what found no free concurrency is tried again
BATCH_EVENTS, BATCH_CHARACTERS = 1000, 500_000  # of one delivery: compressed, an asynchronous invocation must take it
AT_ONCE = 16  # deliveries on their way, over all streams

Event = dict[str, Any]


class Route(NamedTuple):
    """From where to where."""

    destination: str  # the function's ARN
    group: str
    stream: str
    filter: str


class Outcome(Enum):
    """How an attempt ended."""

    TAKEN = "taken"
    FAILED = "failed"
    THROTTLED = "throttled"  # is tried again for as long as it takes


class Attempt(NamedTuple):
    """One invocation with a batch: how it ended, and what the function said."""

    outcome: Outcome
    said: Any = None


class Deliverer:
    """Delivers what is put. `attempt` invokes the destination and waits for its end; `retries` names the seconds before
    each further attempt at what failed; `give_up` puts aside what none delivered. They are called by threads."""

    def __init__(
        self,
        attempt: Callable[[Route, list[Event]], Attempt],
        retries: Callable[[Route], Sequence[float]],
        give_up: Callable[[Route, list[Event], Any], None],
    ) -> None:
        self._attempt, self._retries, self._give_up = attempt, retries, give_up
        self._changed = threading.Condition()
        self._waiting: dict[Route, list[Event]] = {}  # of each stream that may not send at this moment
        self._unsettled = 0  # deliveries that are neither taken nor given up
        self._timers: list[tuple[float, int, Callable[[], Any]]] = []
        self._number = itertools.count()
        self._closing = False
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="log-delivery")
        threading.Thread(target=self._keep_time, daemon=True, name="log-delivery-timers").start()

    def put(self, route: Route, events: Sequence[Event]) -> None:
        """Send these events, at once unless the stream has just sent some. Any thread may call it; it does not wait."""
        with self._changed:
            idle = route not in self._waiting
            self._waiting.setdefault(route, []).extend(events)
            if idle:
                self._send_next(route)

    def close(self, seconds: float) -> bool:
        """Deliver what is pending without further pauses; False when that takes longer than `seconds`."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            return self._changed.wait_for(lambda: not self._waiting and not self._unsettled, seconds)

    def _send_next(self, route: Route) -> None:
        """Send a stream's next batch, or let its next event go at once. Call it with the lock held."""
        waiting = self._waiting[route]
        if not waiting:
            del self._waiting[route]
            self._changed.notify_all()
            return
        count = batch_size(waiting)
        self._waiting[route] = waiting[count:]
        self._unsettled += 1
        self._pool.submit(self._deliver, route, waiting[:count], 0)

    def _deliver(self, route: Route, events: list[Event], failures: int) -> None:
        """Make one attempt, and see to what comes after it."""
        try:
            outcome, said = self._attempt(route, events)
        except Exception as error:  # whatever it was, the events are not delivered
            logger.exception("A delivery of %d log events failed.", len(events))
            outcome, said = Outcome.FAILED, {"body": {"errorMessage": str(error)}}
        delays = self._retries(route) if outcome is Outcome.FAILED else ()
        given_up = outcome is Outcome.FAILED and failures >= len(delays)
        if given_up:
            self._give_up(route, events, said)
        with self._changed:
            if failures == 0 and outcome is not Outcome.THROTTLED:
                self._after(PACE_SECONDS, lambda: self._send_next(route))
            if outcome is Outcome.THROTTLED:
                self._after(THROTTLED_SECONDS, lambda: self._pool.submit(self._deliver, route, events, failures))
            elif outcome is Outcome.FAILED and not given_up:
                self._after(delays[failures], lambda: self._pool.submit(self._deliver, route, events, failures + 1))
            else:
                self._unsettled -= 1
            self._changed.notify_all()

    def _after(self, seconds: float, action: Callable[[], Any]) -> None:
        """Do something quick later, at once when closing. Call it with the lock held."""
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._number), action))

    def _keep_time(self) -> None:
        with self._changed:
            while True:
                now = time.monotonic()
                if self._timers and (self._closing or self._timers[0][0] <= now):
                    heapq.heappop(self._timers)[2]()
                else:
                    self._changed.wait(self._timers[0][0] - now if self._timers else None)


def batch_size(events: Sequence[Event]) -> int:
    """How many of these events, one at least, go into one delivery."""
    sizes = itertools.accumulate(len(event["message"]) for event in events[:BATCH_EVENTS])
    return max(1, sum(size <= BATCH_CHARACTERS for size in sizes))

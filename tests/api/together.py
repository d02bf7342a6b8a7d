"""Many requests at the same moment."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from tests.api.client import Answer

THREADS = 20


@contextmanager
def threads() -> Iterator[ThreadPoolExecutor]:
    """Threads that all begin at once; each has the event loop that Mangum finds in a process of Lambda."""
    loops: list[asyncio.AbstractEventLoop] = []
    together = threading.Barrier(THREADS)

    def begin() -> None:
        loops.append(asyncio.new_event_loop())
        asyncio.set_event_loop(loops[-1])
        together.wait()

    with ThreadPoolExecutor(THREADS, initializer=begin) as pool:
        yield pool
    for loop in loops:
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


def at_once(calls: int, call: Callable[[int], Answer]) -> list[Answer]:
    """Make calls from many threads; return their answers, and print how long they took."""
    started = time.perf_counter()
    with threads() as pool:
        answers = list(pool.map(call, range(calls)))
    print(f"\n{calls} calls in {time.perf_counter() - started:.1f} s: {Counter(answer.status for answer in answers)}")
    return answers

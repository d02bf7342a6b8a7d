"""Calls at a fixed rate, whatever becomes of the earlier ones, and none made again: as clients without patience."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Seen:
    """What each call answered: (seconds after the first, version or what went wrong)."""

    answers: list[tuple[float, str]] = field(default_factory=list)

    def counts(self) -> Counter[str]:
        return Counter(answer for _, answer in self.answers)

    def failed(self) -> Counter[str]:
        """What is no version."""
        return Counter({answer: n for answer, n in self.counts().items() if not answer.startswith("v")})

    def by_second(self) -> str:
        """The answers of each second, as they are printed."""
        seconds: defaultdict[int, Counter[str]] = defaultdict(Counter)
        for at, answer in self.answers:
            seconds[int(at)][answer] += 1
        lines = (
            f"  {second:3d} s: " + "  ".join(f"{answer} {count}" for answer, count in sorted(found.items()))
            for second, found in sorted(seconds.items())
        )
        return "\n".join(lines)


@contextmanager
def load(call: Callable[[], str], per_second: float) -> Iterator[Seen]:
    """Call for as long as the block takes; what is under way at its end is waited for."""
    seen, over, begun = Seen(), threading.Event(), time.monotonic()

    def one() -> None:
        at = time.monotonic() - begun
        try:
            answer = call()
        except Exception as error:  # a call that fails in whatever way is a failed call
            answer = type(error).__name__
        seen.answers.append((at, answer))

    def clock(pool: ThreadPoolExecutor) -> None:
        number = 0
        while not over.wait(max(0.0, begun + number / per_second - time.monotonic())):
            pool.submit(one)
            number += 1

    with ThreadPoolExecutor(64) as pool:
        ticking = threading.Thread(target=clock, args=(pool,))
        ticking.start()
        try:
            yield seen
        finally:
            over.set()
            ticking.join()

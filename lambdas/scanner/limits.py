"""What the scan of one file may spend, members of members included."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from lambdas.scanner.report import Examination
from lambdas.scanner.source import Source

MOST_BYTES = 4 * 1024**3  # decompressed, in all
MOST_ENTRIES = 10_000  # of archives, in all
DEEPEST = 4  # archives within archives
MOST_SECONDS = 600.0
WORST_RATIO = 1000  # decompressed to compressed
OF_ONE_MEMBER = {"too_deep", "pickle_too_large"}  # what exceeds these leaves the other members their share
RATIO_COUNTS_FROM = 8 * 1024 * 1024  # small members may be very regular


class LimitExceeded(Exception):
    """The scan would cost more than a file may; the message says which limit, as a finding does."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@contextmanager
def within(found: Examination) -> Iterator[None]:
    """Keep what was found until a limit is exceeded, and say that the rest was not looked at."""
    try:
        yield
    except LimitExceeded as error:
        found.unscanned(error.code, str(error))


@dataclass
class Walk:
    """One file's budget, and the way to examine what is found inside it."""

    examine_with: Callable[[Source, str, Walk], Examination]
    bytes_left: int = MOST_BYTES
    entries_left: int = MOST_ENTRIES
    depth: int = 0
    deadline: float = field(default_factory=lambda: time.monotonic() + MOST_SECONDS)

    def spend_bytes(self, count: int) -> None:
        """Count decompressed bytes; raises LimitExceeded."""
        self.bytes_left -= count
        if self.bytes_left < 0:
            raise LimitExceeded("too_much_data", f"It unpacks to more than {MOST_BYTES >> 30} GiB.")
        self.check_time()

    def spend_entry(self) -> None:
        """Count an entry of an archive; raises LimitExceeded."""
        self.entries_left -= 1
        if self.entries_left < 0:
            raise LimitExceeded("too_many_entries", f"It has more than {MOST_ENTRIES} entries.")

    def check_time(self) -> None:
        """Raise LimitExceeded once the time is over."""
        if time.monotonic() > self.deadline:
            raise LimitExceeded("too_slow", f"It takes more than {MOST_SECONDS:.0f} seconds to scan.")

    def examine(self, source: Source, filename: str) -> Examination:
        """Examine a member by its content; raises LimitExceeded when it is nested too deep."""
        if self.depth >= DEEPEST:
            raise LimitExceeded("too_deep", f"Archives are nested more than {DEEPEST} deep.")
        self.depth += 1
        try:
            return self.examine_with(source, filename, self)
        finally:
            self.depth -= 1

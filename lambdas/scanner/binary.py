"""Bounded reading of binary formats: a cursor that never leaves its stretch, and how what it meets is reported."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lambdas.scanner.limits import LimitExceeded
from lambdas.scanner.report import Examination
from lambdas.scanner.source import Source

WINDOW = 64 * 1024
MOST_AT_ONCE = 16 * 1024 * 1024  # what a format's length field may make us hold
MOST_PARAMETERS = 2**53  # more is a lie, and no JSON number


class Malformed(Exception):
    """The bytes are not what their format promises; the message says what is wrong and where."""


@contextmanager
def noting(found: Examination) -> Iterator[None]:
    """Turn what ends a walk early into a finding: malformed is suspicious, too large is unscanned."""
    try:
        yield
    except Malformed as error:
        found.suspicious("malformed", str(error))
    except LimitExceeded as error:
        found.unscanned(error.code, str(error))


def parsed_json(text: str | bytes) -> Any:
    """Return a JSON document; raises Malformed, also for nesting and numbers that Python refuses."""
    try:
        return json.loads(text)
    except RecursionError:
        raise Malformed("The JSON is nested too deep.") from None
    except ValueError as error:
        raise Malformed(f"It is not JSON: {error}.") from None


def exactly(source: Source, offset: int, length: int) -> bytes:
    """Return a stretch of a source; raises Malformed when it is not there, LimitExceeded when it is too long."""
    if offset < 0 or length < 0 or offset + length > source.size:
        raise Malformed(f"{length} bytes at offset {offset} reach beyond the end of the file.")
    if length > MOST_AT_ONCE:
        raise LimitExceeded("too_much_data", f"{length} bytes at offset {offset} are too many to hold at once.")
    data = source.read(offset, length)
    if len(data) < length:
        raise Malformed(f"The file ends before offset {offset + length}.")
    return data


class Cursor:
    """Reads a source forwards through a window, and skips what need not be read."""

    def __init__(self, source: Source, position: int = 0) -> None:
        self._source = source
        self._window = b""
        self._base = 0
        self.position = position

    def take(self, length: int) -> bytes:
        """Return the next bytes, and stand behind them."""
        start = self.position - self._base
        if start < 0 or start + length > len(self._window):
            ahead = max(0, min(WINDOW, self._source.size - self.position))
            self._base, start = self.position, 0
            self._window = exactly(self._source, self.position, max(length, ahead))
        self.position += length
        return self._window[start : start + length]

    def skip(self, length: int) -> None:
        """Stand `length` bytes further on; raises Malformed beyond the end."""
        if length > self._source.size - self.position:
            raise Malformed(f"{length} bytes at offset {self.position} reach beyond the end of the file.")
        self.position += length

    def unpack(self, layout: str) -> tuple[Any, ...]:
        """Return the next values as `struct` names them."""
        return struct.unpack(layout, self.take(struct.calcsize(layout)))


def product(numbers: list[int]) -> int:
    """Return the product of a few numbers, 1 for none, and MOST_PARAMETERS where it would be more."""
    total = 1
    for number in numbers:
        total = min(total * number, MOST_PARAMETERS) if number else 0
    return total

"""Protocol buffers on the wire: their fields one after another, within bounds and without knowing their schema."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from lambdas.scanner.binary import Malformed, exactly
from lambdas.scanner.limits import LimitExceeded
from lambdas.scanner.source import Source

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types; groups (3, 4) are of no format that we read
LONGEST_VARINT = 10
WINDOW = 256 * 1024
MOST_FIELDS = 5_000_000
LONGEST_TEXT = 4096  # bytes of a name that we look at
LONGEST_NAME = 400  # bytes of one that we keep


class Field(NamedTuple):
    """A field: a varint's `value`, or where the bytes of another kind are."""

    number: int
    wire: int
    value: int
    start: int
    end: int

    def is_bytes(self, number: int) -> bool:
        """Return whether this is the field of that number, and a string, message or packed array."""
        return self.number == number and self.wire == BYTES

    def is_varint(self, number: int) -> bool:
        return self.number == number and self.wire == VARINT


def runs_of(*numbers: int) -> re.Pattern[bytes]:
    """Return what finds a run of varint or 32-bit fields of these low numbers, to pass over numbers in bulk."""
    varints = b"".join(re.escape(bytes([number << 3 | VARINT])) for number in numbers)
    fixed = b"".join(re.escape(bytes([number << 3 | FIXED32])) for number in numbers)
    return re.compile(rb"(?:[%s][\x80-\xff]{0,9}[\x00-\x7f]|[%s].{4})+" % (varints, fixed), re.DOTALL)


class Wire:
    """A source of messages, read forwards through a window; what is not asked for is skipped unread."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._window = b""
        self._base = 0
        self._fields = 0

    def fields(self, start: int, end: int, passing: re.Pattern[bytes] | None = None) -> Iterator[Field]:
        """Yield the fields of the message between two offsets, without those that `passing` finds runs of.

        Raises Malformed where a field leaves its message, LimitExceeded when there are too many.
        """
        position = start
        while position < end:
            if passing:
                position = self._passed(passing, position, end)
                if position >= end:
                    return
            self._fields += 1
            if self._fields > MOST_FIELDS:
                raise LimitExceeded("too_many_fields", f"It has more than {MOST_FIELDS} fields.")
            at = position
            key, position = self.varint(position, end)
            number, wire = key >> 3, key & 7
            if wire == VARINT:
                value, position = self.varint(position, end)
                yield Field(number, wire, value, at, position)
                continue
            if wire == BYTES:
                length, position = self.varint(position, end)
            elif wire in (FIXED32, FIXED64):
                length = 4 if wire == FIXED32 else 8
            else:
                raise Malformed(f"A field at offset {at} has the wire type {wire}, which is not used.")
            if not number or length > end - position:
                raise Malformed(f"Field {number} at offset {at} has {length} bytes, more than its message.")
            yield Field(number, wire, 0, position, position + length)
            position += length

    def varint(self, position: int, end: int) -> tuple[int, int]:
        """Return the number at a position and the position after it."""
        window, at = self._loaded(position, end)
        value = shift = 0
        for byte in window[at : at + min(LONGEST_VARINT, end - position)]:
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value & 0xFFFF_FFFF_FFFF_FFFF, position + shift // 7
        raise Malformed(f"The number at offset {position} does not end.")

    def numbers(self, field: Field) -> list[int]:
        """Return the signed numbers of a repeated field, packed or not."""
        if field.wire == VARINT:
            return [signed(field.value)]
        found, position = [], field.start
        while position < field.end and len(found) < LONGEST_TEXT:
            value, position = self.varint(position, field.end)
            found.append(signed(value))
        return found

    def text(self, field: Field) -> str:
        """Return a string; of a long one its beginning and what tells it from others."""
        length = min(field.end - field.start, LONGEST_TEXT)
        window, at = self._loaded(field.start, field.end, length)
        if length <= LONGEST_NAME:
            return window[at : at + length].decode(errors="replace")
        return f"{window[at : at + LONGEST_NAME].decode(errors='replace')}…{hash(window[at : at + length]):x}"

    def begins(self, field: Field, prefix: bytes) -> bool:
        """Tell whether a field's bytes begin with some."""
        window, at = self._loaded(field.start, field.end, len(prefix))
        return window.startswith(prefix, at) and field.end - field.start >= len(prefix)

    def _passed(self, passing: re.Pattern[bytes], position: int, end: int) -> int:
        while position < end:
            window, at = self._loaded(position, end)
            run = passing.match(window, at, min(len(window), end - self._base))
            if not run:
                return position
            position += run.end() - at
        return position

    def _loaded(self, position: int, end: int, length: int = LONGEST_VARINT) -> tuple[bytes, int]:
        """Return the window with at least `length` bytes of it at a position, unless the message ends before."""
        at = position - self._base
        if at < 0 or at + min(length, end - position) > len(self._window):
            self._window = exactly(self.source, position, min(max(WINDOW, length), self.source.size - position))
            self._base, at = position, 0
        return self._window, at


def signed(value: int) -> int:
    """Return a varint as the int64 that it stands for."""
    return value - 2**64 if value >= 2**63 else value

"""The bytes of a pickle, one argument after another, without ever holding a long one."""

from __future__ import annotations

from dataclasses import dataclass

from lambdas.scanner.source import Source

WINDOW = 1024 * 1024
LONGEST_KEPT = 64 * 1024  # longer arguments are passed over; no name of a module is as long


class BrokenPickle(Exception):
    """The bytes are not (or no longer) a pickle; what ran before counts nevertheless."""


@dataclass(frozen=True)
class Blob:
    """A constant that is too long or too uninteresting to keep, and where it is."""

    offset: int
    length: int


class Reader:
    """A source read forward, a window at a time."""

    def __init__(self, source: Source, offset: int = 0) -> None:
        self.source = source
        self._start = offset  # of the window
        self._window = b""
        self._at = 0  # inside the window

    def tell(self) -> int:
        return self._start + self._at

    def seek(self, offset: int) -> None:
        """Stand at another place; raises BrokenPickle beyond the end."""
        if offset > self.source.size:
            raise BrokenPickle("it ends inside a value")
        self._start, self._window, self._at = offset, b"", 0

    def at_end(self) -> bool:
        return self.tell() >= self.source.size

    def byte(self) -> int:
        """Return the next byte."""
        if self._at >= len(self._window):
            self._refill(1)
        value = self._window[self._at]
        self._at += 1
        return value

    def take(self, length: int) -> bytes:
        """Return the next bytes; not for long ones."""
        if self._at + length > len(self._window):
            self._refill(length)
        data = self._window[self._at : self._at + length]
        self._at += length
        return data

    def number(self, length: int) -> int:
        """Return the next bytes as an unsigned number."""
        return int.from_bytes(self.take(length), "little")

    def value(self, length: int) -> bytes | Blob:
        """Return a value of a told length: its bytes when they are few, else where they are."""
        if length <= LONGEST_KEPT:
            return self.take(length)
        offset = self.tell()
        self.skip(length)
        return Blob(offset, length)

    def skip(self, length: int) -> None:
        """Pass over bytes without reading them."""
        if self._at + length <= len(self._window):
            self._at += length
        else:
            self.seek(self.tell() + length)

    def line(self) -> bytes | None:
        """Return the rest of the line without its end, or None when it is longer than any name."""
        end = self._window.find(b"\n", self._at)
        if end < 0:
            self._slide(LONGEST_KEPT)
            end = self._window.find(b"\n", self._at)
        if end >= 0:
            data = self._window[self._at : end]
            self._at = end + 1
            return data if len(data) <= LONGEST_KEPT else None
        while end < 0:
            self._at = len(self._window)
            self._refill(1)
            end = self._window.find(b"\n", self._at)
        self._at = end + 1
        return None

    def _refill(self, length: int) -> None:
        self._slide(length)
        if len(self._window) < length:
            raise BrokenPickle("it ends inside a value")

    def _slide(self, length: int) -> None:
        """Begin the window here, with as many bytes as are asked for if there are."""
        self._start += self._at
        self._at = 0
        self._window = self.source.read(self._start, max(length, WINDOW))

"""A CSV file as blocks of whole rows, cut where no quoted field is open.

Quotation marks are followed by arithmetic on their positions. Where they are written as they should be, the first of
each pair stands after a delimiter or line end and the second before one, or before another mark, which makes both one
character of the field; then every second mark closes a field. Only blocks with marks elsewhere (`5" pipe`, which is
allowed in a field that is not quoted) are followed mark by mark.
"""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from lambdas.processing import csv_faults
from lambdas.processing.report import InvalidFile

BLOCK = 2 * 1024 * 1024  # bytes read at a time
WIDE = 8 * 1024 * 1024  # of a table with many columns: for each of them something is done once a block
NEAR = 50  # quoted fields
LINE_FEED, RETURN, QUOTE = b'\n\r"'

Positions = npt.NDArray[np.int64]
NONE: Positions = np.empty(0, np.int64)


@dataclass(frozen=True)
class Block:
    """Whole rows in UTF-8; `row` is the number of the first, as a spreadsheet shows it, `quotes` where fields are
    quoted: where each begins and ends, in turn.
    """

    data: bytes
    row: int
    quotes: Positions

    def rows(self) -> int:
        """Return how many rows there are, empty lines among them."""
        open_end = bool(self.data) and not self.data.endswith((b"\n", b"\r"))
        if not len(self.quotes):
            lone = self.data.count(b"\r") - self.data.count(b"\r\n") if b"\r" in self.data else 0
            return self.data.count(b"\n") + lone + open_end
        return len(row_ends(self.data, self.quotes)) + open_end


class CsvText:
    """A file's bytes in UTF-8, whatever it is written in; its `script` is known at the end."""

    def __init__(self, stream: BinaryIO, encoding: str) -> None:
        self.block = BLOCK
        self._stream, self._encoding = stream, encoding
        self._ascii = self._utf8 = True  # so far, if read as Windows-1252

    def pieces(self) -> Iterator[tuple[bytes, bool]]:
        """Yield pieces, and whether one is the last, which is empty or ends a character; raises UnicodeDecodeError."""
        decoder = codecs.getincrementaldecoder(self._encoding)()
        utf8 = codecs.getincrementaldecoder("utf-8")()
        last = False
        while not last:
            data = self._stream.read(self.block)
            last = not data
            plain = data.isascii()
            self._ascii = self._ascii and plain
            if self._encoding == "cp1252" and self._utf8:
                try:
                    utf8.decode(data, final=last)
                except UnicodeDecodeError:
                    self._utf8 = False
            # ASCII, what most files hold, passes as it is, unless the piece before ended inside a character.
            if plain and self._encoding == "utf-8" and not decoder.getstate()[0] and data:
                yield data, last
            else:
                yield decoder.decode(data, final=last).encode(), last

    def script(self) -> str:
        """Return `ascii`, `utf-8`, `utf-16` or `cp1252`: what reads the file right, the first being part of two."""
        if self._encoding == "utf-16":
            return "utf-16"
        if self._ascii:
            return "ascii"
        return "utf-8" if self._encoding != "cp1252" or self._utf8 else "cp1252"


class Blocks:
    """A file's rows, block by block."""

    def __init__(self, text: CsvText, delimiter: str) -> None:
        self._text, self._delimiter = text, delimiter
        self._width: int | None = None

    def expect(self, width: int) -> None:
        """Say, once the header is known, how many fields each row should have."""
        self._width = width
        if width > 100:
            self._text.block = max(self._text.block, WIDE)

    def __iter__(self) -> Iterator[Block]:
        """Yield the blocks; raises InvalidFile, and UnicodeDecodeError for bytes that are not of the encoding."""
        row, pending = 1, b""
        for data, last in self._text.pieces():
            pending += data
            if b"\0" in data:
                self.explain(pending, row, whole=False)
            try:
                quotes = quote_positions(pending, self._delimiter)
            except StrayQuote:
                self.explain(pending, row, whole=last)
                raise
            end = len(pending) if last else last_row_end(pending, quotes)
            if (last and len(quotes) % 2) or end > csv_faults.MAX_LINE:
                self.explain(pending[:end], row, whole=True)
            if not end and len(pending) > csv_faults.MAX_FIELD:
                borders = np.flatnonzero(np.frombuffer(pending, np.uint8) == ord(self._delimiter))
                csv_faults.check_start(len(outside(borders, quotes)) + 1, row, self._width, self._delimiter)
                self.explain(pending, row, whole=False)
            if end:
                block = Block(pending[:end], row, quotes[: np.searchsorted(quotes, end)])
                yield block
                row, pending = row + block.rows(), pending[end:]

    def explain(self, data: bytes, row: int, *, whole: bool) -> None:
        """Raise InvalidFile for the first fault in some rows, which need not end with one; return if there is none."""
        csv_faults.explain(data, row, self._delimiter, whole=whole, width=self._width)


class StrayQuote(InvalidFile):
    """A quotation mark stands inside a quoted field."""


def quote_positions(data: bytes, delimiter: str) -> Positions:
    """Return where quoted fields begin and end, in turn; raises StrayQuote for a mark inside one.

    The data begins with a row, and may end anywhere: then the last field may not be closed.
    """
    if b'"' not in data:
        return NONE
    found = np.frombuffer(data, np.uint8)
    quotes = np.flatnonzero(found == QUOTE)
    borders = np.zeros(256, bool)
    borders[[LINE_FEED, RETURN, QUOTE, ord(delimiter)]] = True
    opening, closing = quotes[::2], quotes[1::2]
    opening, closing = opening[opening > 0], closing[closing < len(found) - 1]
    if borders[found[opening - 1]].all() and borders[found[closing + 1]].all():
        return quotes
    return followed(data, quotes, delimiter)


def followed(data: bytes, quotes: Positions, delimiter: str) -> Positions:
    """Return what `quote_positions` does, mark by mark."""
    starts, ends = f"\n\r{delimiter}".encode(), f'\n\r"{delimiter}'.encode()
    kept: list[int] = []
    for place in quotes.tolist():
        if len(kept) % 2:
            if place + 1 < len(data) and data[place + 1] not in ends:
                raise StrayQuote("A quotation mark stands inside a quoted field; write it twice.")
            kept.append(place)
        elif place == 0 or data[place - 1] in starts or (kept and kept[-1] == place - 1):
            kept.append(place)
    return np.array(kept, np.int64)


def last_row_end(data: bytes, quotes: Positions) -> int:
    """Return the length of the whole rows at the beginning of some data, 0 if there is none."""
    # Backwards through the text between quoted fields: the last row end is mostly near. A return at the very end of
    # the data may be half of one.
    end = len(data) - data.endswith(b"\r")
    closing = len(quotes) - len(quotes) % 2
    if closing < len(quotes):
        end = int(quotes[closing])
    for last in range(closing - 1, max(-1, closing - 2 * NEAR), -2):
        begin = int(quotes[last])
        found = max(data.rfind(b"\n", begin, end), data.rfind(b"\r", begin, end))
        if found >= 0:
            return found + 1
        end = int(quotes[last - 1])
    if closing > 2 * NEAR:
        ends = row_ends(data, quotes)
        ends = ends[ends < end]
        return int(ends[-1]) + 1 if len(ends) else 0
    return max(data.rfind(b"\n", 0, end), data.rfind(b"\r", 0, end)) + 1


def row_ends(data: bytes, quotes: Positions) -> Positions:
    """Return the places of the last characters of rows."""
    found = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(found == LINE_FEED)
    if b"\r" in data:
        returns = np.flatnonzero(found == RETURN)
        followers = found[np.minimum(returns + 1, len(found) - 1)]
        ends = np.union1d(ends, returns[followers != LINE_FEED])
    return outside(ends, quotes)


def outside(places: Positions, quotes: Positions) -> Positions:
    """Return those places that are in no quoted field."""
    return places[np.searchsorted(quotes, places) % 2 == 0]

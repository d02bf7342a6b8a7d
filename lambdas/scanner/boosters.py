"""Gradient boosting models of XGBoost (UBJSON) and LightGBM (text): data that no loader runs, walked to its end."""

from __future__ import annotations

import re

from lambdas.scanner.binary import Cursor, Malformed, noting
from lambdas.scanner.limits import LimitExceeded
from lambdas.scanner.report import Examination
from lambdas.scanner.source import Source

MOST_VALUES = 5_000_000
DEEPEST = 64
LONGEST_TEXT = 64 * 1024  # of what we look at; longer ones are stepped over
MOST_FEATURES = 10_000_000
HEAD = 64 * 1024
WIDTHS = {b"i": 1, b"U": 1, b"C": 1, b"I": 2, b"l": 4, b"d": 4, b"L": 8, b"D": 8, b"T": 0, b"F": 0, b"Z": 0, b"N": 0}
INTEGERS = {b"i": True, b"U": False, b"I": True, b"l": True, b"L": True}  # -> whether signed
OBJECT, LIST = -1, -2  # what is open; a number from 0 is what is left of a counted list


def scan(source: Source, filename: str) -> Examination:
    """Examine a model by its first byte: UBJSON begins with a brace, LightGBM's text with a word."""
    head = source.read(0, 4)
    found = Examination("lightgbm" if head == b"tree" else "xgboost", "other")
    with noting(found):
        if head == b"tree":
            lightgbm(source, found)
        elif head.startswith(b"{"):
            told(found, Ubjson(source).features())
        else:
            found.unscanned("old_format", "It is in XGBoost's old binary format: save it again as .ubj or .json.")
    return found


def told(found: Examination, features: str | None) -> None:
    """Take over how many features a model was fitted to."""
    if features and features.isdecimal() and 0 < int(features[:12]) <= MOST_FEATURES:
        found.metadata["input_shape"] = [int(features[:12])]


def lightgbm(source: Source, found: Examination) -> None:
    """Examine LightGBM's text, which is lines of ASCII; raises Malformed."""
    for number, chunk in enumerate(source.chunks()):
        if b"\0" in chunk:
            raise Malformed(f"It is no text: there is a NUL in its megabyte {number}.")
    last = re.search(rb"^max_feature_idx=(\d{1,8})\r?$", source.read(0, HEAD), re.MULTILINE)
    if not last:
        raise Malformed("It is no LightGBM model: it does not say how many features it has.")
    told(found, str(int(last[1]) + 1))


class Ubjson:
    """One walk over Universal Binary JSON."""

    def __init__(self, source: Source) -> None:
        self.cursor = Cursor(source)
        self.size = source.size
        self.open: list[int] = []
        self.found: str | None = None

    def features(self) -> str | None:
        """Return the model's number of features; raises Malformed, LimitExceeded."""
        self.value(self.cursor.take(1), "")
        for _ in range(MOST_VALUES):
            if not self.open:
                break
            self.step()
        else:
            raise LimitExceeded("too_many_values", f"It has more than {MOST_VALUES} values.")
        if self.cursor.position != self.size:
            raise Malformed(f"{self.size - self.cursor.position} bytes follow the end of the model.")
        return self.found

    def step(self) -> None:
        """Take the next value of what is open, or close that."""
        here = self.open[-1]
        if here == 0:
            self.open.pop()
            return
        marker = self.cursor.take(1)
        if (here == OBJECT and marker == b"}") or (here == LIST and marker == b"]"):
            self.open.pop()
        elif here == OBJECT:
            key = self.text(self.integer(marker))
            self.value(self.cursor.take(1), key)
        else:
            if here > 0:
                self.open[-1] -= 1
            self.value(marker, "")

    def value(self, marker: bytes, key: str) -> None:
        """Take a value, or open it."""
        if marker == b"{":
            self.open.append(OBJECT)
        elif marker == b"[":
            self.list()
        elif marker in (b"S", b"H"):
            text = self.text(self.integer(self.cursor.take(1)))
            if key == "num_feature":
                self.found = text
        elif marker in WIDTHS:
            self.cursor.skip(WIDTHS[marker])
        else:
            raise Malformed(f"There is no value of type {marker!r} at offset {self.cursor.position - 1}.")
        if len(self.open) > DEEPEST:
            raise Malformed(f"It is nested more than {DEEPEST} deep.")

    def list(self) -> None:
        """Open a list, or step over one of numbers."""
        start = self.cursor.position
        if start >= self.size:
            raise Malformed("It ends within a list.")
        marker = self.cursor.take(1)
        if marker == b"$":
            kind = self.cursor.take(1)
            if kind not in WIDTHS or self.cursor.take(1) != b"#":
                raise Malformed(f"The list at offset {start} is of an unknown type.")
            self.cursor.skip(self.integer(self.cursor.take(1)) * WIDTHS[kind])
        elif marker == b"#":
            self.open.append(self.integer(self.cursor.take(1)))
        else:
            self.cursor.position = start
            self.open.append(LIST)

    def integer(self, marker: bytes) -> int:
        """Return a length or count; raises Malformed."""
        if marker not in INTEGERS:
            raise Malformed(f"There is no length at offset {self.cursor.position - 1}.")
        number = int.from_bytes(self.cursor.take(WIDTHS[marker]), "big", signed=INTEGERS[marker])
        if not 0 <= number <= self.size:
            raise Malformed(f"The length at offset {self.cursor.position} is {number}.")
        return number

    def text(self, length: int) -> str:
        """Return a text, or nothing of a long one."""
        if length > LONGEST_TEXT:
            self.cursor.skip(length)
            return ""
        return self.cursor.take(length).decode(errors="replace")

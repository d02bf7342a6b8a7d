"""Reads the objects of a JSON array one by one: a window goes over the text, and never holds more than one of them."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from lambdas.processing.json_text import Malformed, Unreadable, parse, refuse_many_values
from lambdas.processing.report import InvalidFile
from lambdas.processing.text_lines import MAX_LINE

SPACE = re.compile(r"[ \t\n\r]*")


def objects_of(pieces: Iterable[str]) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Yield (row from 1, its characters, row) of the array that a text is; raises InvalidFile for any other text."""
    window = Window(iter(pieces))
    if window.next() != "[":
        raise InvalidFile("The file does not begin with [: write an array of objects, [{...}, {...}].")
    window.position += 1
    row = 0
    if window.next() != "]":
        while True:
            row += 1
            yield row, *window.object(row)
            mark = window.next()
            window.position += 1
            if mark == "]":
                break
            if mark != ",":
                where = "the file ends" if not mark else f"line {window.line:,} goes on with {mark!a}"
                raise InvalidFile(f"After row {row:,} {where}: write a comma between rows, and ] after the last.")
    else:
        window.position += 1
    if window.next():
        raise InvalidFile(f"Line {window.line:,} goes on after the end of the array: a file holds one array.")


class Window:
    """The part of a text that is being read: what was read before `position` goes when more is needed."""

    def __init__(self, pieces: Iterator[str]) -> None:
        self._pieces = pieces
        self._text = ""
        self._first_line = 1  # of the window
        self.position = 0

    @property
    def line(self) -> int:
        """Return the line of the position, from 1."""
        return self._line_of(self.position)

    def next(self) -> str:
        """Go to the next character that is no space and return it; empty at the end of the text."""
        while (end := self._after_space()) == len(self._text):
            self.position = end
            if not self._extend(1):
                return ""
        self.position = end
        return self._text[end]

    def object(self, row: int) -> tuple[int, dict[str, Any]]:
        """Return how many characters the next object has, and the object; raises InvalidFile."""
        if (mark := self.next()) != "{":
            what = f"begins with {mark!a}" if mark else "is missing"
            raise InvalidFile(f"Row {row:,} (line {self.line:,}) {what}: every row must be an object, {{...}}.")
        try:
            value, end = self._parse()
        except Malformed as error:
            at = self._line_of(error.at)
            raise InvalidFile(f"Row {row:,} (line {self.line:,}) {error}, in line {at:,}.") from error
        except Unreadable as error:
            raise InvalidFile(f"Row {row:,} (line {self.line:,}) {error}.") from error
        size = end - self.position
        self.position = end
        return size, value

    def _parse(self) -> tuple[dict[str, Any], int]:
        while True:
            try:
                return parse(self._text, self.position)
            except Malformed:
                length = len(self._text) - self.position
                if length > MAX_LINE:
                    raise Unreadable(f"has more than {MAX_LINE:,} characters: make several rows of it") from None
                # In steps that grow: what is parsed again and again stays a few times the row.
                if not self._extend(length // 4):
                    raise
                refuse_many_values(self._text, self.position)

    def _extend(self, characters: int) -> bool:
        """Read on by at least so many characters; return whether there were any."""
        parts, length = list[str](), 0
        for piece in self._pieces:
            parts.append(piece)
            length += len(piece)
            if length >= max(characters, 1):
                break
        self._first_line = self.line
        self._text = self._text[self.position :] + "".join(parts)
        self.position = 0
        return length > 0

    def _after_space(self) -> int:
        found = SPACE.match(self._text, self.position)
        return found.end() if found else self.position

    def _line_of(self, position: int) -> int:
        return self._first_line + self._text.count("\n", 0, position)

"""A JSON document of any size, walked through from its beginning: what is one value at a time lies in memory."""

from collections.abc import Iterator
from typing import Any

from lambdas.processing.json_array import Window
from lambdas.processing.json_text import Unreadable
from lambdas.processing.report import InvalidFile
from lambdas.processing.source import InputFile
from lambdas.processing.text_lines import characters

PIECE = 64 * 1024  # characters


class Document(Window):
    """A JSON document of any size, walked through from its beginning. Raises InvalidFile for what is no JSON."""

    def __init__(self, file: InputFile) -> None:
        super().__init__(
            text[at : at + PIECE] for text in characters(file, "utf-8-sig") for at in range(0, len(text), PIECE)
        )

    def value(self) -> Any:
        """Return the next value, whole."""
        self.next()
        while True:
            try:
                value, end = self._parse()
            except Unreadable as error:
                raise InvalidFile(f"Line {self.line:,} {error}.") from error
            size = end - self.position
            # A number near the end of the window may go on behind it, as `1.5e+9` does after `1.5e+`.
            if isinstance(value, str | dict | list) or end + 4 <= len(self._text) or not self._extend(4):
                self.position += size
                return value

    def expect(self, marks: str) -> str:
        """Go past one of these characters and return it."""
        mark = self.next()
        if not mark or mark not in marks:
            where = f"goes on with {mark!a}" if mark else "ends"
            raise InvalidFile(f"Line {self.line:,} {where} where one of {' '.join(marks)} should be.")
        self.position += 1
        return mark

    def members(self) -> Iterator[str]:
        """Yield the keys of the object that comes next; whoever gets one goes past its value."""
        self.expect("{")
        if self.next() == "}":
            self.position += 1
            return
        while True:
            key = self.value()
            self.expect(":")
            yield str(key)
            if self.expect(",}") == "}":
                return

    def skip(self) -> None:
        """Go past the next value, however large an array it is."""
        if self.next() == "[":
            for _ in self.items():
                pass
        else:
            self.value()

    def items(self) -> Iterator[Any]:
        """Yield the values of the array that comes next."""
        self.expect("[")
        if self.next() == "]":
            self.position += 1
            return
        while True:
            yield self.value()
            if self.expect(",]") == "]":
                return

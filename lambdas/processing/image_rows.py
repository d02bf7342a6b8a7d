"""What annotations say of images, by file name, until the image's turn comes; most of it waits on disk."""

import hashlib
import json
import posixpath
import tempfile
import unicodedata
from array import array
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from lambdas.processing.report import InvalidFile

MAX_ROWS = 1_000_000
IN_MEMORY = 32 * 1024 * 1024  # bytes of rows before they go to disk

Row = dict[str, Any]


class Rows:
    """Rows by the path of their image; about 200 bytes of memory for each."""

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.SpooledTemporaryFile(IN_MEMORY, dir=str(folder))  # noqa: SIM115 - closed by __exit__
        self._offsets = array("q")
        self._first: dict[bytes, int] = {}
        self._more: dict[int, list[int]] = {}  # further rows of the same image, by the first
        self._taken = bytearray()

    def __len__(self) -> int:
        return len(self._offsets)

    def number(self, path: str) -> int | None:
        """Return the number of an image's first row, None without one."""
        return self._first.get(key(path))

    def add(self, path: str, row: Row) -> int:
        """Keep a row of an image; returns its number, from 0. Raises InvalidFile for one too many, and for infinity."""
        number = len(self._offsets)
        if number == MAX_ROWS:
            raise InvalidFile(f"More than {MAX_ROWS:,} images are annotated: make several data sets of them.")
        self._offsets.append(self._file.tell())
        self._taken.append(0)
        try:
            self._file.write(json.dumps(row, allow_nan=False).encode() + b"\n")
        except ValueError as error:
            raise InvalidFile(f"The row of {path!r:.120} has a number outside ±1.8e308: write it as text.") from error
        first = self._first.setdefault(key(path), number)
        if first != number:
            self._more.setdefault(first, []).append(number)
        return number

    def take(self, path: str) -> list[tuple[int, Row]]:
        """Return the rows of an image with their numbers; nothing when it was asked for before."""
        first = self._first.get(key(path))
        if first is None or self._taken[first]:
            return []
        numbers = [first, *self._more.get(first, [])]
        for number in numbers:
            self._taken[number] = 1
        return [(number, self._read(number)) for number in numbers]

    def left(self) -> Iterator[Row]:
        """Yield the rows that nobody took."""
        return (self._read(number) for number, taken in enumerate(self._taken) if not taken)

    def __enter__(self) -> "Rows":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def _read(self, number: int) -> Row:
        self._file.seek(self._offsets[number])
        return json.loads(self._file.readline())


def key(path: str) -> bytes:
    """Return what a path is found by: 16 bytes, whatever way its accents are written."""
    path = path if path.isascii() else unicodedata.normalize("NFC", path)
    return hashlib.blake2b(path.encode(errors="replace"), digest_size=16).digest()


def joined(folder: str, file_name: str) -> str:
    """Return the path in the archive of a file that annotations in a folder name."""
    return posixpath.normpath(posixpath.join(folder, file_name.replace("\\", "/")))

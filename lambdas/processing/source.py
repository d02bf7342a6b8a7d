"""The files that processing reads: opened by name, wherever they lie, and hashed while they are read in order."""

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

BUFFER = 1024 * 1024


@dataclass
class InputFile:
    """One file of a dataset. `open` gives its bytes from the start, seekable; whoever opens it closes it."""

    name: str
    size: int
    open: Callable[[], BinaryIO]
    sha256: str | None = None
    """Known once the file was read in order to its end."""

    def in_order(self) -> io.BufferedReader:
        """Open the file to be read once from start to end: that also finds its SHA-256."""
        return io.BufferedReader(HashingReader(self), BUFFER)

    def digest(self) -> str:
        """Return the SHA-256, reading the file for it unless that was done."""
        if self.sha256 is None:
            with self.in_order() as stream:
                while stream.read(BUFFER):
                    pass
        return cast(str, self.sha256)


class HashingReader(io.RawIOBase):
    """A file's bytes in order; tells the file its SHA-256 when the end was read."""

    def __init__(self, file: InputFile) -> None:
        self._file = file
        self._stream = file.open()
        self._hash = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        self._hash.update(data)
        if not data:
            self._file.sha256 = self._hash.hexdigest()
        return len(data)

    def close(self) -> None:
        self._stream.close()
        super().close()


def local_file(path: Path) -> InputFile:
    """Return a file on disk."""
    return InputFile(path.name, path.stat().st_size, lambda: path.open("rb"))

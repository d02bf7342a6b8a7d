"""Where a scanner reads from: an object behind a presigned URL, bytes in memory, a window, a decompressed member."""

from __future__ import annotations

import http.client
import io
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import BinaryIO, cast
from urllib.parse import urlsplit

BLOCK = 4 * 1024 * 1024
BLOCKS_KEPT = 8
TIMEOUT = 30  # seconds without a byte
ATTEMPTS = 3
IN_MEMORY = 64 * 1024 * 1024  # what a scan holds at once at most


class DownloadError(Exception):
    """The object could not be read as it was announced; a later attempt may succeed."""


class Source(ABC):
    """Bytes of a known size that can be read anywhere. None of its subclasses writes anything anywhere."""

    size: int

    @abstractmethod
    def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset`, or fewer where the source ends; b"" beyond."""

    def stream(self, offset: int = 0) -> BinaryIO:
        """Return a seekable file object over the source, standing at `offset`."""
        stream = io.BufferedReader(SourceFile(self), buffer_size=1024 * 1024)
        stream.seek(offset)
        return cast(BinaryIO, stream)

    def chunks(self, offset: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Yield the bytes from `offset` to `end` in order, a megabyte at a time."""
        end = self.size if end is None else min(end, self.size)
        while offset < end and (chunk := self.read(offset, min(1024 * 1024, end - offset))):
            yield chunk
            offset += len(chunk)


class SourceFile(io.RawIOBase):
    """A source as an unbuffered file object."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._source.size}[whence]
        if start + offset < 0:
            raise ValueError("A position before the start.")
        self._position = start + offset
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._source.read(self._position, len(buffer))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


class BytesSource(Source):
    """Bytes that are in memory already."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)

    def read(self, offset: int, length: int) -> bytes:
        return self._data[offset : offset + length] if offset < self.size else b""


class FileSource(Source):
    """An open file; the caller closes it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = file.seek(0, io.SEEK_END)

    def read(self, offset: int, length: int) -> bytes:
        self._file.seek(offset)
        return self._file.read(length)


class WindowSource(Source):
    """A stretch of another source, for members that are stored as they are."""

    def __init__(self, source: Source, offset: int, size: int) -> None:
        self._source = source
        self._offset = offset
        self.size = max(0, min(size, source.size - offset))

    def read(self, offset: int, length: int) -> bytes:
        return self._source.read(self._offset + offset, max(0, min(length, self.size - offset)))


class ForwardSource(Source):
    """What only can be produced from its start, such as a decompressed member; reading backwards starts anew.

    It keeps the last block or two, so small steps back are free. `produce` counts its own work against a budget.
    """

    def __init__(self, produce: Callable[[], Iterator[bytes]], size: int) -> None:
        self._produce = produce
        self.size = size
        self._restart()

    def _restart(self) -> None:
        self._pieces = self._produce()
        self._kept = b""
        self._start = 0  # where _kept begins

    def read(self, offset: int, length: int) -> bytes:
        length = max(0, min(length, self.size - offset))
        if offset < self._start:
            self._restart()
        while self._start + len(self._kept) < offset + length:
            piece = next(self._pieces, b"")
            if not piece:
                break
            surplus = len(self._kept) if self._start + len(self._kept) <= offset - BLOCK else 0
            surplus = surplus or max(0, min(offset - self._start, len(self._kept)) - BLOCK)
            self._kept = self._kept[surplus:] + piece
            self._start += surplus
        return self._kept[offset - self._start : offset - self._start + length]


class HttpSource(Source):
    """An object behind a URL that answers Range requests, read in blocks of which the last few are kept.

    Raises DownloadError when the object is not of the announced size or changes meanwhile.
    """

    def __init__(self, url: str, size: int) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("The URL is not an http or https one.")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname, parts.port, timeout=TIMEOUT)
        self._target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._tag: str | None = None
        self.size = size
        self.bytes_read = 0

    def close(self) -> None:
        self._connection.close()

    def read(self, offset: int, length: int) -> bytes:
        end = min(offset + length, self.size)
        pieces = []
        while offset < end:
            number, start = divmod(offset, BLOCK)
            piece = self._block(number)[start : start + end - offset]
            pieces.append(piece)
            offset += len(piece)
        return b"".join(pieces)

    def _block(self, number: int) -> bytes:
        if number in self._blocks:
            self._blocks.move_to_end(number)
            return self._blocks[number]
        first = number * BLOCK
        last = min(first + BLOCK, self.size) - 1
        block = self._fetch(first, last)
        self._blocks[number] = block
        if len(self._blocks) > BLOCKS_KEPT:
            self._blocks.popitem(last=False)
        return block

    def _fetch(self, first: int, last: int) -> bytes:
        for attempt in range(ATTEMPTS):
            try:
                return self._fetch_once(first, last)
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                if attempt == ATTEMPTS - 1:
                    raise DownloadError(f"The object could not be read: {type(error).__name__}.") from error
        raise AssertionError("unreachable")

    def _fetch_once(self, first: int, last: int) -> bytes:
        self._connection.request("GET", self._target, headers={"Range": f"bytes={first}-{last}"})
        answer = self._connection.getresponse()
        wanted = last - first + 1
        if answer.status != 206 or answer.getheader("Content-Range") != f"bytes {first}-{last}/{self.size}":
            self._connection.close()  # whatever else it says is not read
            told = answer.getheader("Content-Range")
            raise DownloadError(
                f"The storage answered {answer.status} with the range {told} instead of {wanted} bytes."
            )
        tag = answer.getheader("ETag")
        if self._tag is not None and tag != self._tag:
            raise DownloadError("The object changed while it was read.")
        self._tag = tag
        data = answer.read(wanted)
        if len(data) != wanted:
            raise http.client.IncompleteRead(data, wanted - len(data))
        answer.read()  # nothing is left; it frees the connection for the next request
        self.bytes_read += len(data)
        return data

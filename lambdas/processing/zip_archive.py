"""A ZIP of any size read strictly, file by file, from a stream: it has one meaning, or it is refused.

Nothing is ever unpacked to disk. The directory is checked before the first file is read, every entry's own header
when its turn comes, and its size and checksum while its bytes are unpacked.
"""

import hashlib
import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import BinaryIO, cast

from lambdas.common.zip_directory import (
    DESCRIPTOR,
    LOCAL,
    PACK_AGAIN,
    STORED,
    Entry,
    ZipProblem,
    entries_of,
    refuse,
    refuse_entry,
    sizes_64,
)
from lambdas.processing.report import InvalidFile
from lambdas.processing.source import InputFile

CHUNK = 256 * 1024
HINTS = 0x0006  # flags that say how hard the packer tried; writers disagree on them
LONGEST_DESCRIPTOR = 24

Member = Entry
"""A file in an archive: `name`, and `size` in bytes unpacked, at most 256 MiB, of JSON 1 GiB."""


class Archive:
    """The files in a ZIP, without folders and without what systems add (`__MACOSX`, `Thumbs.db`, dot files).

    `with Archive(file) as archive: for member in archive: data = archive.read(member)`. `members` is the list in the
    order of their bytes; any may be read at any time. Going through all of them finds the SHA-256 of the file on the
    way. Raises InvalidFile, naming the file, for a ZIP that is not honest.
    """

    def __init__(self, file: InputFile) -> None:
        self._file = file
        self._stream = file.open()
        self._hash, self._hashed = hashlib.sha256(), 0
        self._checked: tuple[Entry, int] | None = None  # whose header was read last: reading goes on behind it
        try:
            with self._naming():
                self._entries = entries_of(self._bytes, file.size)
        except BaseException:
            self.close()
            raise
        self.members: list[Member] = [entry for entry in self._entries if not entry.is_folder and not entry.is_skipped]

    def __enter__(self) -> "Archive":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Member]:
        """Yield the files in the order of their bytes; the headers of all entries are checked."""
        with self._naming():
            for entry in self._entries:
                self._pass_over(entry.offset)
                self._data_start(entry)
                if not entry.is_folder and not entry.is_skipped:
                    yield entry
            self._pass_over(self._file.size)
        self._file.sha256 = self._hash.hexdigest()

    def read(self, member: Member) -> bytes:
        """Return the bytes of a file, which is small enough for memory unless it is JSON.

        Raises InvalidFile unless they have the size and the checksum that it says.
        """
        whole = io.BytesIO()
        for chunk in self.chunks(member):
            whole.write(chunk)
        return whole.getvalue()

    def chunks(self, member: Member) -> Iterator[bytes]:
        """Yield the bytes of a file piece by piece, in little memory; checked as by `read` when the last came."""
        with self._naming():
            crc32 = size = 0
            for chunk in self._unpacked(member):
                crc32, size = zlib.crc32(chunk, crc32), size + len(chunk)
                yield chunk
            if size != member.size:
                refuse_entry(member.name, f"has another size than it says: {PACK_AGAIN}")
            if crc32 != member.crc32:
                refuse_entry(member.name, f"is damaged, its checksum is wrong: {PACK_AGAIN}")

    def file(self, member: Member) -> InputFile:
        """Return a file in the archive as one to open; it is read in order only."""
        chunks = self.chunks
        return InputFile(
            member.name, member.size, lambda: cast(BinaryIO, io.BufferedReader(ChunkReader(chunks(member))))
        )

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    @contextmanager
    def _naming(self) -> Iterator[None]:
        """Let what is wrong with the ZIP begin with its name."""
        try:
            yield
        except ZipProblem as problem:
            raise InvalidFile(f"{self._file.name} {problem}") from problem

    def _bytes(self, offset: int, length: int) -> bytes:
        """Return bytes of the file; those that go on where the last hashed ones ended are hashed."""
        self._stream.seek(offset)
        data = self._stream.read(length)
        if len(data) != length:
            refuse("is shorter than it says: upload it again.")
        if offset <= self._hashed < offset + length:
            self._hash.update(memoryview(data)[self._hashed - offset :])
            self._hashed = offset + length
        return data

    def _pass_over(self, stop: int) -> None:
        """Hash what was not read up to `stop`."""
        while self._hashed < stop:
            self._bytes(self._hashed, min(CHUNK, stop - self._hashed))

    def _data_start(self, entry: Entry) -> int:
        """Return where an entry's data begin. Raises ZipProblem unless its header says what the directory says."""
        if self._checked and self._checked[0] is entry:
            return self._checked[1]
        name = entry.name.encode()
        header = self._bytes(entry.offset, 30 + len(name))
        signature, _, flags, method, _, _, crc32, packed, size, name_length, extra_length = struct.unpack_from(
            "<4s5H3I2H", header
        )
        if signature != LOCAL:
            refuse_entry(entry.name, f"is not where the directory says: {PACK_AGAIN}, with ZIP64 when it is over 4 GiB")
        start = entry.offset + len(header) + extra_length
        left = entry.limit - start - entry.packed
        if left < 0:
            refuse_entry(entry.name, f"overlaps another one: {PACK_AGAIN}")
        extra = self._bytes(entry.offset + len(header), extra_length)
        size, packed = sizes_64(name, extra, size, packed)
        same = (flags | HINTS, method, name_length, header[30:]) == (entry.flags | HINTS, entry.method, len(name), name)
        told, later = (size, packed, crc32), (0, 0, 0)
        if not same or (told != (entry.size, entry.packed, entry.crc32) and not (flags & DESCRIPTOR and told == later)):
            refuse_entry(entry.name, f"has a header that differs from the directory: {PACK_AGAIN}")
        if left > (LONGEST_DESCRIPTOR if flags & DESCRIPTOR else 0):
            refuse_entry(entry.name, f"has other bytes behind it: {PACK_AGAIN}")
        self._checked = entry, start
        return start

    def _unpacked(self, entry: Entry) -> Iterator[bytes]:
        """Yield an entry's bytes; stops soon after the size that it says."""
        start = self._data_start(entry)
        stop = start + entry.packed
        packed = (self._bytes(at, min(CHUNK, stop - at)) for at in range(start, stop, CHUNK))
        yield from packed if entry.method == STORED else inflated(entry, packed)
        if entry.flags & DESCRIPTOR and self._bytes(stop, entry.limit - stop) not in descriptors(entry):
            refuse_entry(entry.name, f"has other bytes behind it: {PACK_AGAIN}")


class ChunkReader(io.RawIOBase):
    """Pieces of bytes as a stream."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count


def inflated(entry: Entry, packed: Iterator[bytes]) -> Iterator[bytes]:
    """Yield what deflated bytes unpack to. Raises ZipProblem when damaged, or when it is not the size that it says."""
    inflater, left = zlib.decompressobj(-zlib.MAX_WBITS), entry.size
    try:
        for rest in packed:
            while rest and not inflater.eof:
                chunk = inflater.decompress(rest, CHUNK)
                rest, left = inflater.unconsumed_tail, left - len(chunk)
                if left < 0:
                    refuse_entry(entry.name, f"has another size than it says: {PACK_AGAIN}")
                yield chunk
            if rest or inflater.unused_data:
                refuse_entry(entry.name, f"has other bytes behind it: {PACK_AGAIN}")
        while not inflater.eof and (chunk := inflater.decompress(b"", CHUNK)):
            yield chunk
    except zlib.error:
        refuse_entry(entry.name, f"is damaged: {PACK_AGAIN}")
    if not inflater.eof:
        refuse_entry(entry.name, f"is cut off: {PACK_AGAIN}")


def descriptors(entry: Entry) -> list[bytes]:
    """Return what may stand behind the data of an entry whose header was written before its size was known."""
    fields = (entry.crc32, entry.packed, entry.size)
    found = [struct.pack("<I2Q", *fields)]
    if max(fields) < 1 << 32:
        found.append(struct.pack("<3I", *fields))
    return [prefix + record for record in found for prefix in (b"", b"PK\x07\x08")]

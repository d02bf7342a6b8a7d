"""Compressed streams, unpacked a piece at a time against the budget; nothing is ever unpacked whole unless small."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from lambdas.scanner.limits import RATIO_COUNTS_FROM, WORST_RATIO, LimitExceeded, Walk
from lambdas.scanner.report import Examination
from lambdas.scanner.source import BytesSource, ForwardSource, Source

PIECE = 1024 * 1024
IN_MEMORY = 16 * 1024 * 1024  # of each level of nesting
LZMA_MEMORY = 128 * 1024 * 1024
CORRUPT = (zlib.error, OSError, EOFError, lzma.LZMAError)
SEVERAL = {"gzip", "bzip2", "xz"}
UNSUPPORTED = {"lz4", "zstandard", "7z", "rar"}


class CorruptStream(Exception):
    """A compressed stream breaks, ends early or is followed by something else."""


class Unpacker:
    """One stream of a kind: wants input, or gives up to a piece of output."""

    def __init__(self, kind: str) -> None:
        if kind == "bzip2":
            self._inner: Any = bz2.BZ2Decompressor()
        elif kind in ("xz", "lzma"):
            self._inner = lzma.LZMADecompressor(memlimit=LZMA_MEMORY)
        else:
            self._inner = zlib.decompressobj({"gzip": 31, "zlib": 15, "deflate": -15}[kind])
        self._zlib = hasattr(self._inner, "unconsumed_tail")

    @property
    def ended(self) -> bool:
        return self._inner.eof

    @property
    def rest(self) -> bytes:
        """What follows the stream in the input so far."""
        return self._inner.unused_data

    @property
    def wants_input(self) -> bool:
        return not self._inner.unconsumed_tail if self._zlib else self._inner.needs_input

    def give(self, data: bytes) -> bytes:
        """Take input, or b"" to go on with what is there; return some output."""
        if self._zlib:
            data = self._inner.unconsumed_tail + data
        return self._inner.decompress(data, PIECE)


def pieces(source: Source, kind: str, walk: Walk) -> Iterator[bytes]:
    """Yield what a file unpacks to; raises CorruptStream, and LimitExceeded for a bomb."""
    chunks = source.chunks()
    taken = given = 0
    rest = b""
    while True:  # one stream after another, where the format has that
        unpacker = Unpacker(kind)
        while not unpacker.ended:
            data, rest = rest, b""
            if not data and unpacker.wants_input:
                data = next(chunks, b"")
                taken += len(data)
            try:
                piece = unpacker.give(data)
            except CORRUPT as error:
                raise CorruptStream(f"it breaks ({type(error).__name__})") from error
            if not piece and not data and unpacker.wants_input:
                raise CorruptStream("it ends early")
            given += len(piece)
            walk.spend_bytes(len(piece))
            if given > RATIO_COUNTS_FROM and given > WORST_RATIO * taken:
                raise LimitExceeded("compression_ratio", f"It unpacks to more than {WORST_RATIO} times its size.")
            if piece:
                yield piece
        rest = unpacker.rest or next(chunks, b"")
        if not rest:
            return
        taken += 0 if unpacker.rest else len(rest)
        if kind not in SEVERAL:
            raise CorruptStream("other bytes follow it")


class Unpacked:
    """A source over what was unpacked, its size and the checksum, all known after one pass."""

    def __init__(self, produce: Callable[[], Iterator[bytes]]) -> None:
        kept: list[bytes] | None = []
        self.size, self.crc = 0, 0
        for piece in produce():
            self.size += len(piece)
            self.crc = zlib.crc32(piece, self.crc)
            if kept is not None:
                kept.append(piece)
                kept = kept if self.size <= IN_MEMORY else None
        self.source: Source = BytesSource(b"".join(kept)) if kept is not None else ForwardSource(produce, self.size)


def scan(kind: str) -> Callable[[Source, str, Walk], Examination]:
    """Return the scanner of a compressed file of this kind."""

    def scan_stream(source: Source, filename: str, walk: Walk) -> Examination:
        found = Examination(kind)
        if kind in UNSUPPORTED:
            found.unscanned("unsupported_compression", f"The scanner does not unpack {kind}.")
            return found
        walk.spend_entry()
        try:
            unpacked = Unpacked(lambda: pieces(source, kind, walk))
        except CorruptStream as error:
            found.suspicious("corrupt_stream", f"The compressed stream is not sound: {error}.")
            found.scanned = False
            partial(found, source, kind, filename, walk)
            return found
        except LimitExceeded as error:
            if error.code != "compression_ratio":
                raise
            found.suspicious(error.code, str(error))
            found.scanned = False
            return found
        return walk.examine(unpacked.source, inner_name(filename))

    return scan_stream


def partial(found: Examination, source: Source, kind: str, filename: str, walk: Walk) -> None:
    """Examine what a broken stream gives before it breaks: a loader gets as much."""
    kept, size = [], 0
    try:
        for piece in pieces(source, kind, walk):
            kept.append(piece)
            size += len(piece)
            if size > IN_MEMORY:
                break
    except CorruptStream:
        pass  # known already
    if size:
        found.absorb(walk.examine(BytesSource(b"".join(kept)), inner_name(filename)), "the part before the break")


def inner_name(filename: str) -> str:
    """Return the name without what says how it is compressed."""
    for suffix in (".gz", ".bz2", ".xz", ".lzma", ".z", ".zlib"):
        if filename.lower().endswith(suffix):
            return filename[: -len(suffix)]
    return filename.replace(".tgz", ".tar")

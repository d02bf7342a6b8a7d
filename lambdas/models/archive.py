"""A version as one ZIP, stored and never deflated, put together inside S3 so that large files do not pass through us.

A ZIP is its files' bytes with headers between them, and a multipart upload may copy its parts from other objects. All
parts but the last have 5 MiB at least, so each header goes up together with the first bytes of its file, and S3 copies
the rest. Both kinds of ZIP have the same bytes: the small one that is answered, and the large one that is made.
"""

import hashlib
import json
import struct
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from lambdas.common import aws
from lambdas.common.errors import NotFound
from lambdas.common.observability import logger
from lambdas.common.uploads import MAX_PARTS, MIB, TAKEN, abort, size_of

INLINE_BYTES = 4 * MIB  # what a function may answer, with room for headers and base64
LEAST_PART = 5 * MIB  # S3's limit for every part but the last
COPIED_PART = 128 * MIB  # a copy of this size is answered long before the client's time-out
WORKERS = 8
IN_MEMORY = 192 * MIB  # of all parts that are on their way at once
TAG = "slipway=archive"  # the bucket's lifecycle lets archives expire: they can be made again

ZIP64 = 0xFFFFFFFF  # a size or offset from here on is in the ZIP64 field
ZIP64_ENTRIES = 0xFFFF
UTF8 = 0x0800
DATE_AND_TIME = (0, 0x21)  # 1980-01-01 00:00, ZIP's first moment: the same files make the same archive
MADE_BY_UNIX = 3 << 8
REGULAR_FILE = 0o100644 << 16


@dataclass(frozen=True)
class ArchiveFile:
    """A file of a version: its name in the ZIP, its S3 key, its size in bytes and the CRC-32 that S3 knows."""

    name: str
    key: str
    size: int
    crc32: int


@dataclass(frozen=True)
class Stretch:
    """Bytes `[start, start + size)` of a stored object."""

    key: str
    start: int
    size: int


Piece = bytes | Stretch


@dataclass(frozen=True)
class Sent:
    """A part that we upload: headers, small files, and the first bytes of large ones."""

    pieces: tuple[Piece, ...]

    @property
    def size(self) -> int:
        return sum(map(length, self.pieces))


@dataclass(frozen=True)
class Copied:
    """A part that S3 copies from a stored object."""

    source: Stretch

    @property
    def size(self) -> int:
        return self.source.size


Part = Sent | Copied


def archive_key(prefix: str, files: Iterable[ArchiveFile]) -> str:
    """Return the key of a version's archive; other names, sizes or contents give another key."""
    described = json.dumps([(file.name, file.size, file.crc32) for file in files])
    return f"{prefix}.slipway/archive-{hashlib.sha256(described.encode()).hexdigest()}.zip"


# ------------------------------------------------------------------------------------------------------ the ZIP


def length(piece: Piece) -> int:
    """Return how many bytes a piece has."""
    return len(piece) if isinstance(piece, bytes) else piece.size


def pieces(files: Iterable[ArchiveFile]) -> Iterator[Piece]:
    """Yield a ZIP in order: each file's header and bytes, then the directory."""
    directory, offset = bytearray(), 0
    count = 0
    for file in files:
        header = local_header(file)
        yield header
        if file.size:
            yield Stretch(file.key, 0, file.size)
        directory += directory_entry(file, offset)
        offset += len(header) + file.size
        count += 1
    yield bytes(directory) + end(count, len(directory), offset)


def local_header(file: ArchiveFile) -> bytes:
    """Return what stands before a file's bytes."""
    name, large = file.name.encode(), file.size >= ZIP64
    extra = struct.pack("<HHQQ", 1, 16, file.size, file.size) if large else b""
    size = ZIP64 if large else file.size
    version = 45 if large else 20
    fields = (version, UTF8, 0, *DATE_AND_TIME, file.crc32, size, size, len(name), len(extra))
    return struct.pack("<4s5H3I2H", b"PK\x03\x04", *fields) + name + extra


def directory_entry(file: ArchiveFile, offset: int) -> bytes:
    """Return a file's entry in the directory; `offset` is where its local header begins."""
    name = file.name.encode()
    large = ([file.size, file.size] if file.size >= ZIP64 else []) + ([offset] if offset >= ZIP64 else [])
    extra = struct.pack(f"<HH{len(large)}Q", 1, 8 * len(large), *large) if large else b""
    size, version = min(file.size, ZIP64), 45 if large else 20
    about = (MADE_BY_UNIX | version, version, UTF8, 0, *DATE_AND_TIME, file.crc32, size, size, len(name), len(extra))
    where = (0, 0, 0, REGULAR_FILE, min(offset, ZIP64))
    return struct.pack("<4s6H3I2H3H2I", b"PK\x01\x02", *about, *where) + name + extra


def end(count: int, size: int, offset: int) -> bytes:
    """Return the records after a directory of `count` entries and `size` bytes that begins at `offset`."""
    large = b""
    if count >= ZIP64_ENTRIES or size >= ZIP64 or offset >= ZIP64:
        record = (44, MADE_BY_UNIX | 45, 45, 0, 0, count, count, size, offset)
        large = struct.pack("<4sQ2H2I4Q", b"PK\x06\x06", *record)
        large += struct.pack("<4sIQI", b"PK\x06\x07", 0, offset + size, 1)
    counted = min(count, ZIP64_ENTRIES)
    return large + struct.pack(
        "<4s4H2IH", b"PK\x05\x06", 0, 0, counted, counted, min(size, ZIP64), min(offset, ZIP64), 0
    )


# ---------------------------------------------------------------------------------------------------- its parts


def zip_parts(files: Iterable[ArchiveFile]) -> list[Part]:
    """Return the parts of a multipart upload that make the ZIP, within S3's limits of size and number."""
    files = list(files)
    least, copied = LEAST_PART, COPIED_PART
    while len(parts := list(cut(pieces(files), least, copied))) > MAX_PARTS:
        least, copied = 2 * least, 2 * copied
    return parts


def cut(zipped: Iterable[Piece], least: int, copied: int) -> Iterator[Part]:
    """Yield parts of at least `least` bytes (the last may have fewer), copies of at most `copied`."""
    waiting: list[Piece] = []
    waits = 0
    for piece in zipped:
        if isinstance(piece, Stretch):
            glue = min(piece.size, max(least - waits, 0)) if waits else 0
            rest = Stretch(piece.key, piece.start + glue, piece.size - glue)
            if rest.size > least:
                if waits:
                    yield Sent((*waiting, *([Stretch(piece.key, piece.start, glue)] if glue else [])))
                    waiting, waits = [], 0
                yield from copies(rest, copied)
                continue
        waiting.append(piece)
        waits += length(piece)
        if waits >= least:
            yield Sent(tuple(waiting))
            waiting, waits = [], 0
    if waiting:
        yield Sent(tuple(waiting))


def copies(stretch: Stretch, most: int) -> Iterator[Copied]:
    """Yield copies of equal size, so that none is smaller than S3 allows."""
    count = -(-stretch.size // most)
    bounds = [stretch.start + stretch.size * index // count for index in range(count + 1)]
    for start, stop in pairwise(bounds):
        yield Copied(Stretch(stretch.key, start, stop - start))


# ------------------------------------------------------------------------------------------------------ from S3


def inline(bucket: str, files: Iterable[ArchiveFile]) -> bytes:
    """Return the ZIP of a version that has INLINE_BYTES at most."""
    return b"".join(read(bucket, piece) for piece in pieces(files))


def is_made(bucket: str, key: str) -> bool:
    """Return whether the archive is there."""
    try:
        size_of(bucket, key)
    except NotFound:
        return False
    return True


def make(bucket: str, files: Iterable[ArchiveFile], key: str) -> int:
    """Make the archive unless it is there, and return how many of its bytes passed through us.

    Safe to repeat, and to do twice at once: what is there first stays. Nothing is left of an attempt that fails, and
    of one that is cut off the bucket's lifecycle removes the parts.
    """
    if is_made(bucket, key):
        return 0
    parts = zip_parts(files)
    upload_id = aws.client("s3").create_multipart_upload(
        Bucket=bucket,
        Key=key,
        ContentType="application/zip",
        ChecksumAlgorithm="CRC32",
        ChecksumType="FULL_OBJECT",
        Tagging=TAG,
    )["UploadId"]
    try:
        etags = transfer(bucket, key, upload_id, parts)
        complete(bucket, key, upload_id, etags)
    except BaseException:
        abort(bucket, key, upload_id)
        raise
    sent = sum(part.size for part in parts if isinstance(part, Sent))
    size = sum(part.size for part in parts)
    logger.info("archive made", extra={"key": key, "size": size, "bytes_sent": sent, "parts": len(parts)})
    return sent


def transfer(bucket: str, key: str, upload_id: str, parts: list[Part]) -> list[str]:
    """Upload or copy all parts, several at once, and return their ETags in order."""
    largest = max((part.size for part in parts if isinstance(part, Sent)), default=1)

    def one(numbered: tuple[int, Part]) -> str:
        number, part = numbered
        target = {"Bucket": bucket, "Key": key, "UploadId": upload_id, "PartNumber": number}
        if isinstance(part, Copied):
            source = {"Bucket": bucket, "Key": part.source.key}
            copied = aws.client("s3").upload_part_copy(
                **target, CopySource=source, CopySourceRange=byte_range(part.source)
            )
            return copied["CopyPartResult"]["ETag"]
        body = b"".join(read(bucket, piece) for piece in part.pieces)
        return aws.client("s3").upload_part(**target, Body=body)["ETag"]

    # Twice the part: its pieces and the joined body.
    with ThreadPoolExecutor(max(1, min(WORKERS, IN_MEMORY // (2 * largest)))) as pool:
        return list(pool.map(one, enumerate(parts, start=1)))


def complete(bucket: str, key: str, upload_id: str, etags: list[str]) -> None:
    """Make the object from its parts; one that somebody else made meanwhile has the same bytes and stays."""
    made: Any = {"Parts": [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, start=1)]}
    try:
        aws.client("s3").complete_multipart_upload(
            Bucket=bucket, Key=key, UploadId=upload_id, MultipartUpload=made, IfNoneMatch="*"
        )
    except Exception as error:
        if aws.error_code(error) not in TAKEN or not is_made(bucket, key):
            raise
        abort(bucket, key, upload_id)


def read(bucket: str, piece: Piece) -> bytes:
    """Return the bytes of a piece."""
    if isinstance(piece, bytes):
        return piece
    return aws.client("s3").get_object(Bucket=bucket, Key=piece.key, Range=byte_range(piece))["Body"].read()


def byte_range(stretch: Stretch) -> str:
    """Return a stretch as S3 takes it."""
    return f"bytes={stretch.start}-{stretch.start + stretch.size - 1}"

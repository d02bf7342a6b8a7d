"""A version's ZIP as a plan of parts. Run: python -m pytest tests/units/test_model_archive.py"""

import io
import random
import shutil
import subprocess
import sys
import zipfile
import zlib
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambdas.common.uploads import MAX_PARTS, MIB
from lambdas.models.archive import (
    COPIED_PART,
    LEAST_PART,
    ArchiveFile,
    Copied,
    Part,
    Sent,
    Stretch,
    archive_key,
    length,
    pieces,
    zip_parts,
)

pytestmark = pytest.mark.thorough

GIB = 1024 * MIB
MOST_COPIED = 5 * GIB  # S3's limit of a part
NOISE = random.Random(1).randbytes(64 * MIB)


def stored(contents: dict[str, bytes]) -> list[ArchiveFile]:
    return [ArchiveFile(name, f"key/{name}", len(body), zlib.crc32(body)) for name, body in contents.items()]


def put_together(parts: list[Part], contents: dict[str, bytes]) -> bytes:
    """The object that S3 makes of the parts, where it holds these contents."""
    made = bytearray()
    for part in parts:
        for piece in part.pieces if isinstance(part, Sent) else [part.source]:
            if isinstance(piece, Stretch):
                body = contents[piece.key.removeprefix("key/")]
                assert piece.size > 0 and 0 <= piece.start <= len(body) - piece.size
                made += body[piece.start : piece.start + piece.size]
            else:
                made += piece
    return bytes(made)


def check_limits(parts: list[Part]) -> None:
    assert 1 <= len(parts) <= MAX_PARTS
    assert all(part.size >= LEAST_PART for part in parts[:-1])
    assert all(0 < part.size <= MOST_COPIED for part in parts)
    for part in parts:
        if isinstance(part, Copied):  # S3 copies stretches only of what is larger than a part
            assert part.source.start + part.source.size > LEAST_PART


CONTENTS = {
    "model.bin": NOISE[: 12 * MIB + 7],
    "config.json": b'{"layers": 12}',
    "empty.txt": b"",
    "tokenizer/vocab é 漢.txt": NOISE[: 5 * MIB],
    "weights/part-1.bin": NOISE[: 20 * MIB],
    "weights/part-2.bin": NOISE[: 10 * MIB + 1],
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("archive") / "version.zip"
    file.write_bytes(put_together(zip_parts(stored(CONTENTS)), CONTENTS))
    return file


def test_pythons_zipfile_reads_every_file_as_it_was(made: Path) -> None:
    with zipfile.ZipFile(made) as archive:
        assert archive.testzip() is None
        assert {info.filename: archive.read(info) for info in archive.infolist()} == CONTENTS
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


@pytest.mark.parametrize(
    "command",
    [
        ["unzip", "-tq"],
        ["zip", "-T"],
        ["zipinfo", "-v"],
        ["bsdtar", "-tf"],
        ["7z", "t"],
        [sys.executable, "-m", "zipfile", "-t"],
    ],
    ids=lambda command: Path(command[0]).name,
)
def test_other_programs_find_no_fault(made: Path, command: list[str]) -> None:
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run([*command, str(made)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not {"warning", "error", "bad"} & {*done.stdout.lower().split(), *done.stderr.lower().split()}


def test_large_files_do_not_pass_through_us_but_for_their_first_5_mib() -> None:
    sent = [part for part in zip_parts(stored(CONTENTS)) if isinstance(part, Sent)]
    assert sum(part.size for part in sent) < 22 * MIB  # three files' first 5 MiB, and the small files
    assert max(part.size for part in sent) < 11 * MIB


def test_the_same_files_make_the_same_bytes_in_one_part_and_in_many() -> None:
    files = stored(CONTENTS)
    whole = put_together([Sent(tuple(pieces(files)))], CONTENTS)
    assert whole == put_together(zip_parts(files), CONTENTS)


def test_no_files_make_an_empty_zip() -> None:
    with zipfile.ZipFile(io.BytesIO(put_together(zip_parts([]), {}))) as archive:
        assert archive.namelist() == []


around = st.sampled_from([0, 1, 4 * MIB, LEAST_PART, 2 * LEAST_PART, 3 * LEAST_PART])
sizes = st.builds(lambda size, more: max(size + more, 0), around, st.integers(-200, 200))


@settings(max_examples=20, deadline=None)
@given(st.lists(sizes, max_size=7))
def test_sizes_around_the_limits_come_back_byte_for_byte(found: list[int]) -> None:
    contents = {f"{number}.bin": NOISE[number : number + size] for number, size in enumerate(found)}
    parts = zip_parts(stored(contents))
    check_limits(parts)
    with zipfile.ZipFile(io.BytesIO(put_together(parts, contents))) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == contents


# -------------------------------------------------------------------------------------------- larger than memory


class Sparse(io.RawIOBase):
    """A planned ZIP as a file to read: stored objects are zeros, and only what we send has bytes."""

    def __init__(self, files: list[ArchiveFile]) -> None:
        self.placed: list[tuple[int, bytes]] = []
        self.size = self.at = 0
        for piece in pieces(files):
            if isinstance(piece, bytes):
                self.placed.append((self.size, piece))
            self.size += length(piece)

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self.at = offset + {0: 0, 1: self.at, 2: self.size}[whence]
        return self.at

    def tell(self) -> int:
        return self.at

    def read(self, size: int = -1) -> bytes:
        stop = self.size if size < 0 else min(self.at + size, self.size)
        found = bytearray(stop - self.at)
        for start, content in self.placed:
            first, last = max(start, self.at), min(start + len(content), stop)
            if first < last:
                found[first - self.at : last - self.at] = content[first - start : last - start]
        self.at = stop
        return bytes(found)


LARGE = [ArchiveFile("small.json", "a", 10, 1), ArchiveFile("5.bin", "b", 5 * GIB, 2), ArchiveFile("after", "c", 3, 3)]
SIZES_64 = [2**32 - 2, 2**32 - 1, 2**32, 5 * GIB, 300 * GIB]


@pytest.mark.parametrize("size", SIZES_64)
def test_sizes_and_offsets_past_4_gib_are_read_back(size: int) -> None:
    files = [LARGE[0], ArchiveFile("5.bin", "b", size, 2), LARGE[2]]
    planned = Sparse(files)
    with zipfile.ZipFile(planned) as archive:  # type: ignore[arg-type]
        read = [(info.filename, info.file_size, info.compress_size, info.CRC) for info in archive.infolist()]
        assert read == [(file.name, file.size, file.size, file.crc32) for file in files]
        offsets = [info.header_offset for info in archive.infolist()]
        for info in archive.infolist():
            archive.open(info).close()  # finds the local header, and that it agrees
    assert offsets[2] > size


def test_5_gib_are_copied_in_parts_that_s3_takes() -> None:
    parts = zip_parts(LARGE)
    check_limits(parts)
    assert sum(part.size for part in parts if isinstance(part, Sent)) < 6 * MIB
    assert all(part.size <= COPIED_PART for part in parts if isinstance(part, Copied))
    assert sum(part.size for part in parts) == Sparse(LARGE).size
    stretches = [part.source for part in parts if isinstance(part, Copied)]
    assert all(before.start + before.size == after.start for before, after in pairwise(stretches))


@pytest.mark.slow
def test_a_tebibyte_fits_into_the_parts_of_one_upload() -> None:
    check_limits(zip_parts([ArchiveFile("weights.bin", "a", 1024 * GIB, 1)]))
    check_limits(zip_parts([ArchiveFile(f"{n}.bin", "a", 100 * MIB, 1) for n in range(10_000)]))


@pytest.mark.slow
def test_70_000_files_need_zip64_and_few_parts() -> None:
    files = [ArchiveFile(f"folder/{number:05}.txt", f"{number}", number % 3, 0) for number in range(70_000)]
    parts = zip_parts(files)
    check_limits(parts)
    contents = {file.name: b"\0" * file.size for file in files}
    whole = b"".join(piece if isinstance(piece, bytes) else bytes(piece.size) for piece in pieces(files))
    assert sum(part.size for part in parts) == len(whole)
    assert b"PK\x06\x06" in whole[-200:]
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        assert {info.filename: info.file_size for info in archive.infolist()} == {
            name: len(body) for name, body in contents.items()
        }


@pytest.mark.parametrize("count", [65_534, 65_535, 65_536])
def test_the_number_of_files_is_read_back_at_the_limit_of_the_old_format(count: int) -> None:
    whole = b"".join(piece for piece in pieces(ArchiveFile(f"{n}", "k", 0, 0) for n in range(count)))  # type: ignore[misc]
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        assert len(archive.infolist()) == count


# ------------------------------------------------------------------------------------------------------- its key


def test_the_key_says_what_is_in_the_archive() -> None:
    files = stored({"a": b"1", "b": b"2"})
    key = archive_key("ada/m/v1/", files)
    assert key.startswith("ada/m/v1/.slipway/archive-") and key.endswith(".zip")
    assert key == archive_key("ada/m/v1/", files)
    others = [stored({"a": b"1", "b": b"3"}), stored({"a": b"1", "c": b"2"}), files[:1], files[::-1]]
    assert key not in {archive_key("ada/m/v1/", other) for other in others}

"""ZIPs as people pack them are read to the last byte; those that mean two things or unpack to too much are refused.

Run: python -m pytest tests/units/processing/test_zip_archive.py
"""

import hashlib
import io
import random
import stat
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from lambdas.common import zip_directory
from lambdas.processing.report import InvalidFile
from lambdas.processing.source import InputFile
from lambdas.processing.zip_archive import Archive

CENTRAL = b"PK\x01\x02"


class OneWay(io.RawIOBase):
    """A stream that cannot go back, as a pipe: zipfile then writes sizes behind the data."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self.data += data
        return len(data)


def held(data: bytes | bytearray, name: str = "data.zip") -> InputFile:
    """A file in memory."""
    return InputFile(name, len(data), lambda: io.BytesIO(data))


def packed(*entries: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A ZIP as Python packs it."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", method) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return whole.getvalue()


def named(name: bytes, data: bytes = b"x") -> bytes:
    """A ZIP with one file whose name has these bytes, which no packer writes."""
    return packed(("n" * len(name), data)).replace(b"n" * len(name), name)


def kind(mode: int) -> bytes:
    """A ZIP with one entry of a kind of file that Unix has."""
    info = zipfile.ZipInfo("odd")
    info.external_attr = mode << 16
    return packed((info, b"target"))


def central(offset: int, value: bytes, data: bytes | None = None) -> bytes:
    """A ZIP whose directory says something else in the record of its first file."""
    data = data or packed(("a.txt", b"text" * 10), ("b.txt", b"other"))
    at = data.index(CENTRAL) + offset
    return data[:at] + value + data[at + len(value) :]


def local(offset: int, value: bytes) -> bytes:
    """A ZIP whose first file says something else in its own header."""
    data = packed(("a.txt", b"text" * 10), ("b.txt", b"other"))
    return data[:offset] + value + data[offset + len(value) :]


def flipped() -> bytes:
    """A ZIP with one wrong bit in a file that is not compressed."""
    data = bytearray(packed(("a.txt", b"text"), method=zipfile.ZIP_STORED))
    data[data.index(b"text")] ^= 1
    return bytes(data)


def shared_bytes() -> bytes:
    """A ZIP two entries of which are the same bytes."""
    data = packed(("a.txt", b"text"), ("b.txt", b"text"))
    at = data.index(CENTRAL, data.index(CENTRAL) + 4)
    return data[: at + 42] + struct.pack("<I", 0) + data[at + 46 :]


def understated() -> bytes:
    """A ZIP with a file that says 3 bytes in both places and unpacks to 40."""
    data = packed(("a.txt", b"text" * 10))
    return data.replace(struct.pack("<I", 40), struct.pack("<I", 3))


def gap() -> bytes:
    """A ZIP with bytes between its only file and its directory."""
    data = packed(("a.txt", b"text"))
    at = data.index(CENTRAL)
    end = data.index(b"PK\x05\x06")
    return data[:at] + b"hidden" + data[at : end + 16] + struct.pack("<I", at + 6) + data[end + 20 :]


HOSTILE: list[tuple[str, Callable[[], bytes], str]] = [
    ("no ZIP", lambda: b"GIF89a" + b"x" * 50, "is no ZIP"),
    ("nothing in it", lambda: b"", "is no ZIP"),
    ("cut off", lambda: packed(("a", b"x" * 500))[:-30], "is cut off"),
    ("way out", lambda: packed(("../a", b"x")), "leaves its folder"),
    ("way out below", lambda: packed(("a/../../b", b"x")), "leaves its folder"),
    ("absolute", lambda: packed(("/etc/passwd", b"x")), "leaves its folder"),
    ("drive", lambda: packed(("C:a", b"x")), "leaves its folder"),
    ("backslash", lambda: named(b"..\\a"), "backslash"),
    ("NUL", lambda: named(b"a.png\0.txt"), "control character"),
    ("new line", lambda: packed(("a\nb", b"x")), "control character"),
    ("empty part", lambda: packed(("a//b", b"x")), "empty part"),
    ("dot part", lambda: packed(("a/./b", b"x")), "empty part"),
    ("not UTF-8", lambda: named(b"\xff\xfe"), "not UTF-8"),
    ("long name", lambda: packed(("n" * 1001, b"x")), "longer than 1,000 bytes"),
    ("deep", lambda: packed(("a/" * 16 + "b", b"x")), "deeper than 16 folders"),
    ("link", lambda: kind(stat.S_IFLNK | 0o777), "symbolic link"),
    ("device", lambda: kind(stat.S_IFCHR | 0o600), "neither a plain file"),
    ("pipe", lambda: kind(stat.S_IFIFO | 0o600), "neither a plain file"),
    ("folder with bytes", lambda: packed(("a/", b"x")), "neither a plain file"),
    ("encrypted", lambda: central(8, b"\x01\x00"), "is encrypted"),
    ("strongly encrypted", lambda: central(8, b"\x41\x00"), "is encrypted"),
    ("bzip2", lambda: packed(("a", b"x"), method=zipfile.ZIP_BZIP2), "compressed by method 12"),
    ("lzma", lambda: packed(("a", b"x"), method=zipfile.ZIP_LZMA), "compressed by method 14"),
    ("twice", lambda: packed(("a1", b"x"), ("b1", b"y")).replace(b"b1", b"a1"), "is there twice"),
    ("twice by case", lambda: packed(("A.png", b"x"), ("a.PNG", b"y")), "is there twice"),
    ("twice by accents", lambda: packed(("\u00e9.png", b"x"), ("e\u0301.png", b"y")), "is there twice"),
    ("twice by a folder", lambda: packed(("a", b"x"), ("a/", b"")), "is there twice"),
    ("file and folder", lambda: packed(("a", b"x"), ("a/b", b"y")), "is a file and a folder"),
    ("file and folder by case", lambda: packed(("A/b/c", b"y"), ("a", b"x")), "is a file and a folder"),
    ("shared bytes", shared_bytes, "overlaps"),
    ("overlong data", lambda: central(20, struct.pack("<I", 60)), "overlaps"),
    ("overlong header", lambda: local(28, struct.pack("<H", 60)), "overlaps|differs"),
    ("other name inside", lambda: local(30, b"z"), "differs from the directory"),
    ("other method inside", lambda: local(8, b"\0\0"), "differs from the directory"),
    ("other size inside", lambda: local(22, struct.pack("<I", 7)), "differs from the directory"),
    ("other checksum inside", lambda: local(14, b"\0\0\0\0"), "differs from the directory"),
    ("no header", lambda: local(0, b"PK\x03\x05"), "is no ZIP"),
    ("bytes before", lambda: b"#!/bin/sh\n" + packed(("a", b"x")), "is no ZIP, or has other bytes before it"),
    ("a file before", lambda: packed(("a", b"x")) + packed(("b", b"y")), "not where it says|before its first entry"),
    ("bytes behind", lambda: packed(("a", b"x")) + b"<html>", "other bytes behind it"),
    ("bytes between", gap, "has other bytes behind it"),
    ("other offset", lambda: central(42, b"\x01"), "other bytes before its first entry"),
    ("understated", understated, "another size than it says"),
    ("overstated", lambda: central(24, struct.pack("<I", 50)), "differs from the directory"),
    ("wrong bit", flipped, "its checksum is wrong"),
    ("too large", lambda: central(24, struct.pack("<I", 256 * 1024 * 1024 + 1)), "268,435,456 are possible"),
    ("bomb", lambda: packed(("a", bytes(2 * 1024 * 1024))), "more than 200 times"),
    ("small bombs", lambda: packed(*((f"{n}", bytes(500_000)) for n in range(4))), "more than 200 times"),
    ("several volumes", lambda: packed(("a", b"x"))[:-18] + b"\x01\0" + packed(("a", b"x"))[-16:], "several"),
    ("fewer than it says", lambda: packed(("a", b"x"))[:-14] + b"\2\0\2\0" + packed(("a", b"x"))[-10:], "shorter"),
]


@pytest.mark.parametrize(("make", "reason"), [row[1:] for row in HOSTILE], ids=[row[0] for row in HOSTILE])
def test_what_no_packer_makes_is_refused(make: Callable[[], bytes], reason: str) -> None:
    with pytest.raises(InvalidFile, match=f"^data.zip .*({reason})"), Archive(held(make())) as archive:
        for member in archive:
            archive.read(member)


def test_a_zip_of_nothing_has_no_files() -> None:
    with Archive(held(packed())) as archive:
        assert (list(archive), archive.members) == ([], [])


@pytest.mark.parametrize(("name", "limit"), [("a.png", 256), ("a.json", 1024), ("a.MP4", 64 * 1024)])
def test_what_is_read_in_pieces_may_be_larger_than_other_files(name: str, limit: int) -> None:
    def entries(size: int) -> list[zip_directory.Entry]:
        return [zip_directory.Entry(name, size, size, 0, 0, 0, 0)]

    zip_directory.check_sizes(entries(limit * zip_directory.MIB))
    with pytest.raises(zip_directory.ZipProblem, match=f"{limit * zip_directory.MIB:,} are possible"):
        zip_directory.check_sizes(entries(limit * zip_directory.MIB + 1))


def test_a_name_of_nothing_is_refused() -> None:
    with pytest.raises(zip_directory.ZipProblem, match="empty part"):
        zip_directory.text_of(b"")


def test_a_second_name_is_refused() -> None:
    info = zipfile.ZipInfo("a.png")
    info.extra = struct.pack("<2HBI", 0x7075, 10, 1, 0) + b"b.png"
    with pytest.raises(InvalidFile, match="second name"):
        Archive(held(packed((info, b"x"))))


def test_too_many_entries_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zip_directory, "MAX_ENTRIES", 3)
    Archive(held(packed(*((str(n), b"") for n in range(3)))))
    with pytest.raises(InvalidFile, match="has 4 entries; 3 are possible"):
        Archive(held(packed(*((str(n), b"") for n in range(4)))))


def test_more_in_total_than_anyone_packs_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zip_directory, "MAX_TOTAL", 10)
    with pytest.raises(InvalidFile, match="is 12 bytes unpacked; 10 are possible"):
        Archive(held(packed(("a", b"x" * 6), ("b", b"x" * 6))))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("seekable", [True, False])
@pytest.mark.parametrize("zip64", [True, False])
def test_what_packers_make_is_read(method: int, seekable: bool, zip64: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    source = random.Random(1)
    files = {f"folder {n}/ä{n}.bin": source.randbytes(source.choice([0, 1, 300_000])) for n in range(20)}
    if zip64:
        monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 100)  # then zipfile takes 64 bits for what is larger
        monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 5)
    whole = io.BytesIO() if seekable else OneWay()
    with zipfile.ZipFile(whole, "w", method) as archive:  # type: ignore[arg-type]
        for name, data in files.items():
            with archive.open(name, "w", force_zip64=zip64) as member:
                member.write(data)
        archive.comment = b"packed by hand"
    data = whole.getvalue() if isinstance(whole, io.BytesIO) else bytes(whole.data)
    assert (b"PK\x06\x06" in data) == zip64
    file = held(data)
    with Archive(file) as read:
        assert {member.name: read.read(member) for member in read} == files
        assert [member.size for member in read.members] == [len(data) for data in files.values()]
        assert b"".join(read.chunks(read.members[3])) == files[read.members[3].name]
    assert file.sha256 == hashlib.sha256(data).hexdigest()


def test_what_systems_add_is_passed_over_and_hashed() -> None:
    kept = [("a.png", b"1"), ("b/c.png", b"2")]
    added = ["__MACOSX/._a.png", ".DS_Store", "b/.DS_Store", "b/Thumbs.db", ".git/config", "b/._c.png"]
    data = packed(*kept, ("b/", b""), *((name, b"y" * 3000) for name in added))
    file = held(data)
    with Archive(file) as archive:
        assert [(member.name, archive.read(member)) for member in archive] == kept
    assert file.sha256 == hashlib.sha256(data).hexdigest()


def test_the_file_is_read_from_front_to_back_and_once() -> None:
    data = packed(*((f"{n}", random.Random(n).randbytes(200_000)) for n in range(10)))
    places: list[tuple[int, int]] = []

    class Watched(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            places.append((self.tell(), size or 0))
            return super().read(size)

    file = InputFile("data.zip", len(data), lambda: Watched(data))
    with Archive(file) as archive:
        places.clear()
        for member in archive:
            archive.read(member)
    assert [place for place, _ in places] == sorted(place for place, _ in places)
    assert sum(size for _, size in places) < len(data) * 1.01


def test_zip_in_zip_is_a_file_like_any_other() -> None:
    inner = packed(("a", b"x"))
    with Archive(held(packed(("inner.zip", inner), method=zipfile.ZIP_STORED))) as archive:
        assert [archive.read(member) for member in archive] == [inner]


def test_a_file_that_shrinks_while_it_is_read_is_refused() -> None:
    data = packed(("a", random.Random(0).randbytes(1000)))
    file = InputFile("data.zip", len(data), lambda: io.BytesIO(data[:-5]))
    with pytest.raises(InvalidFile, match="is shorter than it says"):
        Archive(file)


@pytest.mark.slow
def test_a_hundred_thousand_entries_take_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "many.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for n in range(100_000):
            archive.writestr(f"images/class_{n % 100:03}/{n:08}.png", b"x")
    file = InputFile(path.name, path.stat().st_size, lambda: path.open("rb"))
    tracemalloc.start()
    try:
        with Archive(file) as archive:
            assert sum(len(archive.read(member)) for member in archive) == 100_000
        assert tracemalloc.get_traced_memory()[1] < 150 * 1024 * 1024
    finally:
        tracemalloc.stop()

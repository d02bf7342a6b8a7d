"""Archives that lie, hide or explode: each is told, entry by entry, without being unpacked anywhere.

`pytest -s tests/units/scanner/test_scanned_archives.py` prints each with its verdict.
"""

from __future__ import annotations

import bz2
import gzip
import io
import stat
import struct
import tarfile
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Iterator

import pytest

from lambdas.scanner import limits
from lambdas.scanner.registry import examine, scan_file
from lambdas.scanner.report import Examination
from lambdas.scanner.source import BytesSource, Source
from tests.units.scanner.hostile_files import archive, wrong_checksum

pytestmark = pytest.mark.thorough

ZEROS = b"\0" * (20 * 1024 * 1024)
README = {"README.md": b"# A model\n"}
CENTRAL, END = b"PK\x01\x02", b"PK\x05\x06"


def stored(members: dict[str, bytes]) -> bytes:
    return archive(members, zipfile.ZIP_STORED)


def changed(data: bytes, at: int, fmt: str, value: int) -> bytes:
    """Return the bytes with a number written over those at a place."""
    made = bytearray(data)
    struct.pack_into(fmt, made, at, value)
    return bytes(made)


def with_info(name: str, mode: int, content: bytes = b"target") -> bytes:
    info = zipfile.ZipInfo("a.txt")
    info.filename = name
    info.external_attr = mode << 16
    info.create_system = 3
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr(info, content)
    return file.getvalue()


def overlapping() -> bytes:
    """Two entries of the directory that share one local header."""
    data = stored({"a.txt": b"x" * 50})
    start, end = data.index(CENTRAL), data.index(END)
    entry = data[start:end]
    tail = struct.pack("<4s4H2IH", END, 0, 0, 2, 2, 2 * len(entry), start, 0)
    return data[:start] + entry + entry + tail


def quoted_overlap() -> bytes:
    """An entry whose bytes hold the local header of the next, as in the bomb of 2019."""
    inner = b"PK\x03\x04" + struct.pack("<5H3I2H", 20, 0, 0, 0, 0, zlib.crc32(b"y"), 1, 1, 5, 0) + b"b.txty"
    data = stored({"a.txt": inner})
    start = data.index(CENTRAL)
    at = data.index(b"PK\x03\x04", 4)
    fields = (20, 20, 0, 0, 0, 0, zlib.crc32(b"y"), 1, 1, 5, 0, 0, 0, 0, 0, at)
    entry = b"PK\x01\x02" + struct.pack("<6H3I5H2I", *fields) + b"b.txt"
    directory = data[start : data.index(END)] + entry
    return data[:start] + directory + struct.pack("<4s4H2IH", END, 0, 0, 2, 2, len(directory), start, 0)


def two_names() -> bytes:
    data = stored({"good.txt": b"x"})
    at = data.index(b"good.txt")
    return data[:at] + b"evil.txt" + data[at + 8 :]


def unicode_path() -> bytes:
    """A name for most readers, and another for those that know Info-ZIP's extension."""
    info = zipfile.ZipInfo("good.txt")
    info.extra = struct.pack("<HHBI", 0x7075, 5 + 7, 1, zlib.crc32(b"good.txt")) + b"../evil"
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr(info, b"x")
    return file.getvalue()


def pax(**records: str) -> bytes:
    """A tar whose one member is told by an extended header."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as made:
        info = tarfile.TarInfo("a.txt")
        info.pax_headers = {key.replace("_", "."): value for key, value in records.items()}
        made.addfile(info)
    return file.getvalue()


def hidden_entry() -> bytes:
    """An entry that the directory does not name."""
    data = stored({"a.txt": b"x", "b.txt": b"y"})
    start, end = data.index(CENTRAL), data.index(END)
    second = data.index(CENTRAL, start + 4)
    return data[:start] + data[second:end] + struct.pack("<4s4H2IH", END, 0, 0, 1, 1, end - second, start, 0)


def zip64_lies() -> bytes:
    """A directory of one entry that claims a 64-bit offset beyond the file."""
    data = stored(README)
    end = data.index(END)
    record = struct.pack("<4sQ2H2I4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, 10, 2**40)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, end, 1)
    return data[:end] + record + locator + struct.pack("<4s4H2IH", END, 0, 0, 1, 1, 0xFFFFFFFF, 0xFFFFFFFF, 0)


def many(count: int) -> bytes:
    return stored({str(number): b"" for number in range(count)})


def tar(*members: tuple[str, bytes, bytes, str]) -> bytes:
    """Return a tar of (name, kind, content, target of a link)."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as made:
        for name, kind, content, target in members:
            info = tarfile.TarInfo(name)
            info.type, info.size, info.linkname = kind, len(content), target
            made.addfile(info, io.BytesIO(content))
    return file.getvalue()


def nested(depth: int) -> bytes:
    data = archive(README)
    for number in range(depth):
        data = archive({f"{number}.zip": data})
    return data


def bomb_of_streams() -> bytes:
    data = b"\0" * (64 * 1024 * 1024)
    for _ in range(2):
        data = gzip.compress(data)
    return data


ONE = stored({"a.txt": b"hello, hello, hello"})
LONG_NAME = "x/" * 500 + "a.txt"
REGULAR, LINK, HARD, DEVICE = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE

CASES: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "honest zip": (lambda: archive(README), "clean", ""),
    "honest tar": (lambda: tar(("m/README.md", REGULAR, b"# A\n", "")), "clean", ""),
    "empty zip": (lambda: archive({}), "clean", ""),
    "slip": (lambda: stored({"../../etc/cron.d/x": b"x"}), "malicious", "path_escape"),
    "slip within": (lambda: stored({"a/../../b.txt": b"x"}), "malicious", "path_escape"),
    "absolute": (lambda: stored({"/etc/passwd": b"x"}), "malicious", "path_escape"),
    "drive": (lambda: stored({"C:evil.txt": b"x"}), "malicious", "path_escape"),
    "backslash slip": (lambda: with_info("..\\..\\x.txt", 0o100644), "malicious", "path_escape"),
    "backslash": (lambda: with_info("a\\x.txt", 0o100644), "suspicious", "backslash"),
    "symlink out": (lambda: with_info("l", stat.S_IFLNK | 0o777, b"/etc/passwd"), "malicious", "link_outside"),
    "symlink": (lambda: with_info("l", stat.S_IFLNK | 0o777), "suspicious", "link"),
    "pipe": (lambda: with_info("p", stat.S_IFIFO | 0o644), "suspicious", "special_file"),
    "six deep": (lambda: nested(6), "unscanned", "too_deep"),
    "four deep": (lambda: nested(2), "clean", ""),
    "1000:1": (lambda: archive({"zeros.bin": ZEROS}), "suspicious", "compression_ratio"),
    "1000:1 in bzip2": (lambda: bz2.compress(ZEROS), "suspicious", "compression_ratio"),
    "1000:1 in gzip in gzip": (bomb_of_streams, "suspicious", "compression_ratio"),
    "overlap": (overlapping, "malicious", "overlapping_entries"),
    "quoted overlap": (quoted_overlap, "malicious", "overlapping_entries"),
    "lying size": (
        lambda: changed(changed(ONE, ONE.index(CENTRAL) + 24, "<I", 9), 22, "<I", 9),
        "suspicious",
        "lying_size",
    ),
    "size outside": (lambda: changed(ONE, ONE.index(CENTRAL) + 20, "<I", 10**6), "suspicious", "outside_archive"),
    "two sizes": (lambda: changed(ONE, 22, "<I", 5), "suspicious", "two_sizes"),
    "bad checksum": (lambda: wrong_checksum(ONE), "suspicious", "bad_checksum"),
    "encrypted": (
        lambda: changed(changed(ONE, 6, "<H", 1), ONE.index(CENTRAL) + 8, "<H", 1),
        "suspicious",
        "encrypted",
    ),
    "duplicate": (lambda: duplicate("a.txt", "a.txt"), "suspicious", "duplicate_name"),
    "case clash": (lambda: duplicate("a.txt", "A.txt"), "suspicious", "case_clash"),
    "unicode clash": (lambda: duplicate("caf\u00e9.txt", "cafe\u0301.txt"), "suspicious", "case_clash"),
    "NUL": (lambda: stored({"a_b.txt": b"x"}).replace(b"a_b.txt", b"a\0b.txt"), "malicious", "nul_in_name"),
    "10,001 entries": (lambda: many(10_001), "unscanned", "too_many_entries"),
    "500 folders deep": (lambda: stored({LONG_NAME: b"x"}), "suspicious", "odd_name"),
    "zip64 lies": (zip64_lies, "suspicious", "broken_archive"),
    "image before": (lambda: b"GIF89a" + b"\0" * 30 + ONE, "suspicious", "two_formats"),
    "document before": (lambda: b"%PDF-1.7\n" + ONE, "suspicious", "two_formats"),
    "data after": (lambda: ONE + b"more", "suspicious", "data_after_archive"),
    "two names": (two_names, "malicious", "two_names"),
    "unicode path": (unicode_path, "malicious", "two_names"),
    "hidden entry": (hidden_entry, "suspicious", "hidden_bytes"),
    "cut": (lambda: ONE[:-10], "suspicious", "broken_archive"),
    "unknown method": (
        lambda: changed(changed(ONE, 8, "<H", 99), ONE.index(CENTRAL) + 10, "<H", 99),
        "unscanned",
        "unsupported_compression",
    ),
    "corrupt member": (lambda: corrupt(), "suspicious", "corrupt_member"),
    "tar slip": (lambda: tar(("../x", REGULAR, b"x", "")), "malicious", "path_escape"),
    "tar slip in a long name": (lambda: tar(("x/" * 90 + "../" * 99, REGULAR, b"x", "")), "malicious", "path_escape"),
    "tar slip in an extended header": (lambda: pax(path="../x"), "malicious", "path_escape"),
    "tar sparse": (lambda: pax(GNU_sparse_name="../x"), "suspicious", "broken_archive"),
    "tar symlink": (lambda: tar(("l", LINK, b"", "/etc/passwd")), "malicious", "link_outside"),
    "tar hard link": (lambda: tar(("l", HARD, b"", "a.txt")), "suspicious", "link"),
    "tar device": (lambda: tar(("d", DEVICE, b"", "")), "suspicious", "special_file"),
    "tar cut": (lambda: tar(("a.txt", REGULAR, b"x" * 9000, ""))[:4000], "suspicious", "broken_archive"),
    "tar with more behind": (lambda: tar(("a.txt", REGULAR, b"x", "")) + b"more", "suspicious", "broken_archive"),
    "gzip with more behind": (lambda: gzip.compress(b"hello") + b"more", "suspicious", "corrupt_stream"),
    "gzip cut": (lambda: gzip.compress(b"hello" * 100)[:-9], "suspicious", "corrupt_stream"),
}


def duplicate(first: str, second: str) -> bytes:
    one, other = zipfile.ZipInfo(first), zipfile.ZipInfo(second)
    file = io.BytesIO()
    with pytest.MonkeyPatch.context() as patch, zipfile.ZipFile(file, "w") as made:
        made.writestr(one, b"x")
        patch.setattr(made, "NameToInfo", {})  # without its warning
        made.writestr(other, b"y")
    return file.getvalue()


def corrupt() -> bytes:
    data = archive({"a.txt": bytes(range(256)) * 20})
    at = 30 + len("a.txt")
    return data[:at] + b"\xff" * 20 + data[at + 20 :]


@pytest.mark.parametrize("name", CASES)
def test_an_archive_gets_its_verdict(name: str) -> None:
    make, verdict, code = CASES[name]
    found = scan_file(BytesSource(make()), "model.bin")
    print(f"{name:24} {found.verdict:10} {next((finding.message for finding in found.findings), '')}")
    assert found.verdict == verdict, found
    assert not code or code in {finding.code for finding in found.findings}, found


class Counted(Source):
    """A source that produces zeros without having them, and counts what is asked of it."""

    def __init__(self, head: bytes, size: int, tail: bytes) -> None:
        self.head, self.tail, self.size = head, tail, size
        self.asked = 0

    def read(self, offset: int, length: int) -> bytes:
        length = max(0, min(length, self.size - offset))
        self.asked += length
        data = bytearray(length)
        for start, part in ((0, self.head), (self.size - len(self.tail), self.tail)):
            low, high = max(offset, start), min(offset + length, start + len(part))
            if low < high:
                data[low - offset : high - offset] = part[low - start : high - start]
        return bytes(data)


def huge_torch(size: int) -> Counted:
    """A torch archive with a stored tensor of this size, most of it never made."""
    data = stored({"m/data.pkl": b"\x80\x02N.", "m/data/0": b""})
    start = data.index(CENTRAL)
    second = data.index(CENTRAL, start + 4)
    head, central = bytearray(data[:start]), bytearray(data[start:])
    local = data.index(b"PK\x03\x04", 4)
    for at in (local + 18, local + 22):
        struct.pack_into("<I", head, at, size)
    for at in (second - start + 20, second - start + 24):
        struct.pack_into("<I", central, at, size)
    struct.pack_into("<I", central, central.index(END) + 16, start + size)
    return Counted(bytes(head), start + size + len(central), bytes(central))


def test_a_large_torch_archive_is_not_read_whole() -> None:
    source = huge_torch(3 * 1024**3)
    found = scan_file(source, "model.pt")
    assert (found.verdict, found.format) == ("clean", "torch")
    assert source.asked < 2 * 1024 * 1024


def test_large_compressed_members_stay_small_in_memory() -> None:
    """Two members of 36 MiB that hardly compress again, each unpacked a piece at a time."""
    block = b"".join(zlib.compress(bytes([number % 256]) * 7 + str(number).encode()) for number in range(40_000))
    data = archive({f"{number}.bin": b"\0\1" + block * 60 for number in range(2)})
    tracemalloc.start()
    found = scan_file(BytesSource(data), "model.zip")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    print(f"{2 * 60 * len(block) >> 20} MiB unpacked with {peak >> 20} MiB of memory")
    assert found.verdict == "unscanned"
    assert peak < 32 * 1024 * 1024


def test_many_small_pickles_and_many_findings_stay_bounded() -> None:
    assert scan_file(BytesSource(b"N." * 100_000), "model.pkl").verdict == "unscanned"
    body = b"\x80\x04" + b"".join(b"cmodule_%d\nx\n0" % number for number in range(1000)) + b"N."
    found = scan_file(BytesSource(archive({f"{number}.pkl": body for number in range(50)})), "model.zip")
    assert found.verdict == "suspicious"
    assert len(found.findings) <= 200


@pytest.fixture
def budget() -> Iterator[Callable[..., Examination]]:
    """Examine with a smaller budget."""

    def scan(data: bytes, **budget: float) -> Examination:
        walk = limits.Walk(examine)
        for name, value in budget.items():
            setattr(walk, name, value)
        return examine(BytesSource(data), "model.zip", walk)

    yield scan


def test_what_exceeds_the_budget_is_unscanned_and_what_was_seen_counts(budget: Callable[..., Examination]) -> None:
    pickled = b"\x80\x04\x8c\x02os\x8c\x06system\x93."
    data = archive({"a.pkl": pickled, "b.bin": bytes(range(256)) * 4096, "c.txt": b"x"})
    assert budget(data, bytes_left=500_000).verdict == "malicious"
    honest = archive({"b.txt": b"text " * 200_000, "c.txt": b"x"})
    assert budget(honest).verdict == "clean"
    assert [finding.code for finding in budget(honest, bytes_left=500_000).findings] == ["too_much_data"]
    assert budget(honest, bytes_left=500_000).verdict == "unscanned"
    assert budget(honest, deadline=0.0).verdict == "unscanned"
    assert budget(honest, entries_left=1).verdict == "unscanned"

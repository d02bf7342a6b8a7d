"""Uploaded folders, ordinary and hostile. Run: python -m pytest tests/units/test_model_folder.py -s"""

import io
import os
import random
import shutil
import struct
import subprocess
import tarfile
import time
import tracemalloc
import unicodedata
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambdas.common.errors import BadRequest
from lambdas.models import folder
from lambdas.models.folder import MAX_BYTES, MAX_FILES, MIB, checked_filename, read_folder

pytestmark = pytest.mark.thorough

Files = dict[str, bytes]
MOST_MEMORY = 24 * MIB
NOISE = random.Random(2).randbytes(200_000)
ORDINARY: Files = {"model/config.json": b'{"layers": 2}', "model/weights.bin": NOISE, "README.md": b"# Model\n"}


def packed(files: Files, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return target.getvalue()


def unpacked(data: bytes, preserve_structure: bool = True) -> Files:
    return dict(read_folder(io.BytesIO(data), preserve_structure))


def refusal(data: bytes, preserve_structure: bool = True) -> str:
    """Why the archive is refused, as its uploader reads it; refused before the first file."""
    with pytest.raises(BadRequest) as caught:
        read_folder(io.BytesIO(data), preserve_structure)
    assert caught.value.detail.isascii() and len(caught.value.detail) < 400
    return caught.value.detail


# ----------------------------------------------------------------------------------------------------- ordinary


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_every_file_comes_back_under_its_path(method: int) -> None:
    assert unpacked(packed(ORDINARY, method)) == ORDINARY


def test_a_single_top_folder_is_kept() -> None:
    files = {"bert/config.json": b"{}", "bert/vocab/words.txt": b"a"}
    assert unpacked(packed(files)) == files


def test_without_structure_files_are_named_without_their_folders() -> None:
    assert {*unpacked(packed(ORDINARY), False)} == {"config.json", "weights.bin", "README.md"}


def test_without_structure_two_files_of_one_name_are_refused_and_both_named() -> None:
    message = refusal(packed({"a/config.json": b"1", "b/config.json": b"2"}), False)
    assert "'a/config.json'" in message and "'b/config.json'" in message


def test_what_macos_adds_and_folders_are_left_out() -> None:
    extra = {"__MACOSX/._a.txt": b"x", "__MACOSX/": b"", "deep/": b"", "deep/.DS_Store": b"x", ".DS_Store": b"x"}
    assert unpacked(packed({"deep/a.txt": b"1", **extra})) == {"deep/a.txt": b"1"}


def test_decomposed_names_as_macos_writes_them_are_stored_composed() -> None:
    name = "modèle.bin"
    assert unpacked(packed({unicodedata.normalize("NFD", name): b"1"})) == {unicodedata.normalize("NFC", name): b"1"}


@pytest.mark.skipif(not shutil.which("zip"), reason="zip is not installed")
@pytest.mark.parametrize("options", [["-r"], ["-r0"], ["-rX"], ["-rD"], ["-r", "-fz-"]], ids=" ".join)
def test_what_info_zip_packs_is_read(tmp_path: Path, options: list[str]) -> None:
    files = {**ORDINARY, "modèle/漢字.txt": b"2", "empty.txt": b""}
    for name, content in files.items():
        (tmp_path / "folder" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / name).write_bytes(content)
    subprocess.run(["zip", "-q", *options, tmp_path / "a.zip", "."], cwd=tmp_path / "folder", check=True)
    assert unpacked((tmp_path / "a.zip").read_bytes()) == files


def test_archives_written_as_a_stream_are_read() -> None:
    class Stream(io.RawIOBase):
        def __init__(self) -> None:
            self.written = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data: object) -> int:
            self.written += bytes(data)  # type: ignore[call-overload]
            return len(bytes(data))  # type: ignore[call-overload]

    stream = Stream()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:  # type: ignore[arg-type]
        for name, content in ORDINARY.items():
            archive.writestr(name, content)
    assert b"PK\x07\x08" in stream.written  # sizes stand behind the data
    assert unpacked(bytes(stream.written)) == ORDINARY


def test_the_commits_name_that_git_puts_behind_an_archive_is_no_harm() -> None:
    data = io.BytesIO(packed(ORDINARY))
    with zipfile.ZipFile(data, "a") as archive:
        archive.comment = b"9c71cab0" * 5
    assert unpacked(data.getvalue()) == ORDINARY


def test_a_folder_needs_no_more_memory_than_its_archive_and_its_largest_file() -> None:
    data = packed({f"{number}.csv": (NOISE[number : number + 20_000] * 900)[: 16 * MIB] for number in range(4)})
    sizes, peak = [], 0
    tracemalloc.start()
    try:
        for _, content in read_folder(io.BytesIO(data), True):
            sizes.append(len(content))
            del content
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sum(sizes) == MAX_BYTES
    assert peak < max(sizes) + 2 * len(data) + MIB


names = st.lists(st.text("ab.é-", min_size=1, max_size=4), min_size=1, max_size=3).map("/".join)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(names, st.binary(max_size=300), max_size=5), st.booleans())
def test_what_is_read_is_what_was_packed_or_nothing(files: Files, deflate: bool) -> None:
    try:
        found = unpacked(packed(files, zipfile.ZIP_DEFLATED if deflate else zipfile.ZIP_STORED))
    except BadRequest:
        return
    assert {unicodedata.normalize("NFC", name): content for name, content in files.items()} == found


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_archive_is_refused_or_means_the_same(data: st.DataObject) -> None:
    sound = packed(ORDINARY | {"weights.bin": NOISE[:300]})
    damaged = bytearray(sound)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(sound) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = unpacked(bytes(damaged))
    except BadRequest:
        return
    with zipfile.ZipFile(io.BytesIO(damaged)) as archive:  # the same files as another reader sees
        assert found == {name: archive.read(name) for name in archive.namelist()}


# ------------------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    "name",
    [
        *("model.bin", "a/b/c.json", "..hidden", "a..b", ".gitattributes", "x" * 512, "/".join("d" * 32)),
        *("模型.onnx", "👩\u200d🔬.txt", "__proto__", "C", "my model (1).bin", "ab:c", ".slip"),
    ],
)
def test_plain_relative_paths_are_filenames(name: str) -> None:
    assert checked_filename(name) == name


@pytest.mark.parametrize(
    "name",
    [
        *("../../etc/passwd", "..\\..\\x", "/abs", "C:\\x", "c:x", "a;/../b", "file:///etc/passwd", "s3://b/k"),
        *(
            "//proc/self/environ",
            "a\x00b",
            "a\u202eb",
            "．．／x",
            "x" * 513,
            "漢" * 300,
            "",
            "  ",
            ".",
            "..",
            "a/./b",
            "a//b",
        ),
        *("a/", "a\nb", "a\x7f", "\ud800", "a/..", " a", "a ", "a. /b", "a./b", ".slipway", ".slipway/registry.json"),
        *(".Slipway/x", ".slipwayx", "a/" * 32 + "b", "a\u2028b", "\ufeffa", "．slipway/x"),
    ],
)
def test_other_names_are_refused_with_what_to_do(name: str) -> None:
    with pytest.raises(BadRequest) as caught:
        checked_filename(name)
    assert caught.value.errors and caught.value.errors[0]["field"] == "filename"
    assert ":" in caught.value.detail and caught.value.detail.isascii() and len(caught.value.detail) < 300


# ------------------------------------------------------------------------------------------- hostile (table 6.D)


def entry(
    name: bytes = b"a.bin",
    content: bytes = b"x" * 40,
    *,
    packed: bytes | None = None,
    method: int = 0,
    flags: int = 0x800,
    size: int | None = None,
    crc32: int | None = None,
    attributes: int = 0o100644 << 16,
    extra: bytes = b"",
    local: dict[str, int | bytes] | None = None,
    offset: int | None = None,
) -> Callable[[int], tuple[bytes, bytes]]:
    """An entry with whatever lies in it: its local header and data, and its record, when it lies at an offset."""
    body = content if packed is None else packed
    fields: dict[str, int | bytes] = {
        "name": name,
        "flags": flags,
        "method": method,
        "crc32": zlib.crc32(content) if crc32 is None else crc32,
        "packed": len(body),
        "size": len(content) if size is None else size,
        "extra": extra,
    }

    def header(own: dict[str, int | bytes]) -> tuple[bytes, bytes]:
        tail = bytes(own["name"]) + bytes(own["extra"])  # type: ignore[arg-type]
        common = struct.pack(
            "<5H3I2H",
            *(20, own["flags"], own["method"], 0, 0x21, own["crc32"], own["packed"], own["size"]),
            *(len(own["name"]), len(own["extra"])),  # type: ignore[arg-type]
        )
        return common, tail

    def at(position: int) -> tuple[bytes, bytes]:
        common, tail = header(fields | (local or {}))
        before = b"PK\x03\x04" + common + tail + body
        common, tail = header(fields)
        where = position if offset is None else offset
        record = struct.pack("<4sH", b"PK\x01\x02", 0x314) + common + struct.pack("<3H2I", 0, 0, 0, attributes, where)
        return before, record + tail

    return at


def archive(*entries: Callable[[int], tuple[bytes, bytes]], count: int | None = None, before: bytes = b"") -> bytes:
    """The ZIP of these entries; with `count` its directory lies about how many there are."""
    front, directory = before, b""
    for one in entries:
        local, record = one(len(front))
        front, directory = front + local, directory + record
    number = len(entries) if count is None else count
    return (
        front + directory + struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, number, number, len(directory), len(front), 0)
    )


def after(between: bytes, one: Callable[[int], tuple[bytes, bytes]]) -> Callable[[int], tuple[bytes, bytes]]:
    """An entry with other bytes before it, which its record knows of."""
    return lambda at: (between + one(at + len(between))[0], one(at + len(between))[1])


def deflated(content: bytes) -> bytes:
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    return deflater.compress(content) + deflater.flush()


def link(target: bytes, name: bytes = b"link") -> Callable[[int], tuple[bytes, bytes]]:
    return entry(name, target, attributes=0o120777 << 16)


def a_tar() -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as tar:
        for name, kind in (("hard", tarfile.LNKTYPE), ("device", tarfile.BLKTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            tar.addfile(member)
    return target.getvalue()


def overlapping() -> bytes:
    """Many records of one body: 60 KB of archive that would be 10 GB of files."""
    kernel = deflated(bytes(10 * MIB))
    one = entry(b"0", bytes(10 * MIB), packed=kernel, method=8)
    local, _ = one(0)
    records = [entry(b"%d" % n, bytes(10 * MIB), packed=kernel, method=8, offset=0)(0)[1] for n in range(1000)]
    directory = b"".join(records)
    return local + directory + struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 1000, 1000, len(directory), len(local), 0)


def quoted() -> bytes:
    """Each entry's data quotes the headers of those behind it, in a stored block, and ends in one shared body."""
    content = NOISE[:20_000] * 10
    body = deflated(content)
    names = [b"%03d" % n for n in range(40)]
    locals_, records = b"", []
    for name in reversed(names):
        local, record = entry(name, content, packed=body, method=8)(0)
        header = local[: len(local) - len(body)]
        records.append((name, record, len(header)))
        locals_ = header + locals_ if locals_ else local
        body = b"\x00" + struct.pack("<2H", len(header), 0xFFFF ^ len(header)) + header + body
        content = header + content
        locals_ = b"\x00" + struct.pack("<2H", len(header), 0xFFFF ^ len(header)) + locals_
    front, directory = locals_[5:], b""
    place = 0
    for _, record, header in reversed(records):
        directory += record[:42] + struct.pack("<I", place) + record[46:]
        place += header + 5
    count = len(names)
    return front + directory + struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, count, count, len(directory), len(front), 0)


def zip_64(**lies: int) -> bytes:
    """A sound archive that says its sizes in the ZIP64 records, with lies there."""
    fields = {"count": 1, "size": 51, "start": 75} | lies
    local, record = entry(b"a.bin")(0)
    record_64 = struct.pack(
        "<4sQ2H2I4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, fields["count"], fields["count"], fields["size"], fields["start"]
    )
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, len(local) + len(record), 1)
    last = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return local + record + record_64 + locator + last


def nested() -> bytes:
    """A bomb in a ZIP in a ZIP: what is inside stays packed."""
    inner = packed({"zeros": bytes(64 * MIB)})
    for _ in range(2):
        inner = packed({f"{n}.zip": inner for n in range(6)}, zipfile.ZIP_STORED)
    return packed({"inner.zip": inner}, zipfile.ZIP_STORED)


GOOD = packed({"a.bin": b"x" * 40})
PDF, GIF = b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n", b"GIF89a\x01\x00\x01\x00\x00\x00\x00;"
NFC, NFD = (unicodedata.normalize(form, "é.bin").encode() for form in ("NFC", "NFD"))
HUGE, ZEROS = 5_000_000, bytes(60 * MIB)
SECOND_NAME = struct.pack("<2HBI", 0x7075, 10, 1, 0) + b"b.bin"
Hostile = tuple[str, Callable[[], bytes], str | None]  # what it is, how it is made, what its refusal says
TABLE: list[Hostile] = [
    ("55 slip", lambda: archive(entry(b"../../x")), "leads out of its folder"),
    ("55 slip by a folder", lambda: archive(entry(b"../", b"", attributes=0o40755 << 16), entry()), "leads out"),
    ("56 absolute", lambda: archive(entry(b"/etc/passwd")), "is absolute"),
    ("56 drive letter", lambda: archive(entry(b"C:/x")), "is absolute"),
    ("57 backslash", lambda: archive(entry(b"..\\..\\x")), "backslash"),
    ("58 symbolic link", lambda: archive(link(b"/etc/passwd")), "symbolic link"),
    ("59 link, then through it", lambda: archive(link(b"/etc", b"d"), entry(b"d/x")), "symbolic link"),
    ("60 hard link, device (tar)", a_tar, "is no ZIP"),
    ("60 device", lambda: archive(entry(attributes=0o60644 << 16)), "neither a plain file"),
    ("60 named pipe", lambda: archive(entry(attributes=0o10644 << 16)), "neither a plain file"),
    ("60 folder by its DOS bit", lambda: archive(entry(attributes=0x10)), "neither a plain file"),
    ("60 folder with bytes", lambda: archive(entry(b"d/", attributes=0o40755 << 16)), "neither a plain file"),
    ("61 42-style nested", nested, None),
    ("62 1000:1 zeros", lambda: packed({"zeros": bytes(50 * MIB)}), "shrank"),
    ("62 many under the ratio", lambda: packed({f"{n}": b"ab" * 31 + NOISE[:900] for n in range(9)} | {
        f"z{n}": bytes(60_000) for n in range(1200)}), "unpacks to"),
    ("63 overlapping", overlapping, "overlaps"),
    ("64 quoted overlap", quoted, "overlaps"),
    ("65 says less", lambda: archive(entry(packed=deflated(bytes(HUGE)), method=8, size=40)), "another size"),
    ("65 says less, of a bomb", lambda: archive(entry(packed=deflated(ZEROS), method=8, size=9)), "another size"),
    ("65 says more", lambda: archive(entry(packed=deflated(b"x" * 40), method=8, size=41)), "another size"),
    ("65 stored, says more", lambda: archive(entry(size=41)), "another size"),
    ("65 bytes behind the end", lambda: archive(entry(packed=deflated(b"x" * 40) + b"y", method=8)), "another size"),
    ("66 bad CRC", lambda: archive(entry(crc32=1)), "checksum is wrong"),
    ("66 damaged stream", lambda: archive(entry(packed=b"\xff" * 9, method=8)), "damaged"),
    ("67 encrypted", lambda: archive(entry(flags=0x801)), "encrypted"),
    ("67 strongly encrypted", lambda: archive(entry(flags=0x841)), "encrypted"),
    ("67 odd method", lambda: archive(entry(method=99)), "method 99"),
    ("68 duplicate names", lambda: archive(entry(), entry(content=b"y")), "would be one file"),
    ("69 case clash", lambda: archive(entry(b"a.bin"), entry(b"A.BIN")), "would be one file"),
    ("69 NFC and NFD twins", lambda: archive(entry(NFC), entry(NFD)), "would be one file"),
    ("69 file and folder", lambda: archive(entry(b"a"), entry(b"A/b")), "as a file and as the folder"),
    ("70 NUL in name", lambda: archive(entry(b"a\0.bin")), "control characters"),
    ("70 newline in name", lambda: archive(entry(b"a\n.bin")), "control characters"),
    ("70 not UTF-8", lambda: archive(entry(b"\xff.bin")), "not UTF-8"),
    ("71 100 001 entries", lambda: packed({f"{n}": b"" for n in range(100_001)}), "ZIP64"),
    ("71 3 001 entries", lambda: archive(*[entry(b"%d" % n, b"") for n in range(3001)]), "3,001 entries"),
    ("71 60 001 entries, said", lambda: archive(entry(), count=60_001), "60,001 entries"),
    ("71 1 001 files", lambda: archive(*[entry(b"%d" % n, b"") for n in range(MAX_FILES + 1)]), "1,001 files"),
    ("72 depth 500", lambda: archive(entry(b"d/" * 200 + b"x")), "32 folders deep"),
    ("72 long name", lambda: archive(entry(b"x" * 60_000)), "longer than"),
    ("73 zip64", zip_64, "ZIP64"),
    ("73 zip64 lies of a count", lambda: zip_64(count=2**40), "ZIP64"),
    ("73 zip64 lies of a place", lambda: zip_64(start=2**63), "ZIP64"),
    ("73 zip64 size of an entry", lambda: archive(entry(size=0xFFFFFFFF, local={"size": 40})), "ZIP64"),
    ("74 PDF before", lambda: PDF + GOOD, "no ZIP"),
    ("74 GIF before, offsets true", lambda: archive(entry(), before=GIF), "no ZIP"),
    ("74 PDF behind", lambda: GOOD + PDF, "behind"),
    ("74 in the comment", lambda: GOOD[:-2] + struct.pack("<H", len(PDF)) + PDF, "behind"),
    ("74 a second archive behind", lambda: GOOD + packed({"b.bin": b"y"}), "directory that is not where"),
    ("74 between entries", lambda: archive(entry(), after(b"?" * 9, entry(b"b"))), "bytes"),
    ("74 before the directory", lambda: archive(entry(), lambda at: (b"?" * 9, b""), count=1), "bytes"),
    ("75 another local name", lambda: archive(entry(local={"name": b"b.bin"})), "differs from the directory"),
    ("75 another local method", lambda: archive(entry(local={"method": 8})), "differs from the directory"),
    ("75 another local size", lambda: archive(entry(local={"size": 39})), "differs from the directory"),
    ("75 another local CRC", lambda: archive(entry(local={"crc32": 5})), "differs from the directory"),
    ("75 local says encrypted", lambda: archive(entry(local={"flags": 0x801})), "differs from the directory"),
    ("75 a second name", lambda: archive(entry(extra=SECOND_NAME)), "second name"),
    ("75 an entry without a record", lambda: archive(entry(), lambda at: (entry(b"b")(at)[0], b""), count=1), "bytes"),
    ("76 nothing", lambda: b"", "no ZIP"),
    ("76 no files", lambda: packed({}), "has no files"),
    ("76 only folders", lambda: packed({"a/": b"", "a/b/": b""}), "has no files"),
    ("76 no ZIP", lambda: b"PK" + NOISE, "no ZIP"),
    ("76 cut off", lambda: GOOD[:-30], "cut off"),
    ("76 cut off in its end", lambda: GOOD[:-3], "cut off"),
    ("76 count too high", lambda: archive(entry(), count=2), "shorter than it says"),
    ("76 count too low", lambda: archive(entry(), entry(b"b"), count=1), "longer than it says"),
    ("— reserved", lambda: archive(entry(b".slipway/registry.json")), "kept for the registry"),
    ("— too long to be read", lambda: GOOD + bytes(10 * MIB), "more than 10,485,760 bytes"),
]  # fmt: skip


def test_hostile_archives_are_refused_at_once_and_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    print(f"\n{'archive':32} {'bytes':>10} {'seconds':>8} {'MiB':>6} {'outside':>7}  verdict")
    wrong = []
    for what, made, says in TABLE:
        data = made()
        tracemalloc.start()
        began = time.perf_counter()
        outside = 0
        try:
            found = list(read_folder(io.BytesIO(data), True))
            verdict = f"accepted: {len(found)} file, {sum(len(content) for _, content in found):,} bytes"
            roots = [os.path.normpath(tmp_path / "prefix" / name) for name, _ in found]
            outside = sum(not root.startswith(f"{tmp_path}/prefix/") for root in roots)
        except BadRequest as error:
            verdict = error.detail
        seconds, memory = time.perf_counter() - began, tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        outside += len(list(tmp_path.iterdir()))
        print(f"{what:32} {len(data):>10,} {seconds:>8.3f} {memory / MIB:>6.1f} {outside:>7}  {verdict[:150]}")
        as_expected = verdict.startswith("accepted") if says is None else says in verdict
        if not as_expected or memory > MOST_MEMORY or outside:
            wrong.append((what, verdict, seconds, memory, outside))
    assert wrong == []
    assert {int(what[:2]) for what, _, _ in TABLE if what[:2].isdigit()} == {*range(55, 77)}


def test_the_ordinary_neighbour_of_each_lie_is_accepted() -> None:
    """The builder's own archives are sound: what is refused above is refused for its lie."""
    sound = archive(
        entry(), entry(b"d/", b"", attributes=0o40755 << 16), entry(b"d/b", method=8, packed=deflated(b"x" * 40))
    )
    assert unpacked(sound) == {"a.bin": b"x" * 40, "d/b": b"x" * 40}
    assert unpacked(archive(*[entry(b"%d" % n, b"") for n in range(MAX_FILES)]))
    assert unpacked(archive(entry(b"d/" * 31 + b"x")))
    later = entry(packed=deflated(b"x" * 40), method=8, flags=0x808, local={"size": 0, "packed": 0, "crc32": 0})
    size = struct.pack("<4s3I", b"PK\x07\x08", zlib.crc32(b"x" * 40), len(deflated(b"x" * 40)), 40)
    assert unpacked(archive(lambda at: (later(at)[0] + size, later(at)[1])))


def test_the_names_limits_are_those_of_s3() -> None:
    assert folder.MAX_NAME_BYTES + 384 == 1024

"""The directory at the end of a ZIP, checked before a file of it is read: names, sizes, and where entries lie."""

import re
import stat
import struct
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import NoReturn

MIB = 1024 * 1024
MAX_ENTRIES = 100_000
MAX_DIRECTORY = 32 * MIB
MAX_NAME = 1_000  # bytes
MAX_DEPTH = 16
MAX_MEMBER = 256 * MIB  # unpacked, of one file
# Unpacked, of one file of a kind that is read in pieces: annotations, recordings.
IN_PIECES = {".json": 1024 * MIB} | dict.fromkeys((".wav", ".flac", ".mp3", ".mp4", ".m4v", ".mov"), 64 * 1024 * MIB)
MAX_TOTAL = 1024 * 1024 * MIB  # unpacked, of all
MAX_RATIO = 200  # unpacked to packed, for more than RATIO_FROM bytes
RATIO_FROM = MIB
MAX_COMMENT = 1_000

STORED, DEFLATED = 0, 8
ENCRYPTED, DESCRIPTOR, STRONGLY_ENCRYPTED, MASKED = 0x0001, 0x0008, 0x0040, 0x2000
LOCAL, CENTRAL, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
END_64, LOCATOR_64 = b"PK\x06\x06", b"PK\x06\x07"
WIDE, UNICODE_PATH = 0x0001, 0x7075  # kinds of extra fields: 64-bit sizes, a second name
UNKNOWN = 0xFFFFFFFF  # in place of a size that a 64-bit field says
DOS_FOLDER = 0x10
RECORD = struct.Struct("<4s6H3I5H2I")
PACK_AGAIN = "pack the folder again"

Read = Callable[[int, int], bytes]
"""Returns the file's bytes from an offset, of a length."""


@dataclass(slots=True)
class Entry:
    """A file or folder in a ZIP as its directory tells it; sizes and offsets in bytes."""

    name: str
    size: int
    packed: int
    method: int
    flags: int
    crc32: int
    offset: int  # of its own header
    limit: int = 0  # where the next entry begins, or the directory

    @property
    def is_folder(self) -> bool:
        return self.name.endswith("/")

    @property
    def is_skipped(self) -> bool:
        """Whether it is something that systems add: dot files, macOS' and Windows' own."""
        parts = self.name.split("/")
        return parts[0] == "__MACOSX" or parts[-1] == "Thumbs.db" or any(part.startswith(".") for part in parts)


class ZipProblem(Exception):
    """What is wrong with a ZIP, to go on after its name."""


def refuse(problem: str) -> NoReturn:
    """Raise ZipProblem."""
    raise ZipProblem(problem)


def refuse_entry(name: str | bytes, problem: str) -> NoReturn:
    """Raise ZipProblem for an entry; `problem` goes on after its name."""
    text = ascii(name if isinstance(name, str) else name.decode(errors="replace"))
    refuse(f"has an entry {text if len(text) <= 120 else f'{text[:117]}...'} that {problem}.")


def entries_of(read: Read, file_size: int) -> list[Entry]:
    """Return the entries in the order of their bytes. Raises ZipProblem unless they fill the file and are harmless."""
    start, stop, count = directory_of(read, file_size)
    entries = sorted(records(read(start, stop - start), count), key=lambda entry: entry.offset)
    if (entries[0].offset if entries else start) != 0:
        refuse(f"has other bytes before its first entry: {PACK_AGAIN} as an ordinary ZIP.")
    for entry, limit in zip(entries, [*(entry.offset for entry in entries), start][1:], strict=True):
        entry.limit = limit
        if entry.offset + 30 + len(entry.name.encode()) + entry.packed > limit:
            refuse_entry(entry.name, f"overlaps another one: {PACK_AGAIN}")
    check_sizes(entries)
    check_names(entries)
    return entries


def directory_of(read: Read, file_size: int) -> tuple[int, int, int]:
    """Return where the directory begins and ends, and its number of entries."""
    tail_at = max(0, file_size - 22 - MAX_COMMENT)
    tail = read(tail_at, file_size - tail_at)
    if file_size < 22 or read(0, 4) not in (LOCAL, END):
        refuse(f"is no ZIP, or has other bytes before it: {PACK_AGAIN} as an ordinary ZIP.")
    at = tail.rfind(END)
    if at < 0 or len(tail) < at + 22:
        refuse("is cut off, or has other bytes behind it: upload it again, or pack the folder as an ordinary ZIP.")
    disk, first_disk, here, count, size, start, comment = struct.unpack_from("<4H2IH", tail, at + 4)
    if len(tail) != at + 22 + comment or not tail[at + 22 :].decode(errors="replace").isprintable():
        refuse("has other bytes behind it, or is cut off: pack the folder as an ordinary ZIP.")
    end = tail_at + at
    locator = read(end - 20, 20) if end >= 20 else b""
    if locator.startswith(LOCATOR_64):
        said, (disk, first_disk, here, count, size, start), end = (
            (here, count, size, start),
            *directory_64(read, locator, end - 20),
        )
        for small, large, unknown in zip(
            said, (here, count, size, start), (0xFFFF, 0xFFFF, UNKNOWN, UNKNOWN), strict=True
        ):
            if small not in (large, unknown):
                refuse(f"says two things about its directory: {PACK_AGAIN}.")
    if disk or first_disk or here != count:
        refuse("is one volume of several: pack the folder into one ZIP.")
    if count > MAX_ENTRIES:
        refuse(f"has {count:,} entries; {MAX_ENTRIES:,} are possible: split it into several ZIPs.")
    if start + size != end:
        refuse(f"has a directory that is not where it says: {PACK_AGAIN}, with ZIP64 when it is over 4 GiB.")
    if size > MAX_DIRECTORY:
        refuse(f"has a directory of {size:,} bytes; {MAX_DIRECTORY:,} are possible: split it, or shorten the names.")
    return start, end, count


def directory_64(read: Read, locator: bytes, locator_at: int) -> tuple[tuple[int, ...], int]:
    """Return the fields of the 64-bit end record (both disks, both counts, size, start), and where it begins."""
    disk, at, disks = struct.unpack_from("<IQI", locator, 4)
    record = read(at, 56) if at + 56 <= locator_at else b""
    if not record.startswith(END_64) or at + 12 + struct.unpack_from("<Q", record, 4)[0] != locator_at:
        refuse(f"has a 64-bit directory that is not where it says: {PACK_AGAIN}.")
    if disk or disks > 1:
        refuse("is one volume of several: pack the folder into one ZIP.")
    return struct.unpack_from("<2I4Q", record, 16), at


def records(directory: bytes, count: int) -> Iterator[Entry]:
    """Yield the entries of a directory; raises ZipProblem unless there are `count` and nothing else."""
    at = 0
    for _ in range(count):
        if at + RECORD.size > len(directory) or not directory.startswith(CENTRAL, at):
            refuse(f"has a directory shorter than it says: {PACK_AGAIN}.")
        fields = RECORD.unpack_from(directory, at)
        _, _, _, flags, method, _, _, crc32, packed, size, *lengths, disk, _, attributes, offset = fields
        name_end = at + RECORD.size + lengths[0]
        extra_end = name_end + lengths[1]
        name, extra = directory[at + RECORD.size : name_end], directory[name_end:extra_end]
        at = extra_end + lengths[2]
        if at > len(directory):
            refuse(f"has a directory shorter than it says: {PACK_AGAIN}.")
        size, packed, offset, disk = sizes_64(name, extra, size, packed, offset, disk)
        if disk:
            refuse_entry(name, "lies in another volume: pack the folder into one ZIP")
        entry = Entry(text_of(name), size, packed, method, flags, crc32, offset)
        check_kind(entry, attributes)
        yield entry
    if at != len(directory):
        refuse(f"has a directory longer than it says: {PACK_AGAIN}.")


def extra_fields(name: bytes, extra: bytes) -> dict[int, bytes]:
    """Return extra fields by kind. Raises ZipProblem for one that comes twice or names the entry otherwise."""
    found: dict[int, bytes] = {}
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<2H", extra)
        if kind in found and kind in (WIDE, UNICODE_PATH):
            refuse_entry(name, f"has an extra field twice: {PACK_AGAIN}")
        found[kind], extra = extra[4 : 4 + length], extra[4 + length :]
    if found.get(UNICODE_PATH, b"-----" + name)[5:] != name:
        refuse_entry(name, f"has a second name: {PACK_AGAIN}, with names in UTF-8")
    return found


def sizes_64(name: bytes, extra: bytes, *told: int) -> list[int]:
    """Return size, packed size, offset and disk, as a 64-bit extra field says where the short ones cannot."""
    wide, values = extra_fields(name, extra).get(WIDE, b""), []
    for value, unknown, length in zip(told, (UNKNOWN, UNKNOWN, UNKNOWN, 0xFFFF), (8, 8, 8, 4), strict=False):
        if value == unknown and len(wide) >= length:
            value, wide = int.from_bytes(wide[:length], "little"), wide[length:]
        values.append(value)
    return values


def text_of(name: bytes) -> str:
    """Return a name as text. Raises ZipProblem for one that could leave its folder or mean two things."""
    try:
        text = name.decode()
    except UnicodeDecodeError:
        refuse_entry(name, "has a name that is not UTF-8: rename it, or pack the folder with another program")
    parts = text.removesuffix("/").split("/")
    if text.startswith("/") or ".." in parts or re.match(r"[A-Za-z]:", text):
        refuse_entry(text, f"leaves its folder: {PACK_AGAIN}, with relative names")
    if "\\" in text:
        refuse_entry(text, "has a backslash in its name: rename it, or pack the folder with another program")
    if any(unicodedata.category(character) in ("Cc", "Zl", "Zp") for character in text):
        refuse_entry(text, "has a control character in its name: rename it")
    if "" in parts or "." in parts:
        refuse_entry(text, "has an empty part in its name: rename it")
    if len(parts) > MAX_DEPTH:
        refuse_entry(text, f"is deeper than {MAX_DEPTH} folders: move it up")
    if len(name) > MAX_NAME:
        refuse_entry(text, f"has a name longer than {MAX_NAME:,} bytes: shorten it")
    return text


def check_kind(entry: Entry, attributes: int) -> None:
    """Raise ZipProblem for what is neither a folder nor a plain file, stored or deflated."""
    kind = stat.S_IFMT(attributes >> 16)
    if kind == stat.S_IFLNK:
        refuse_entry(entry.name, "is a symbolic link: put the file itself there")
    if kind not in (0, stat.S_IFDIR if entry.is_folder else stat.S_IFREG) or (entry.is_folder and entry.size):
        refuse_entry(entry.name, "is neither a plain file nor a folder: leave it out")
    if attributes & DOS_FOLDER and not entry.is_folder:
        refuse_entry(entry.name, "is neither a plain file nor a folder: leave it out")
    if entry.flags & (ENCRYPTED | STRONGLY_ENCRYPTED | MASKED):
        refuse_entry(entry.name, "is encrypted: pack it without a password")
    if entry.method not in (STORED, DEFLATED):
        refuse_entry(entry.name, f"is compressed by method {entry.method}: pack it with the ordinary one, Deflate")
    if entry.method == STORED and entry.packed != entry.size:
        refuse_entry(entry.name, f"has two sizes though it is not compressed: {PACK_AGAIN}")


def check_sizes(entries: list[Entry]) -> None:
    """Raise ZipProblem for what would unpack to more than anyone packs."""
    for entry in entries:
        limit = IN_PIECES.get(PurePosixPath(entry.name.lower()).suffix, MAX_MEMBER)
        if entry.size > limit:
            refuse_entry(entry.name, f"is {entry.size:,} bytes unpacked; {limit:,} are possible: split it")
        if entry.size > RATIO_FROM and entry.size > MAX_RATIO * entry.packed:
            refuse_entry(entry.name, f"unpacks to more than {MAX_RATIO} times its size: leave it out")
    total = sum(entry.size for entry in entries)
    if total > MAX_TOTAL:
        refuse(f"is {total:,} bytes unpacked; {MAX_TOTAL:,} are possible: split it into several ZIPs.")
    if total > RATIO_FROM and total > MAX_RATIO * sum(entry.packed for entry in entries):
        refuse(f"unpacks to more than {MAX_RATIO} times its size: leave out what is empty.")


def check_names(entries: list[Entry]) -> None:
    """Raise ZipProblem for two entries that would be one file on some system, and for a file with files in it."""
    files: set[str] = set()
    folders: set[str] = set()
    for entry in entries:
        key = same_name(entry.name.removesuffix("/"))
        if key in files or key in folders:
            refuse_entry(entry.name, "is there twice (case and accents do not tell names apart): rename one")
        (folders if entry.is_folder else files).add(key)
    for key in (*files, *folders):
        while "/" in key:
            key = key.rpartition("/")[0]
            if key in files:
                refuse_entry(key, "is a file and a folder: rename one")


def same_name(name: str) -> str:
    """Return what two names share that some systems take for one."""
    return (
        name.lower() if name.isascii() else unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
    )

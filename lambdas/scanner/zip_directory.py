"""The entries of a ZIP archive as its central directory tells them, checked against what the file itself holds."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from lambdas.scanner.limits import LimitExceeded, Walk
from lambdas.scanner.report import Examination, shown
from lambdas.scanner.source import Source

END = b"PK\x05\x06"
END64 = b"PK\x06\x06"
LOCATOR64 = b"PK\x06\x07"
ENTRY = struct.Struct("<4s6H3I5H2I")
LOCAL = struct.Struct("<4s5H3I2H")
LONGEST_TAIL = 65_535 + 22
LARGEST_DIRECTORY = 64 * 1024 * 1024
UNKNOWN = 0xFFFFFFFF
DESCRIPTOR = 24  # bytes at most that may follow an entry's data
WIDE, UNICODE_PATH = 1, 0x7075  # kinds of extra fields
FLAG_DESCRIPTOR = 0x8
ENCRYPTION_FLAGS = 0x2041


class BrokenArchive(Exception):
    """There is no directory, or it does not fit the file."""


@dataclass
class Entry:
    """One member, and where its bytes are."""

    name: str
    raw_name: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    offset: int  # of its local header
    mode: int  # Unix, 0 when unknown
    data: int = 0  # where its bytes begin


@dataclass
class Directory:
    """All members in the order of the directory, and the stretch of the file before its own records."""

    entries: list[Entry] = field(default_factory=list)
    start: int = 0
    end: int = 0


def read(source: Source, found: Examination, walk: Walk) -> Directory:
    """Return the directory; what is odd about it is found. Raises BrokenArchive, LimitExceeded."""
    tail_at = max(0, source.size - LONGEST_TAIL)
    tail = source.read(tail_at, LONGEST_TAIL)
    at = tail.rfind(END)
    if at < 0 or len(tail) - at < 22:
        raise BrokenArchive("it has no end of central directory")
    count, size, start, comment = struct.unpack_from("<HIIH", tail, at + 10)
    end = tail_at + at
    if end + 22 + comment != source.size:
        found.suspicious("data_after_archive", f"{source.size - end - 22 - comment} bytes follow the archive's end.")
    records = end
    if count == 0xFFFF or UNKNOWN in (size, start) or tail[max(0, at - 20) : at][:4] == LOCATOR64:
        count, size, start, records = read64(source, end, (count, size, start), found)
    if tail.count(END, max(0, start + size - tail_at)) > 1:
        found.suspicious("two_ends", "It has two ends of central directory: readers may see different members.")
    if size > LARGEST_DIRECTORY or count > walk.entries_left:
        raise LimitExceeded("too_many_entries", f"It has {count} entries, more than the scanner walks.")
    if start + size > records:
        raise BrokenArchive("its central directory does not fit into it")
    shift = records - size - start
    if shift:
        found.suspicious("data_before_archive", f"{shift} bytes stand before the archive.")
    directory = Directory(start=shift, end=start + shift)
    parse(source.read(start + shift, size), count, shift, directory, found, walk)
    return directory


def read64(source: Source, end: int, told: tuple[int, int, int], found: Examination) -> tuple[int, int, int, int]:
    """Return count, size, start and end of the directory as the 64-bit record tells them."""
    locator = source.read(end - 20, 20) if end >= 20 else b""
    at = int.from_bytes(locator[8:16], "little")
    record = source.read(at, 56)
    if locator[:4] != LOCATOR64 or len(record) < 56 or record[:4] != END64:
        raise BrokenArchive("its 64-bit record is not where it says")
    count, size, start = struct.unpack_from("<QQQ", record, 32)
    for small, large, most in zip(told, (count, size, start), (0xFFFF, UNKNOWN, UNKNOWN), strict=True):
        if small not in (most, large):
            found.suspicious("two_sizes", "Its 64-bit record contradicts the other: readers may see different members.")
            break
    return count, size, start, at


def parse(data: bytes, count: int, shift: int, directory: Directory, found: Examination, walk: Walk) -> None:
    """Fill in the entries from the bytes of the central directory."""
    at = 0
    while at + ENTRY.size <= len(data) and data[at : at + 4] == b"PK\x01\x02":
        walk.spend_entry()
        (_, made_by, _, flags, method, _, _, crc, packed, size, name, more, comment, _, _, mode, offset) = (
            ENTRY.unpack_from(data, at)
        )
        raw = data[at + ENTRY.size : at + ENTRY.size + name]
        extras = data[at + ENTRY.size + name : at + ENTRY.size + name + more]
        size, packed, offset = sizes64(extras, size, packed, offset)
        if other_name(extras, raw):
            found.malicious("two_names", f"{shown(raw.decode('utf-8', 'replace'), 100)}: the member has a second name.")
        text = raw.decode("utf-8" if flags & 0x800 else "cp437", "replace")
        unix = mode >> 16 if made_by >> 8 in (3, 19) else 0
        directory.entries.append(Entry(text, raw, flags, method, crc, packed, size, offset + shift, unix))
        at += ENTRY.size + name + more + comment
    if len(directory.entries) != count:
        found.suspicious("entry_count", f"It tells {count} entries and has {len(directory.entries)}.")
    if at != len(data):
        found.suspicious("directory_size", f"Its central directory ends at byte {at} of {len(data)}.")


def sizes64(extras: bytes, size: int, packed: int, offset: int) -> tuple[int, int, int]:
    """Return size, packed size and offset with the 64-bit ones where an entry has them."""
    wide = extra(extras, WIDE)
    values = []
    for value in (size, packed, offset):
        if value == UNKNOWN and len(wide) >= 8:
            value, wide = int.from_bytes(wide[:8], "little"), wide[8:]
        values.append(value)
    return values[0], values[1], values[2]


def other_name(extras: bytes, raw: bytes) -> bool:
    """Tell whether an entry has another name for readers that know Info-ZIP's extension."""
    unicode_path = extra(extras, UNICODE_PATH)
    return len(unicode_path) > 5 and unicode_path[5:] != raw and raw.isascii()


def extra(extras: bytes, wanted: int) -> bytes:
    """Return an extra field of an entry, b"" when it has none of the kind."""
    at = 0
    while at + 4 <= len(extras):
        kind, length = struct.unpack_from("<HH", extras, at)
        if kind == wanted:
            return extras[at + 4 : at + 4 + length]
        at += 4 + length
    return b""


def place(source: Source, entry: Entry, found: Examination) -> bool:
    """Find where an entry's bytes begin and hold its local header against the directory; tell whether it has one."""
    header = source.read(entry.offset, LOCAL.size)
    name = shown(entry.name, 100)
    if len(header) < LOCAL.size or header[:4] != b"PK\x03\x04":
        found.suspicious("no_local_header", f"{name}: there is no entry at byte {entry.offset}.")
        return False
    _, _, flags, method, _, _, crc, packed, size, name_length, extra_length = LOCAL.unpack(header)
    rest = source.read(entry.offset + LOCAL.size, name_length + extra_length)
    if rest[:name_length] != entry.raw_name:
        other = shown(rest[:name_length].decode("utf-8", "replace"), 100)
        found.malicious("two_names", f"{name}: the entry itself is called {other}; readers may see either.")
    size, packed, _ = sizes64(rest[name_length:], size, packed, 0)
    told = [(crc, entry.crc), (packed, entry.packed), (size, entry.size)]
    later = flags & FLAG_DESCRIPTOR  # then the header may leave them out
    if method != entry.method or any(a != b and not (later and a in (0, UNKNOWN)) for a, b in told):
        found.suspicious("two_sizes", f"{name}: the entry itself tells another size, checksum or method.")
    entry.data = entry.offset + LOCAL.size + name_length + extra_length
    if entry.data + entry.packed > source.size:
        found.suspicious("outside_archive", f"{name}: its bytes would end outside the file.")
        return False
    return True


def lay_out(directory: Directory, found: Examination) -> None:
    """Say where entries overlap, and where bytes lie that no entry has."""
    covered, gaps = directory.start, 0
    before = None
    for entry in sorted(directory.entries, key=lambda entry: entry.offset):
        if before is not None and entry.offset < covered:
            names = f"{shown(before.name, 80)} and {shown(entry.name, 80)}"
            found.malicious("overlapping_entries", f"{names} share bytes of the archive.")
            return
        slack = DESCRIPTOR if before is not None and before.flags & FLAG_DESCRIPTOR else 0
        gaps += max(0, entry.offset - covered - slack)
        covered, before = max(entry.data, entry.offset) + entry.packed, entry
    if covered > directory.end:
        found.malicious("overlapping_entries", "An entry shares bytes with the central directory.")
    slack = DESCRIPTOR if before is not None and before.flags & FLAG_DESCRIPTOR else 0
    gaps += max(0, directory.end - covered - slack)
    if gaps:
        found.suspicious("hidden_bytes", f"{gaps} bytes of the archive belong to no entry.")

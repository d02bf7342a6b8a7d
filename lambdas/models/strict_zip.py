"""A ZIP read strictly: it has one meaning, or it is refused.

Every byte of the archive is accounted for: local headers, data and directory follow each other without gap or
overlap, and say the same. So no other program can see other files in it than those that were checked.
"""

import stat
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

from lambdas.common.errors import BadRequest

MAX_ENTRIES = 3000  # with folders and what macOS adds
MAX_COMMENT = 64  # Git writes a commit's name there
CHUNK = 64 * 1024

STORED, DEFLATED = 0, 8
ENCRYPTED, DESCRIPTOR, STRONGLY_ENCRYPTED, MASKED = 0x0001, 0x0008, 0x0040, 0x2000
LOCAL, CENTRAL, END, END_64 = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06", b"PK\x06\x07"
UNICODE_PATH = 0x7075  # an extra field with a second name
DOS_FOLDER = 0x10


@dataclass(frozen=True)
class Entry:
    """A file or folder in the archive, as its directory and its local header agree on it."""

    name: str
    method: int
    crc32: int
    packed: int
    size: int
    start: int  # of its data
    is_folder: bool


def shown(name: str) -> str:
    """Return a name as it may stand in a message: escaped, and not long."""
    text = ascii(name)
    return text if len(text) <= 120 else f"{text[:117]}...'"


def refuse(problem: str) -> NoReturn:
    """Raise BadRequest; `problem` goes on after `The ZIP`, and says what to do."""
    raise BadRequest(f"The ZIP {problem}")


def refuse_entry(name: str | bytes, problem: str) -> NoReturn:
    """Raise BadRequest for an entry; `problem` goes on after its name."""
    refuse(f"has an entry {shown(name if isinstance(name, str) else name.decode(errors='replace'))} that {problem}")


def entries_of(data: bytes) -> list[Entry]:
    """Return the archive's entries in the order of their bytes; raises BadRequest unless every byte is theirs."""
    start, stop, count = directory_of(data)
    records: list[tuple[int, tuple[int, ...], bytes]] = []
    at = start
    for _ in range(count):
        fields, name, at = central_record(data, at, stop)
        records.append((fields[-1], fields, name))
    if at != stop:
        refuse("has a directory longer than it says: pack the folder again.")
    records.sort(key=lambda record: record[0])
    entries, end = [], 0
    limits = [*(offset for offset, _, _ in records[1:]), start]
    for (offset, fields, name), limit in zip(records, limits[: len(records)], strict=True):
        if offset != end:
            refuse_entry(name, "has other bytes before it: pack the folder again.")
        entry = local_entry(data, fields, name, limit)
        end = limit
        entries.append(entry)
    if end != start:
        refuse("has other bytes before its directory: pack the folder again.")
    return entries


def directory_of(data: bytes) -> tuple[int, int, int]:
    """Return where the directory begins and ends, and its number of entries."""
    if not data.startswith((LOCAL, END)):
        refuse("is no ZIP, or has other bytes before it: pack the folder as an ordinary ZIP.")
    at = data.rfind(END)
    if at < 0 or len(data) < at + 22:
        refuse("is cut off: upload it again.")
    disk, first_disk, here, count, size, start, comment = struct.unpack_from("<4H2IH", data, at + 4)
    said = data[at + 22 :].decode(errors="replace")
    if len(data) != at + 22 + comment or comment > MAX_COMMENT or not said.isprintable():
        refuse("has other bytes behind it, or is cut off: pack the folder as an ordinary ZIP.")
    if data[max(at - 20, 0) : at].startswith(END_64) or 0xFFFF in (here, count) or 0xFFFFFFFF in (size, start):
        refuse("uses ZIP64, which a folder of this size has no need of: pack it again without.")
    if disk or first_disk or here != count:
        refuse("is one volume of several: pack the folder into one ZIP.")
    if count > MAX_ENTRIES:
        refuse(f"has {count:,} entries; {MAX_ENTRIES:,} are possible: pack small ones together.")
    if start + size != at:
        refuse("has a directory that is not where it says: pack the folder again.")
    return start, at, count


def central_record(data: bytes, at: int, stop: int) -> tuple[tuple[int, ...], bytes, int]:
    """Return the fields and the name of the directory's record at `at`, and where the next one is."""
    if at + 46 > stop or data[at : at + 4] != CENTRAL:
        refuse("has a directory shorter than it says: pack the folder again.")
    fields = struct.unpack_from("<6H3I5H2I", data, at + 4)
    name_length, extra_length, comment_length = fields[9:12]
    end = at + 46 + name_length + extra_length + comment_length
    if end > stop:
        refuse("has a directory shorter than it says: pack the folder again.")
    name = data[at + 46 : at + 46 + name_length]
    refuse_second_name(name, data[at + 46 + name_length : end - comment_length])
    return fields, name, end


def local_entry(data: bytes, fields: tuple[int, ...], name: bytes, limit: int) -> Entry:
    """Return the entry of a directory's record; raises BadRequest unless its own bytes, up to `limit`, agree."""
    _, _, flags, method, _, _, crc32, packed, size, _, _, _, disk, _, attributes, offset = fields
    if flags & (ENCRYPTED | STRONGLY_ENCRYPTED | MASKED):
        refuse_entry(name, "is encrypted: pack it without a password.")
    if method not in (STORED, DEFLATED):
        refuse_entry(name, f"is compressed by method {method}: pack it with the ordinary one, Deflate.")
    if disk or 0xFFFFFFFF in (packed, size):
        refuse_entry(name, "uses ZIP64 or another volume: pack the folder again, into one ordinary ZIP.")
    if data[offset : offset + 4] != LOCAL:
        refuse_entry(name, "is not where the directory says: pack the folder again.")
    _, its_flags, its_method, _, _, *its_sizes, name_length, extra_length = struct.unpack_from(
        "<5H3I2H", data, offset + 4
    )
    start = offset + 30 + name_length + extra_length
    said = [crc32, packed, size]
    later = flags & DESCRIPTOR and not any(its_sizes)
    same = (its_flags, its_method, data[offset + 30 : offset + 30 + name_length]) == (flags, method, name)
    if not same or (its_sizes != said and not later):
        refuse_entry(name, "has a header that differs from the directory: pack the folder again.")
    refuse_second_name(name, data[offset + 30 + name_length : start])
    if start + packed > limit:
        refuse_entry(name, "overlaps another one: pack the folder again.")
    if data[start + packed : limit] not in (descriptors(*said) if flags & DESCRIPTOR else [b""]):
        refuse_entry(name, "has other bytes behind it: pack the folder again.")
    try:
        text = name.decode()
    except UnicodeDecodeError:
        refuse_entry(name, "has a name that is not UTF-8: rename it, or pack the folder with another program.")
    return Entry(text, method, crc32, packed, size, start, is_folder(text, attributes, size))


def descriptors(crc32: int, packed: int, size: int) -> list[bytes]:
    """Return what may stand behind the data of an entry whose header was written before its size was known."""
    found = [struct.pack("<3I", crc32, packed, size), struct.pack("<I2Q", crc32, packed, size)]
    return [prefix + record for record in found for prefix in (b"", b"PK\x07\x08")]


def refuse_second_name(name: bytes, extra: bytes) -> None:
    """Raise BadRequest for an extra field that names the entry otherwise, as some programs would believe it."""
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<2H", extra)
        if kind == UNICODE_PATH and extra[9 : 4 + size] != name:
            refuse_entry(name, "has a second name: pack the folder again, with names in UTF-8.")
        extra = extra[4 + size :]


def is_folder(name: str, attributes: int, size: int) -> bool:
    """Return whether an entry is a folder; raises BadRequest for what is neither that nor a plain file."""
    kind = stat.S_IFMT(attributes >> 16)
    folder = name.endswith("/")
    if kind == stat.S_IFLNK:
        refuse_entry(name, "is a symbolic link: put the file itself there.")
    if kind not in (0, stat.S_IFDIR if folder else stat.S_IFREG) or (folder and size):
        refuse_entry(name, "is neither a plain file nor a folder: leave it out.")
    if attributes & DOS_FOLDER and not folder:
        refuse_entry(name, "is neither a plain file nor a folder: leave it out.")
    return folder


def check(data: bytes, entry: Entry) -> None:
    """Raise BadRequest unless an entry unpacks to the size and CRC-32 that it says."""
    crc32 = size = 0
    for chunk in unpacked(data, entry):
        crc32, size = zlib.crc32(chunk, crc32), size + len(chunk)
    if size != entry.size:
        refuse_entry(entry.name, "has another size than it says: pack the folder again.")
    if crc32 != entry.crc32:
        refuse_entry(entry.name, "is damaged, its checksum is wrong: pack the folder again.")


def content(data: bytes, entry: Entry) -> bytes:
    """Return the bytes of an entry that `check` has seen."""
    packed = memoryview(data)[entry.start : entry.start + entry.packed]
    return bytes(packed) if entry.method == STORED else zlib.decompress(packed, -zlib.MAX_WBITS, entry.size)


def unpacked(data: bytes, entry: Entry) -> Iterator[bytes]:
    """Yield an entry's bytes; stops soon after the size that it says. Raises BadRequest for damaged data."""
    packed = memoryview(data)[entry.start : entry.start + entry.packed]
    if entry.method == STORED:
        yield bytes(packed)
        return
    inflater, rest, left = zlib.decompressobj(-zlib.MAX_WBITS), bytes(packed), entry.size
    try:
        while left >= 0 and not inflater.eof:
            chunk = inflater.decompress(rest, CHUNK)
            rest, left = inflater.unconsumed_tail, left - len(chunk)
            yield chunk
            if not chunk and not rest:
                break
    except zlib.error:
        refuse_entry(entry.name, "is damaged: pack the folder again.")
    if left < 0 or not inflater.eof or inflater.unused_data:
        refuse_entry(entry.name, "has another size than it says: pack the folder again.")

"""Tar archives entry by entry, read where they lie."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lambdas.scanner import member_names
from lambdas.scanner.limits import OF_ONE_MEMBER, LimitExceeded, Walk
from lambdas.scanner.report import Examination, shown
from lambdas.scanner.source import Source, WindowSource

BLOCK = 512
LONGEST_NOTE = 1024 * 1024  # a long name, or pax's records
REGULAR, LINKS, FOLDER = b"0\x007", b"12", b"5"
OVERRIDES = {"path", "linkpath", "size"}
NOTES = {b"L": "path", b"K": "linkpath"}  # GNU's long names


class BrokenArchive(Exception):
    """A header is not one."""


@dataclass
class Entry:
    """One member, and where its bytes are."""

    name: str
    kind: bytes
    target: str
    data: int
    size: int


def scan(source: Source, filename: str, walk: Walk) -> Examination:
    """Examine an archive and every file in it."""
    found = Examination("tar")
    names: list[str] = []
    try:
        for entry in entries(source, walk):
            names.append(entry.name)
            try:
                member(found, source, entry, walk)
            except LimitExceeded as error:
                if error.code not in OF_ONE_MEMBER:
                    raise
                found.unscanned(error.code, f"{shown(entry.name, 100)}: {error}")
    except BrokenArchive as error:
        found.suspicious("broken_archive", f"The archive breaks: {error}.")
        found.scanned = False
    except LimitExceeded as error:
        found.unscanned(error.code, str(error))
    member_names.judge(found, names)
    if any(name.rsplit("/", 1)[-1] == "saved_model.pb" for name in names):
        found.format, found.framework = "savedmodel", "tensorflow"
    return found


def member(found: Examination, source: Source, entry: Entry, walk: Walk) -> None:
    """Examine one entry."""
    if entry.kind in LINKS:
        member_names.judge_link(found, entry.name, entry.target)
    elif entry.kind in REGULAR:
        if entry.data + entry.size > source.size:
            raise BrokenArchive(f"{shown(entry.name, 100)} would end outside the file")
        inner = walk.examine(WindowSource(source, entry.data, entry.size), entry.name)
        found.absorb(inner, entry.name)
        found.framework = found.framework or inner.framework
        for key, value in inner.metadata.items():
            found.metadata.setdefault(key, value)
    elif entry.kind != FOLDER:
        found.suspicious("special_file", f"{shown(entry.name, 100)}: the member is a device, a pipe or sparse.")


def entries(source: Source, walk: Walk) -> Iterator[Entry]:
    """Yield the members in order; raises BrokenArchive, LimitExceeded."""
    at = 0
    notes: dict[str, str] = {}
    while at < source.size:
        header = source.read(at, BLOCK)
        if not any(header):
            if any(any(chunk) for chunk in source.chunks(at)):
                raise BrokenArchive(f"other bytes follow its end at byte {at}")
            return
        walk.spend_entry()
        if len(header) < BLOCK or not checked(header):
            raise BrokenArchive(f"there is no header at byte {at}")
        kind, size = header[156:157], number(header[124:136])
        if size < 0:
            raise BrokenArchive("a size is negative")
        if kind in NOTES or kind in b"xg":
            if size > LONGEST_NOTE:
                raise BrokenArchive(f"the name at byte {at} has {size} bytes")
            data = source.read(at + BLOCK, size)
            told = {NOTES[kind]: text(data)} if kind in NOTES else records(data)
            if any(key.startswith("GNU.sparse") or (kind == b"g" and key in OVERRIDES) for key in told):
                raise BrokenArchive("an extended header describes a member in a way that few programs read")
            notes |= told
        else:
            size = int(notes["size"]) if notes.get("size", "").isdecimal() else size
            prefix = text(header[345:500]) if header[257:263] == b"ustar\x00" else ""
            name = notes.get("path") or "/".join(filter(None, (prefix, text(header[:100]))))
            target = notes.get("linkpath") or text(header[157:257])
            notes = {}
            yield Entry(name, kind, target, at + BLOCK, size)
            size = 0 if kind in b"123456" else size
        at += BLOCK + (size + BLOCK - 1) // BLOCK * BLOCK


def checked(header: bytes) -> bool:
    """Tell whether a header's checksum is right."""
    return number(header[148:156]) == sum(header[:148]) + 8 * 32 + sum(header[156:])


def number(field: bytes) -> int:
    """Return a number in octal digits, or in binary as GNU writes large ones."""
    if field[:1] in (b"\x80", b"\xff"):
        return int.from_bytes(field[1:], "big") if field[:1] == b"\x80" else -1
    digits = field.strip(b" \x00")
    if digits.strip(b"01234567"):
        raise BrokenArchive("a number is none")
    return int(digits or b"0", 8)


def text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "replace")


def records(data: bytes) -> dict[str, str]:
    """Return pax's records, each "length key=value\\n"."""
    found: dict[str, str] = {}
    while data:
        length, _, _ = data.partition(b" ")
        if not length.isdigit() or len(length) > 7 or not len(length) + 1 < int(length) <= len(data):
            raise BrokenArchive("its extended header is not one")
        key, _, value = data[len(length) + 1 : int(length) - 1].partition(b"=")
        found[key.decode("utf-8", "replace")] = value.decode("utf-8", "replace")
        data = data[int(length) :]
    return found

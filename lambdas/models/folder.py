"""An uploaded folder: a ZIP whose files are read one by one in memory, or refused by what is wrong with it.

Nothing is ever unpacked to a disk, and the archive is checked whole before the first file is handed out.
"""

import re
import unicodedata
from collections.abc import Iterator
from typing import BinaryIO

from lambdas.common.errors import BadRequest, FieldError
from lambdas.models.strict_zip import Entry, check, content, entries_of, refuse, refuse_entry, shown

MIB = 1024 * 1024
MAX_ARCHIVE_BYTES = 10 * MIB  # no request is longer
MAX_FILES = 1000
MAX_BYTES = 64 * MIB  # of all files, unpacked
MAX_RATIO, RATIO_FROM = 200, 64 * 1024  # small files may shrink more
MAX_NAME, MAX_NAME_BYTES, MAX_DEPTH = 512, 640, 32  # an S3 key has 1,024 bytes, and we add to the name
RESERVED = ".slipway"
JUNK_FOLDER, JUNK_FILE = "__MACOSX", ".DS_Store"
JOINERS = "\u200c\u200d"  # which some scripts and emoji need inside a word


def read_folder(archive: BinaryIO, preserve_structure: bool) -> Iterator[tuple[str, bytes]]:
    """Return the files of an uploaded ZIP, by name and one at a time; raises BadRequest before the first.

    Without `preserve_structure` files are named without their folders. What macOS adds is left out.
    """
    data = archive.read(MAX_ARCHIVE_BYTES + 1)
    if len(data) > MAX_ARCHIVE_BYTES:
        refuse(f"has more than {MAX_ARCHIVE_BYTES:,} bytes: upload its files through an upload plan.")
    entries = entries_of(data)
    refuse_bombs(entries)
    files = dict(named(entries, preserve_structure))
    if not files:
        refuse("has no files: put the model's files into it.")
    if len(files) > MAX_FILES:
        refuse(f"has {len(files):,} files; {MAX_FILES:,} are possible: pack small ones together.")
    for entry in entries:
        check(data, entry)
    return ((name, content(data, entry)) for name, entry in files.items())


def refuse_bombs(entries: list[Entry]) -> None:
    """Raise BadRequest for what would unpack to too much, going by the sizes that `check` then holds it to."""
    for entry in entries:
        if entry.size > max(RATIO_FROM, MAX_RATIO * entry.packed):
            refuse_entry(entry.name, f"shrank to less than a {MAX_RATIO}th: upload it through an upload plan.")
    total = sum(entry.size for entry in entries)
    if total > MAX_BYTES:
        refuse(f"unpacks to {total:,} bytes; {MAX_BYTES:,} are possible: upload its files through an upload plan.")


def checked_filename(name: str) -> str:
    """Return a file's name as it is stored, in NFC; raises BadRequest for one that is no plain relative path."""
    wrong = wrong_with(name)
    if wrong:
        message = f"The filename {shown(name)} {wrong}"
        raise BadRequest(message, errors=[FieldError(field="filename", message=wrong)])
    return unicodedata.normalize("NFC", name)


def wrong_with(name: str) -> str | None:
    """Return what is wrong with a file's name and how to mend it, or None."""
    # Look-alikes of dots and slashes count as what they would become where somebody normalises further.
    plain = unicodedata.normalize("NFKC", name)
    segments = plain.split("/")
    if not name.strip():
        return "is empty: give the file a name."
    if any(unicodedata.category(c)[0] == "C" and c not in JOINERS for c in name) or {"\u2028", "\u2029"} & {*name}:
        return "has control characters: use letters, digits and punctuation only."
    if "\\" in name:
        return "has a backslash: separate folders by /."
    if name.startswith("/") or re.match(r"[A-Za-z]:", name):
        return "is absolute: name it relative to the model's folder."
    if ".." in segments:
        return "leads out of its folder by ..: name it relative to the model's folder."
    if {"", "."} & {*segments} or any(part != part.strip() or part.endswith(".") for part in segments):
        return "has an empty folder name, or one that begins or ends with a space or ends with a dot: rename it."
    if plain.casefold().startswith(RESERVED):
        return f"begins with {RESERVED}, which is kept for the registry: rename it."
    if len(segments) > MAX_DEPTH:
        return f"lies more than {MAX_DEPTH} folders deep: move it up."
    if len(name) > MAX_NAME or len(unicodedata.normalize("NFC", name).encode()) > MAX_NAME_BYTES:
        return f"is longer than {MAX_NAME} characters or {MAX_NAME_BYTES} bytes: shorten it."
    return None


def named(entries: list[Entry], preserve_structure: bool) -> Iterator[tuple[str, Entry]]:
    """Yield the files to keep under the names to keep them under; raises BadRequest where two would be one."""
    taken: dict[str, str] = {}  # as a file system that ignores case sees it -> as it is
    folders: dict[str, str] = {}
    for entry in entries:
        path = checked_filename(entry.name.removesuffix("/") if entry.is_folder else entry.name)
        parts = path.split("/")
        if entry.is_folder or parts[0] == JUNK_FOLDER or parts[-1] == JUNK_FILE:
            continue
        name = path if preserve_structure else checked_filename(parts[-1])
        same = name.casefold()
        if same in taken:
            refuse(f"has {shown(taken[same])} and {shown(entry.name)}, which would be one file: rename one of them.")
        taken[same] = entry.name
        if preserve_structure:
            folders |= {"/".join(parts[:depth]).casefold(): path for depth in range(1, len(parts))}
        yield name, entry
    for both in taken.keys() & folders.keys():
        refuse(f"has {shown(taken[both])} as a file and as the folder of {shown(folders[both])}: rename one of them.")

"""ZIP archives entry by entry, read where they lie: plain ones, torch's, numpy's and Keras'."""

from __future__ import annotations

import stat
import zlib

from lambdas.scanner import compression, member_names, pickles, torch_files, zip_directory
from lambdas.scanner.compression import CorruptStream, Unpacked
from lambdas.scanner.limits import OF_ONE_MEMBER, LimitExceeded, Walk
from lambdas.scanner.report import Examination, shown
from lambdas.scanner.source import Source, WindowSource
from lambdas.scanner.zip_directory import BrokenArchive, Directory, Entry

METHODS = {8: "deflate", 12: "bzip2"}
CHECKED_WHOLE = 1024**3  # archives beyond have only their smaller members' checksums checked
CHECKED_MEMBER = 64 * 1024 * 1024


def scan(source: Source, filename: str, walk: Walk) -> Examination:
    """Examine an archive and every file in it."""
    found = Examination("zip")
    try:
        directory = zip_directory.read(source, found, walk)
    except BrokenArchive as error:
        found.suspicious("broken_archive", f"The archive cannot be read: {error}.")
        found.scanned = False
        return found
    except LimitExceeded as error:
        found.unscanned(error.code, str(error))
        return found
    names = [entry.name for entry in directory.entries]
    found.format, found.framework = kind_of(names)
    member_names.judge(found, names)
    walked = [entry for entry in directory.entries if zip_directory.place(source, entry, found)]
    zip_directory.lay_out(Directory(walked, directory.start, directory.end), found)
    if found.format == "torch":
        torch_files.judge_code(found, names)
    for entry in walked:
        try:
            member(found, source, entry, walk)
        except LimitExceeded as error:
            found.unscanned(error.code, f"{shown(entry.name, 100)}: {error}")
            if error.code not in OF_ONE_MEMBER:
                break
    return found


def kind_of(names: list[str]) -> tuple[str, str | None]:
    """Return whose archive it is, by its members."""
    bases = {name.rsplit("/", 1)[-1] for name in names}
    if torch_files.is_archive(names):
        return "torch", "pytorch"
    if names and all(name.endswith(".npy") for name in names):
        return "numpy", None
    if "config.json" in names and bases & {"metadata.json", "model.weights.h5"}:
        return "keras", "keras"
    if "saved_model.pb" in bases:
        return "savedmodel", "tensorflow"
    return "zip", None


def member(found: Examination, source: Source, entry: Entry, walk: Walk) -> None:
    """Examine one entry."""
    name = shown(entry.name, 100)
    if entry.mode and stat.S_ISLNK(entry.mode):
        target = source.read(entry.data, min(entry.packed, 4096)).decode("utf-8", "replace")
        member_names.judge_link(found, entry.name, target if entry.method == 0 else None)
        return
    if entry.mode and stat.S_IFMT(entry.mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        found.suspicious("special_file", f"{name}: the member is a device or a pipe.")
    if entry.name.endswith("/") and not entry.size:
        return
    if entry.flags & zip_directory.ENCRYPTION_FLAGS:
        # Some loaders do not look at the flag, so what is there is scanned as if it were not set.
        found.suspicious("encrypted", f"{name}: the member is marked as encrypted.")
    content = unpack(found, source, entry, walk)
    if content is None:
        return
    if torch_files.is_storage(entry.name) and found.format == "torch":
        hidden = pickles.hidden(content, walk)
        inner = hidden if hidden is not None and hidden.verdict == "malicious" else Examination(None)
    else:
        inner = walk.examine(content, entry.name)
    found.absorb(inner, entry.name)
    found.framework = found.framework or inner.framework
    for key, value in inner.metadata.items():
        found.metadata.setdefault(key, value)


def unpack(found: Examination, source: Source, entry: Entry, walk: Walk) -> Source | None:
    """Return a member's content, checked as far as it can be; None when there is no getting at it."""
    window = WindowSource(source, entry.data, entry.packed)
    name = shown(entry.name, 100)
    if entry.method == 0:
        content: Source = window
        size, crc = window.size, checksum(window, walk, source.size)
    elif entry.method in METHODS:
        try:
            unpacked = Unpacked(lambda: compression.pieces(window, METHODS[entry.method], walk))
        except CorruptStream as error:
            found.suspicious("corrupt_member", f"{name}: the compressed bytes are not sound: {error}.")
            found.scanned = False
            return None
        except LimitExceeded as error:
            if error.code != "compression_ratio":
                raise
            found.suspicious(error.code, f"{name}: {error}")
            found.scanned = False
            return None
        content, size, crc = unpacked.source, unpacked.size, unpacked.crc
    else:
        found.unscanned("unsupported_compression", f"{name}: the scanner does not know method {entry.method}.")
        return None
    if size != entry.size:
        found.suspicious("lying_size", f"{name}: it has {size} bytes and tells {entry.size}.")
    if crc is not None and crc != entry.crc:
        found.suspicious("bad_checksum", f"{name}: its bytes are not those that its checksum was made from.")
    return content


def checksum(content: Source, walk: Walk, whole: int) -> int | None:
    """Return the CRC-32 of a stored member, or None where reading it all would take too long."""
    if whole > CHECKED_WHOLE and content.size > CHECKED_MEMBER:
        return None
    crc = 0
    for chunk in content.chunks():
        crc = zlib.crc32(chunk, crc)
        walk.check_time()
    return crc

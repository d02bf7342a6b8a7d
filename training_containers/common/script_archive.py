"""The ZIP of a user's script, unpacked file by file: names stay below the folder, and nothing is larger than it says.

The platform has judged the ZIP before; a container trusts nobody, and is all there is where the platform is not.
"""

import shutil
import stat
import zlib
from pathlib import Path, PurePosixPath
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from training_containers.common.contract import ScriptError

MIB = 1024 * 1024
MAX_FILES = 100_000
MAX_BYTES = 1024 * MIB  # of all files, unpacked
MAX_FILE_BYTES = 256 * MIB
MAX_RATIO, RATIO_FROM = 200, MIB  # small files may shrink more
ENCRYPTED = 0x0001


def unpack(archive: Path, folder: Path) -> None:
    """Write the files of a ZIP below a new folder; raises ScriptError for a ZIP that is not honest."""
    try:
        with ZipFile(archive) as opened:
            for info in checked(opened.infolist()):
                target = folder / info.filename
                target.parent.mkdir(parents=True, exist_ok=True)
                # zipfile reads no more than the size that was checked, and compares the checksum at its end.
                with opened.open(info) as source, target.open("xb") as file:
                    shutil.copyfileobj(source, file)
    except (BadZipFile, zlib.error, EOFError, OSError, NotImplementedError) as error:
        raise ScriptError(f"The script's ZIP is damaged or not plain: {error}.") from error


def checked(entries: list[ZipInfo]) -> list[ZipInfo]:
    """The files to unpack, without what systems add; raises ScriptError naming the entry at fault."""
    if len(entries) > MAX_FILES:
        raise ScriptError(f"The script's ZIP has {len(entries):,} entries; {MAX_FILES:,} are possible.")
    files, total = [], 0
    for entry in entries:
        if problem := wrong_with(entry):
            raise ScriptError(f"The script's ZIP has an entry {entry.filename!a:.120} that {problem}.")
        total += entry.file_size
        if not entry.is_dir() and not is_added(PurePosixPath(entry.filename)):
            files.append(entry)
    if total > MAX_BYTES:
        raise ScriptError(f"The script's ZIP unpacks to {total:,} bytes; {MAX_BYTES:,} are possible.")
    return files


def wrong_with(entry: ZipInfo) -> str | None:
    """What is wrong with an entry, to go on after its name, or None."""
    # As the ZIP has it: zipfile cuts names at a NUL.
    name, kind = entry.orig_filename, stat.S_IFMT(entry.external_attr >> 16)
    parts = name.removesuffix("/").split("/")
    if {"", ".", ".."} & {*parts} or "\\" in name or ":" in parts[0] or not name.isprintable():
        return "is no plain relative path"
    if kind not in (0, stat.S_IFDIR if entry.is_dir() else stat.S_IFREG):
        return "is neither a plain file nor a folder"
    if entry.flag_bits & ENCRYPTED or entry.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        return "is encrypted, or compressed in an unusual way"
    if entry.file_size > MAX_FILE_BYTES:
        return f"is {entry.file_size:,} bytes unpacked; {MAX_FILE_BYTES:,} are possible"
    if entry.file_size > RATIO_FROM and entry.file_size > MAX_RATIO * entry.compress_size:
        return f"unpacks to more than {MAX_RATIO} times its size"
    return None


def is_added(path: PurePosixPath) -> bool:
    """Whether a file is something that systems add: dot files, macOS' and Windows' own."""
    return path.parts[0] == "__MACOSX" or path.name == "Thumbs.db" or any(part[0] == "." for part in path.parts)

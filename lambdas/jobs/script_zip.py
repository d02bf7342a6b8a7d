"""Whether a ZIP can be a script: judged by its directory, without unpacking or running anything of it."""

from pathlib import PurePosixPath

from lambdas.common.zip_directory import Entry, Read, entries_of, refuse

WHEELS = "wheels"
MAX_BYTES = 256 * 1024 * 1024  # of the ZIP


def check(read: Read, size: int) -> list[Entry]:
    """Return the files of a script's ZIP; raises ZipProblem, to go on after its name, for one that cannot be used."""
    if size > MAX_BYTES:
        refuse(f"is {size:,} bytes; {MAX_BYTES:,} are possible: leave out data, which belongs into a dataset.")
    files = [entry for entry in entries_of(read, size) if not entry.is_folder and not entry.is_skipped]
    if not any(entry.name.endswith(".py") for entry in files):
        refuse("has no Python file: put the script into it, train.py for instance.")
    for entry in files:
        path = PurePosixPath(entry.name)
        if path.parts[0] == WHEELS and (len(path.parts) > 2 or path.suffix != ".whl"):
            refuse(f"has {entry.name!a} in {WHEELS}/, which holds wheels (.whl) and nothing else: move it out.")
    return files


def check_entry_point(files: list[Entry], entry_point: str) -> None:
    """Raise ZipProblem unless the script that is to be run is among the files."""
    names = {entry.name for entry in files}
    if entry_point in names:
        return
    found = sorted(name for name in names if name.rpartition("/")[2] == entry_point)
    if found:
        refuse(f"has {found[0]!a} but no {entry_point}: pack the files themselves, not the folder around them.")
    listed = ", ".join(sorted(name for name in names if name.endswith(".py") and "/" not in name)[:5]) or "none"
    refuse(f"has no {entry_point}: name the script as entry_point; Python files at its top are: {listed}.")

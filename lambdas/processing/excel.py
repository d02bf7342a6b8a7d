"""Excel workbooks: the first sheet that has cells becomes a CSV, which is then read as any other.

The workbook is opened by a process of its own (`workbook`): the library that reads it ends its process when memory
runs out, and the files come from strangers.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lambdas.processing import delimited
from lambdas.processing.converted import converted_path
from lambdas.processing.report import InvalidFile, Report
from lambdas.processing.source import BUFFER, InputFile, local_file
from lambdas.processing.workbook import MOST_CELLS, MOST_MEMORY
from lambdas.processing.zip_archive import Archive

LARGEST_FILE = 256 * 1024 * 1024
LARGEST_UNPACKED = 1024 * 1024 * 1024
ZIP, OLD = b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
SAVE_AGAIN = "Open it in Excel and save it again as .xlsx, or save the sheet as CSV."


def read(files: Sequence[InputFile], output: Path) -> Report:
    """Convert workbooks of the same columns to CSV below `output`; profile that. Raises InvalidFile, naming a cell."""
    tables: list[InputFile] = []
    notes: list[str] = []
    first: list[str] = []
    for file in files:
        path = converted_path(output, file.name, ".csv")
        found = convert(file, path)
        first = first or found["header"]
        if found["header"] != first:
            odd = next(
                (name for name in [*found["header"], *first] if (name in found["header"]) != (name in first)), None
            )
            see = f", see {odd!r}" if odd is not None else " in another order"
            raise InvalidFile(f"{file.name} has other columns than {files[0].name}{see}: give all files the same.")
        if found["left_out"]:
            others = ", ".join(repr(name) for name in found["left_out"][:10])
            notes.append(f"{file.name}: the sheet {found['sheet']!r} is used; left out: {others}.")
        notes += [f"{file.name}: {note}" for note in found["notes"]]
        tables.append(local_file(path))
    report = delimited.read(tables, output)
    return replace(report, notes=[*notes, *report.notes])


def convert(file: InputFile, path: Path) -> dict[str, Any]:
    """Write a workbook's first sheet that has cells to `path`; return what `workbook` says of it."""
    if file.size > LARGEST_FILE:
        raise InvalidFile(
            f"{file.name} has {file.size >> 20:,} MB; workbooks may have {LARGEST_FILE >> 20}. Save the sheet as CSV."
        )
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        with file.in_order() as stream:
            copy = Path(folder) / f"workbook{suffix(file.name, stream.peek(8)[:8])}"
            with copy.open("wb") as target:
                while data := stream.read(BUFFER):
                    target.write(data)
        if copy.suffix == ".xlsx":
            check_archive(InputFile(file.name, file.size, lambda: copy.open("rb")))
        return run(file.name, copy, path)


def suffix(name: str, start: bytes) -> str:
    """Return which of the two formats a file has, by its first bytes."""
    if start.startswith(ZIP):
        return ".xlsx"
    if start.startswith(OLD):
        return ".xls"
    what = (
        "it is empty" if not start else "it is a web page" if start.lstrip().startswith(b"<") else "it is none inside"
    )
    raise InvalidFile(f"{name} is no Excel workbook: {what}. {SAVE_AGAIN}")


def check_archive(file: InputFile) -> None:
    """Refuse a .xlsx whose ZIP is not honest, or that would unpack to more than a workbook is."""
    try:
        with Archive(file) as archive:
            names = {member.name for member in archive.members}
            if "xl/workbook.xml" not in names:
                raise InvalidFile(f"{file.name} is no .xlsx workbook but another kind of ZIP.")
            if sum(member.size for member in archive.members) > LARGEST_UNPACKED:
                raise InvalidFile(f"{file.name} unpacks to more than {LARGEST_UNPACKED >> 20:,} MB.")
            for member in archive:
                for _ in archive.chunks(member):
                    pass  # its size and checksum are found on the way
    except InvalidFile as error:
        raise InvalidFile(f"{error} {SAVE_AGAIN}") from error


def run(name: str, workbook: Path, path: Path) -> dict[str, Any]:
    """Have the process read the workbook; return its answer. Raises InvalidFile when it says so or was ended."""
    done = subprocess.run(
        [sys.executable, "-m", "lambdas.processing.workbook", str(workbook), str(path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "RUST_BACKTRACE": "0"},
        stdout=subprocess.PIPE,
        check=False,
    )
    if done.returncode < 0:
        raise InvalidFile(
            f"{name} takes more than {MOST_MEMORY >> 20} MB of memory to read: it has too many cells, cells far from "
            f"the others, or very long texts. Save the sheet as CSV; a workbook may have {MOST_CELLS:,} cells."
        )
    if done.returncode:
        raise RuntimeError(f"Reading {name} ended with status {done.returncode}.")
    answer = json.loads(done.stdout)
    if "refused" in answer:
        raise InvalidFile(f"{name}: {answer['refused']}")
    return answer

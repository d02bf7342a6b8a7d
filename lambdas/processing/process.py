"""Reads a dataset by its type and format and reports: the one way in, for function and job alike."""

import importlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from lambdas.processing.limits import MOST_MEMORY, bounded_memory
from lambdas.processing.report import File, InvalidFile, Report
from lambdas.processing.source import InputFile, local_file

Reader = Callable[[Sequence[InputFile], Path], Report]
# `type format` or format -> the function that reads it. Imported when needed: a CSV asks for no image library.
READERS = {
    "csv": "delimited.read",
    "parquet": "parquet.read",
    "excel": "excel.read",
    "json": "json_files.read",
    "jsonl": "json_files.read",
    "txt": "plain_text.read",
    "conll": "conll.read",
    "png": "images.read",
    "jpg": "images.read",
    "image zip": "image_archive.read",
    "coco": "image_archive.read_coco",
    "wav": "media.read",
    "flac": "media.read",
    "mp3": "media.read",
    "mp4": "media.read",
    "audio zip": "media_archive.read_audio",
    "video zip": "media_archive.read_videos",
}
CONVERTED = "converted"
TOO_LARGE = (
    f"It takes more than {MOST_MEMORY >> 20} MB of memory to read: a value, a line, a page or a picture of it is too "
    "large, or would be once unpacked. Make such parts smaller, or leave them out."
)


def process(files: Sequence[InputFile], type: str, format: str, output: Path) -> Report:
    """Read a dataset; write report.json, preview.json and what else its format asks for into the folder `output`.

    `report.refused` says why a dataset cannot be used; then nothing else is left in `output`, which was empty. Raises
    OSError for what a later try may cure.
    """
    read = reader(type, format)
    try:
        with bounded_memory(MOST_MEMORY):
            report = read(files, output)
            report.files = [File(file.name, file.size, file.digest()) for file in files]
            report.converted = [made(path, output / CONVERTED) for path in sorted((output / CONVERTED).rglob("*.*"))]
    except InvalidFile as error:
        report = refused(str(error), output)
    except MemoryError:
        report = refused(TOO_LARGE, output)
    (output / "preview.json").write_text(json.dumps(asdict(report.preview)))
    (output / "report.json").write_text(report.to_json())
    return report


def refused(reason: str, output: Path) -> Report:
    """Return the report of a dataset that cannot be used, without what was written before that was known."""
    for path in output.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return Report(refused=reason)


def reader(type: str, format: str) -> Reader:
    """Return the function that reads a format of a type of dataset."""
    module, _, name = (READERS.get(f"{type} {format}") or READERS[format]).partition(".")
    return getattr(importlib.import_module(f"lambdas.processing.{module}"), name)


def made(path: Path, folder: Path) -> File:
    """Return the entry of a file that processing wrote."""
    return File(path.relative_to(folder).as_posix(), path.stat().st_size, local_file(path).digest())

"""Format -> the scanner that reads it. A new format is one more line here and one more module.

A scanner is `scan(source, filename) -> Examination`; one that finds files inside a file is
`scan(source, filename, walk) -> Examination` and has them examined with `walk.examine(source, filename)`.
"""

from __future__ import annotations

from collections.abc import Callable

from lambdas.common.observability import logger
from lambdas.scanner import (
    archives,
    boosters,
    checkpoints,
    compression,
    gguf,
    hdf5,
    keras,
    numpy_files,
    onnx,
    pickles,
    programs,
    safetensors,
    savedmodel,
    tar_files,
    text,
    torch_files,
)
from lambdas.scanner.detect import HEAD, detect, framework_by_name, has_zip_end
from lambdas.scanner.limits import LimitExceeded, Walk, within
from lambdas.scanner.report import Examination
from lambdas.scanner.source import DownloadError, Source

FORMATS: dict[str, Callable[[Source, str], Examination]] = {
    "safetensors": safetensors.scan,
    "onnx": onnx.scan,
    "hdf5": hdf5.scan,
    "savedmodel": savedmodel.scan,
    "gguf": gguf.scan,
    "checkpoint": checkpoints.scan,
    "json": text.scan,
    "text": text.scan,
    "script": text.scan,
    "xgboost": boosters.scan,
    "lightgbm": boosters.scan,
    "image": programs.scan,
    "executable": programs.scan,
}
CONTAINERS: dict[str, Callable[[Source, str, Walk], Examination]] = {
    "zip": archives.scan,
    "keras": archives.scan,
    "tar": tar_files.scan,
    "pickle": pickles.scan,
    "joblib": pickles.scan,
    "torch": pickles.scan,
    "torch_sequence": torch_files.scan_sequence,
    "numpy": numpy_files.scan,
    **{kind: compression.scan(kind) for kind in ("gzip", "bzip2", "xz", "lzma", "zlib", *compression.UNSUPPORTED)},
}
ARCHIVES = {"zip", "tar", "gzip", "bzip2", "xz", "lzma", "zlib"}
PICKLES = {"pickle", "joblib", "torch", "torch_sequence"}


def examine(source: Source, filename: str, walk: Walk) -> Examination:
    """Examine a file, or a member of one, by its content; raises LimitExceeded, DownloadError."""
    head = source.read(0, HEAD)
    format = detect(head, filename, source)
    try:
        found = examine_as(format, source, filename, walk)
        if format not in ARCHIVES | PICKLES:
            with within(found):
                look_behind(found, source, filename, walk)
    except (LimitExceeded, DownloadError):
        raise
    except Exception as error:
        # One file that a scanner cannot cope with must not keep its neighbours from being scanned.
        logger.exception("scanner failed", extra={"format": format})
        found = Examination(format)
        found.unscanned("scanner_failed", f"The scanner of {format} failed with {type(error).__name__}.")
    found.framework = found.framework or framework_by_name(filename)
    return found


def examine_as(format: str | None, source: Source, filename: str, walk: Walk) -> Examination:
    """Examine a file in a known format, or say that it is unknown."""
    if not source.size:
        return Examination(format)
    if format in CONTAINERS:
        found = CONTAINERS[format](source, filename, walk)
        if found.format == "keras":
            found.absorb(keras.scan(source, filename), "config.json")
        return found
    if format in FORMATS:
        return FORMATS[format](source, filename)
    found = Examination(format)
    found.unscanned("unknown_format", "The scanner does not know this format.")
    return found


def look_behind(found: Examination, source: Source, filename: str, walk: Walk) -> None:
    """Examine as well what the same bytes are to a reader who does not look at their beginning."""
    hidden = pickles.hidden(source, walk)
    if hidden is not None:
        found.absorb(hidden, "read as a pickle")
        found.format = "pickle"
    if has_zip_end(source):
        found.suspicious("two_formats", "The file is also a ZIP archive to readers that look at its end.")
        found.absorb(archives.scan(source, filename, walk), "read as an archive")


def scan_file(source: Source, filename: str) -> Examination:
    """Examine a whole upload within one budget; raises DownloadError."""
    try:
        return examine(source, filename, Walk(examine))
    except LimitExceeded as error:
        found = Examination(None)
        found.unscanned(error.code, str(error))
        return found

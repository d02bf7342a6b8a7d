"""Format -> the scanner that reads it. A new format is one more line here and one more module.

A scanner is `scan(source, filename) -> Examination`; one that finds files inside a file is
`scan(source, filename, walk) -> Examination` and has them examined with `walk.examine(source, filename)`. `.keras`
archives are walked as any zip; `keras.scan` is then given the whole archive for what its configuration says.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from importlib import import_module

from lambdas.scanner.detect import HEAD, detect, framework_by_name
from lambdas.scanner.limits import LimitExceeded, Walk
from lambdas.scanner.report import Examination
from lambdas.scanner.source import Source

FORMATS: dict[str, Callable[[Source, str], Examination]] = {}
CONTAINERS: dict[str, Callable[[Source, str, Walk], Examination]] = {}
for format, module in {
    "safetensors": "safetensors",
    "onnx": "onnx",
    "hdf5": "hdf5",
    "keras": "keras",
    "savedmodel": "savedmodel",
    "gguf": "gguf",
    "json": "text",
    "text": "text",
    "script": "text",
    "lightgbm": "text",
}.items():
    if importlib.util.find_spec(f"lambdas.scanner.{module}"):
        FORMATS[format] = import_module(f"lambdas.scanner.{module}").scan


def examine(source: Source, filename: str, walk: Walk) -> Examination:
    """Examine a file, or a member of one, by its content; raises LimitExceeded."""
    head = source.read(0, HEAD)
    format = detect(head, filename, source)
    if format in CONTAINERS:
        found = CONTAINERS[format](source, filename, walk)
    elif format in FORMATS:
        found = FORMATS[format](source, filename)
    else:
        found = Examination(format)
        found.unscanned("unknown_format", "The scanner does not know this format.")
    found.framework = found.framework or framework_by_name(filename)
    return found


def scan_file(source: Source, filename: str) -> Examination:
    """Examine a whole upload within one budget."""
    try:
        return examine(source, filename, Walk(examine))
    except LimitExceeded as error:
        found = Examination(None)
        found.unscanned(error.code, str(error))
        return found

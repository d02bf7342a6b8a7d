"""Images from a seeded generator, as bytes and packed."""

import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lambdas.processing.source import InputFile

# VmHWM, because the greatest resident size that getrusage tells a new process is that of its parent.
MEASURED = """
import re, sys
from pathlib import Path
from lambdas.processing.process import process
from lambdas.processing.source import local_file
report = process([local_file(Path(sys.argv[1]))], "image", sys.argv[2], Path(sys.argv[3]))
print(report.rows, int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024)
"""

Entries = Mapping[str, bytes | str]


def picture(
    seed: int, size: tuple[int, int] = (40, 30), mode: str = "RGB", format: str = "PNG", **options: Any
) -> bytes:
    """An image of noise, which no other seed makes."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(stream, format, **options)
    return stream.getvalue()


def zipped(entries: Entries, name: str = "images.zip") -> InputFile:
    """A ZIP of these files, in memory."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in entries.items():
            archive.writestr(path, data)
    return held(stream.getvalue(), name)


def held(data: bytes, name: str) -> InputFile:
    """A file in memory."""
    return InputFile(name, len(data), lambda: io.BytesIO(data))


def examples_in(output: Path) -> list[dict[str, Any]]:
    """The examples that were written."""
    return [json.loads(line) for line in (output / "examples" / "examples.jsonl").read_text().splitlines()]


def measured(path: Path, format: str, output: Path) -> tuple[int, int]:
    """The rows of a data set, and the bytes of memory that a process of its own took to read it."""
    command = [sys.executable, "-c", MEASURED, path, format, output]
    rows, memory = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return int(rows), int(memory)

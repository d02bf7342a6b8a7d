"""The files that format_files.py makes, and what tests do with any file: scan it, cut it, change bytes of it."""

from __future__ import annotations

import functools
import hashlib
import platform
import subprocess
import sys
import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import uv
from hypothesis import strategies as st

from lambdas.scanner.report import Examination
from lambdas.scanner.source import BytesSource, Source
from local.home import CACHE
from local.images import keep

HERE = Path(__file__).resolve().parent
SCRIPT, REQUIREMENTS = HERE / "format_files.py", HERE / "formats.txt"
MOST_MEMORY = 64 * 1024 * 1024
Scan = Callable[[Source, str], Examination]


@functools.cache
def folder() -> Path:
    """The folder of made files, made once per content of the script and its requirements."""
    machine = f"{sys.platform} {platform.machine()} {platform.python_version()}"
    asked = hashlib.sha256(machine.encode() + REQUIREMENTS.read_bytes())
    environment = CACHE / "environments" / asked.hexdigest()[:20]
    asked.update(SCRIPT.read_bytes())
    files = CACHE / "format_files" / asked.hexdigest()[:20]
    if not files.exists():
        if not environment.exists():
            install(environment)
        write(environment / "bin" / "python", files)
    return files


def install(environment: Path) -> None:
    """Install the libraries, all or none."""
    environment.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=environment.parent) as partial:
        made = Path(partial) / "environment"
        run(uv.find_uv_bin(), "venv", "--quiet", "--relocatable", "--python", sys.executable, str(made))
        python = str(made / "bin" / "python")
        run(uv.find_uv_bin(), "pip", "install", "--quiet", "--python", python, "--requirements", str(REQUIREMENTS))
        keep(made, environment)


def write(python: Path, files: Path) -> None:
    """Have the libraries write their files, all or none."""
    files.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=files.parent) as partial:
        made = Path(partial) / "files"
        made.mkdir()
        run(str(python), str(SCRIPT), str(made))
        keep(made, files)


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


@functools.cache
def made(name: str) -> bytes:
    """A made file, or one of TensorFlow's."""
    kept_here = HERE / "tensorflow_files" / name
    return (kept_here if kept_here.exists() else folder() / name).read_bytes()


class CountingSource(BytesSource):
    """Bytes that count how many of them were read."""

    bytes_read = 0

    def read(self, offset: int, length: int) -> bytes:
        assert offset >= 0 and length >= 0
        data = super().read(offset, length)
        self.bytes_read += len(data)
        return data


def codes(found: Examination) -> set[str]:
    """The codes of what a scan found, without what is only worth knowing."""
    return {finding.code for finding in found.findings if finding.severity != "info"}


def edits() -> st.SearchStrategy[tuple[list[tuple[float, bytes]], float]]:
    """Bytes to put at some fractions of a file, and the fraction of it to keep."""
    changed = st.binary(min_size=1, max_size=8) | st.sampled_from([b"\xff" * 8, b"\0" * 8, b"\xff\xff\xff\x7f"])
    places = st.lists(st.tuples(st.floats(0, 1), changed), max_size=6)
    return st.tuples(places, st.just(1.0) | st.floats(0, 1))


def edited(data: bytes, changes: tuple[list[tuple[float, bytes]], float]) -> bytes:
    """A file with some bytes changed and its end cut off."""
    changed = bytearray(data)
    for fraction, put in changes[0]:
        at = int(fraction * max(0, len(data) - len(put)))
        changed[at : at + len(put)] = put
    return bytes(changed[: round(changes[1] * len(changed))])


def assert_bounded(scan: Scan, data: bytes, name: str) -> Examination:
    """Scan a file, which neither raises nor holds nor reads more than a file of its size needs."""
    source = CountingSource(data)
    tracemalloc.start()
    try:
        found = scan(source, name)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < MOST_MEMORY, f"{most} bytes held"
    assert source.bytes_read <= 8 * len(data) + 2**20, f"{source.bytes_read} of {len(data)} bytes read"
    for finding in found.findings:
        assert len(finding.to_json()["message"]) <= 300
    return found

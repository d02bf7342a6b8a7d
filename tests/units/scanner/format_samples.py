"""The files that format_files.py makes, and what tests do with any file: scan it, cut it, change bytes of it."""

from __future__ import annotations

import functools
import tracemalloc
from collections.abc import Callable
from pathlib import Path

from hypothesis import strategies as st

from lambdas.scanner.report import Examination
from lambdas.scanner.source import BytesSource, Source
from tests.units.scanner.made_files import made_by

HERE = Path(__file__).resolve().parent
MOST_MEMORY = 64 * 1024 * 1024
Scan = Callable[[Source, str], Examination]


@functools.cache
def folder() -> Path:
    """The folder of files that format_files.py makes."""
    return made_by("format_files.py", "formats.txt")


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

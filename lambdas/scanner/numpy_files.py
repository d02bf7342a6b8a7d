"""Arrays as numpy saves them: a header and numbers, or a header and a pickle."""

from __future__ import annotations

import re
from math import prod

from lambdas.scanner import pickles
from lambdas.scanner.limits import Walk
from lambdas.scanner.report import Examination
from lambdas.scanner.source import Source, WindowSource

LONGEST_HEADER = 64 * 1024
SHAPE = re.compile(rb"'shape': ?\(([0-9, ]{0,400})\)")
PLAIN = re.compile(rb"'descr': ?'[<>|=]?([?bBiufcSUVmM])(\d{1,9})(?:\[[^']{1,20}\])?'")
OBJECTS = re.compile(rb"'descr': ?'[|<>=]?O\d{0,2}'")
FIELD = re.compile(rb"'[<>|=]?O\d{0,2}'")


def scan(source: Source, filename: str, walk: Walk) -> Examination:
    """Examine one array or several, one after another."""
    found = Examination("numpy")
    start = 0
    while start < source.size and found.verdict == "clean":
        start = array(found, source, start, filename, walk)
        walk.check_time()
    return found


def array(found: Examination, source: Source, start: int, filename: str, walk: Walk) -> int:
    """Examine the array at `start` and return where it ends."""
    head = source.read(start, 12)
    wide = head[6:7] > b"\x01"
    length = int.from_bytes(head[8 : 12 if wide else 10], "little")
    data = start + (12 if wide else 10) + length
    if head[:6] != b"\x93NUMPY" or len(head) < 12 or length > LONGEST_HEADER or data > source.size:
        what = "trailing_data" if start else "broken_array"
        found.suspicious(what, f"There is no array of numpy at byte {start}.")
        return source.size
    header = source.read(data - length, length)
    shape, plain = SHAPE.search(header), PLAIN.search(header)
    if OBJECTS.search(header):
        inner = pickles.scan(WindowSource(source, data, source.size - data), filename, walk)
        found.absorb(inner, f"the objects from byte {data}")
        found.framework = inner.framework
        return source.size
    if shape is None or (plain is None and FIELD.search(header)):
        found.suspicious("broken_array", f"The array at byte {start} has a header that numpy does not write.")
        return source.size
    if plain is None:
        return source.size  # a record of plain fields
    size = int(plain[2]) * (4 if plain[1] == b"U" else 1)
    end = data + size * prod(int(count) for count in shape[1].replace(b" ", b"").split(b",") if count)
    if end > source.size:
        found.suspicious("broken_array", f"The array at byte {start} is larger than its file.")
        return source.size
    return end

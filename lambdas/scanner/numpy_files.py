"""Arrays as numpy saves them: a header and numbers, or a header and a pickle."""

from __future__ import annotations

import re
from math import prod

from lambdas.scanner import pickles
from lambdas.scanner.limits import Walk
from lambdas.scanner.report import Examination
from lambdas.scanner.source import Source, WindowSource

LONGEST_HEADER = 64 * 1024
# Exactly what numpy writes: its reader would take any Python literal, and any of the many names of an object's type.
KIND = rb"'[<>|=]?(?:[?bBiufcSUV]\d{1,9}|[mM]8(?:\[\w{1,9}\])?)'"
FIELD = rb"\('[^'\\]*', " + KIND + rb"(?:, \([0-9, ]{1,99}\))?\)"
HEADER = re.compile(
    rb"\{'descr': (?P<descr>'\|O'|" + KIND + rb"|\[" + FIELD + rb"(?:, " + FIELD + rb")*\]), "
    rb"'fortran_order': (?:True|False), 'shape': \((?P<shape>[0-9, ]{0,400})\), \} *\n?"
)
NUMBER = re.compile(rb"'.?(\w|\?)(\d+)")


def scan(source: Source, filename: str, walk: Walk) -> Examination:
    """Examine one array or several, one after another."""
    found = Examination("numpy")
    start = 0
    while start < source.size and found.verdict == "clean":
        walk.spend_entry()
        start = array(found, source, start, filename, walk)
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
    told = HEADER.fullmatch(source.read(data - length, length))
    if told is None:
        found.suspicious("broken_array", f"The array at byte {start} has a header that numpy does not write.")
        hidden = pickles.hidden(WindowSource(source, data, source.size - data), walk)
        if hidden is not None:
            found.absorb(hidden, f"the bytes from {data}")
        return source.size
    if told["descr"] == b"'|O'":
        inner = pickles.scan(WindowSource(source, data, source.size - data), filename, walk)
        found.absorb(inner, f"the objects from byte {data}")
        found.framework = inner.framework
        return source.size
    if told["descr"].startswith(b"["):
        return source.size  # a record of plain fields
    kind = NUMBER.match(told["descr"])
    width = int(kind[2]) * (4 if kind[1] == b"U" else 1) if kind else 1
    end = data + width * prod(int(count) for count in told["shape"].replace(b" ", b"").split(b",") if count)
    if end > source.size:
        found.suspicious("broken_array", f"The array at byte {start} is larger than its file.")
        return source.size
    return end

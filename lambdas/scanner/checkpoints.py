"""TensorFlow's checkpoints: an index, which is a sorted table of names, and files of nothing but numbers beside it."""

from __future__ import annotations

import re

from lambdas.scanner.binary import Malformed, exactly, noting
from lambdas.scanner.protobuf import Wire
from lambdas.scanner.report import Examination
from lambdas.scanner.source import Source

NAME = re.compile(r"(?:.*/)?[^/]+\.(?:index|data-\d{5}-of-\d{5})")
FOOTER = 48  # where the table's two outer blocks are, zeros, and eight bytes that mark a table
MARK = bytes.fromhex("57fb808b247547db")


def scan(source: Source, filename: str) -> Examination:
    """Examine a file of a checkpoint by its name: numbers need no look, an index must be one."""
    if not filename.endswith(".index"):
        return Examination("checkpoint", "tensorflow")
    found = Examination("checkpoint", "tensorflow")
    with noting(found):
        if source.read(max(0, source.size - len(MARK)), len(MARK)) != MARK:
            found.format = found.framework = None
            found.unscanned("unknown_format", "It is named as an index of a checkpoint, and is none.")
            return found
        position, end = source.size - FOOTER, source.size - len(MARK)
        exactly(source, position, FOOTER)
        wire = Wire(source)
        for block in ("of names", "of tensors"):
            start, position = wire.varint(position, end)
            length, position = wire.varint(position, end)
            if start + length > source.size - FOOTER:
                raise Malformed(f"Its block {block} at {start} reaches beyond the table's end.")
    return found

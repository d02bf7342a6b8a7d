"""GGUF models (llama.cpp): counted key-value metadata, then tensors; the tensors' numbers are not read."""

from __future__ import annotations

import struct
from typing import Any

from lambdas.scanner.binary import MOST_PARAMETERS, Cursor, Malformed, noting, product
from lambdas.scanner.chat_templates import examine_template
from lambdas.scanner.limits import LimitExceeded
from lambdas.scanner.report import Examination
from lambdas.scanner.source import Source

VERSIONS = (2, 3)
MOST_ENTRIES = 65_536  # of metadata, and of tensors
MOST_VALUES = 5_000_000  # in all arrays together
LONGEST_KEY = 65_535
LONGEST_TEXT = 4 * 1024 * 1024  # of a text that we look at, such as a template
DEEPEST_ARRAY = 4
MOST_DIMENSIONS = 8
NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "B", 10: "Q", 11: "q", 12: "d"}
TEXT, ARRAY = 8, 9
# Type of a tensor -> how many of its numbers are packed together, and into how many bytes.
PACKED = {0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 36)}
PACKED |= {10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292)}
PACKED |= {16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82)}
PACKED |= {23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2)}
PACKED |= {34: (256, 54), 35: (256, 66), 39: (32, 17), 40: (64, 36), 41: (128, 18)}


def scan(source: Source, filename: str) -> Examination:
    """Examine a GGUF model by its header."""
    found = Examination("gguf", "other")
    with noting(found):
        Walker(source, found).model()
    return found


class Walker:
    """One walk over a header."""

    def __init__(self, source: Source, found: Examination) -> None:
        self.cursor = Cursor(source)
        self.size = source.size
        self.found = found
        self.order = "<"
        self.values_left = MOST_VALUES

    def model(self) -> None:
        """Walk metadata and tensors; raises Malformed, LimitExceeded."""
        self.cursor.skip(4)
        (version,) = self.unpack("I")
        if version not in VERSIONS and int.from_bytes(version.to_bytes(4, "little"), "big") in VERSIONS:
            self.order = ">"
        elif version not in VERSIONS:
            raise Malformed(f"It is of version {version} of GGUF, which nobody writes.")
        tensors, entries = self.unpack("QQ")
        if max(tensors, entries) > MOST_ENTRIES:
            raise Malformed(f"It is said to hold {tensors} tensors and {entries} entries of metadata.")
        alignment = 32
        for _ in range(entries):
            key = self.text(LONGEST_KEY)
            (kind,) = self.unpack("I")
            value = self.value(kind)
            if key == "general.alignment" and isinstance(value, int):
                alignment = value
            if key.startswith("tokenizer.chat_template") and isinstance(value, str):
                examine_template(value, key, self.found)
        if alignment <= 0 or alignment & (alignment - 1) or alignment > 2**20:
            raise Malformed(f"Its tensors are said to be aligned to {alignment} bytes.")
        self.tensors(tensors, alignment)

    def tensors(self, count: int, alignment: int) -> None:
        """Walk the tensors' descriptions and check that each lies inside the file."""
        parameters, ends = 0, []
        for _ in range(count):
            name = self.text(LONGEST_KEY)
            (dimensions,) = self.unpack("I")
            if dimensions > MOST_DIMENSIONS:
                raise Malformed(f"The tensor {name} is said to have {dimensions} dimensions.")
            *shape, kind, offset = self.unpack(f"{dimensions}QIQ")
            total = product(shape)
            parameters += total
            numbers, size = PACKED.get(kind, (1, 0))
            ends.append((offset + total // numbers * size, name[:100]))
            if offset % alignment:
                raise Malformed(f"The tensor {name} begins at {offset}, which is not aligned.")
        start = -(-self.cursor.position // alignment) * alignment
        for end, name in ends:
            if start + end > self.size:
                raise Malformed(f"The tensor {name} reaches {start + end - self.size} bytes beyond the file's end.")
        if 0 < parameters < MOST_PARAMETERS:
            self.found.metadata["num_parameters"] = parameters

    def value(self, kind: int, depth: int = 0) -> Any:
        """Return a value, or None for an array, which is stepped over."""
        if kind == TEXT:
            return self.text(LONGEST_TEXT)
        if kind == ARRAY:
            return self.pass_array(depth + 1)
        if kind not in NUMBERS:
            raise Malformed(f"An entry at offset {self.cursor.position} is of the unknown type {kind}.")
        return self.unpack(NUMBERS[kind])[0]

    def pass_array(self, depth: int) -> None:
        """Step over an array."""
        kind, length = self.unpack("IQ")
        if depth > DEEPEST_ARRAY:
            raise Malformed(f"Arrays are nested more than {DEEPEST_ARRAY} deep.")
        if kind in NUMBERS:
            return self.cursor.skip(length * struct.calcsize(NUMBERS[kind]))
        if length > self.size:
            raise Malformed(f"An array at offset {self.cursor.position} is said to hold {length} values.")
        self.values_left -= length
        if self.values_left < 0:
            raise LimitExceeded("too_many_values", f"Its arrays hold more than {MOST_VALUES} texts.")
        for _ in range(length):
            if kind == TEXT:
                self.cursor.skip(self.unpack("Q")[0])
            else:
                self.value(kind, depth)
        return None

    def text(self, longest: int) -> str:
        """Return a text; raises Malformed when it is longer than any honest one."""
        (length,) = self.unpack("Q")
        if length > longest:
            raise Malformed(f"A text at offset {self.cursor.position} is said to have {length} bytes.")
        return self.cursor.take(length).decode(errors="replace")

    def unpack(self, layout: str) -> tuple[Any, ...]:
        return self.cursor.unpack(self.order + layout)

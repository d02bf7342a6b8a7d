"""safetensors files: a header of JSON whose tensors must fill the rest of the file exactly, one after another."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, TypeGuard

from lambdas.scanner.binary import MOST_PARAMETERS, Malformed, exactly, noting, parsed_json, product
from lambdas.scanner.report import Examination
from lambdas.scanner.source import Source

MOST_HEADER = 100_000_000  # bytes; the library's own limit
MOST_DIMENSIONS = 64
BITS = {"BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "F16": 16, "BF16": 16, "U32": 32, "I32": 32, "F32": 32}
BITS |= {"U64": 64, "I64": 64, "F64": 64, "C64": 64, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6}
BITS |= {"F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8}
WRITERS = {"pt": "pytorch", "tf": "tensorflow", "flax": "flax", "np": "numpy", "mlx": "mlx", "paddle": "paddle"}
SPACE = re.compile(r"[ \t\r\n]*")
# Possessive only of single characters: of groups, Python before 3.11.5 gets it wrong.
NAME = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*"')
FLAT = re.compile(r'\{(?:[^{}"]++|"[^"\\]*+(?:\\.[^"\\]*+)*")*\}')  # an object without objects in it
LONGEST_TENSOR = 4096  # characters of a tensor's entry


def scan(source: Source, filename: str) -> Examination:
    """Examine a safetensors file; only its header is read."""
    found = Examination("safetensors", "huggingface")
    with noting(found):
        describe(found, header(source), source.size)
    return found


def header(source: Source) -> str:
    """Return the header's text; raises Malformed."""
    length = int.from_bytes(exactly(source, 0, 8), "little")
    if length > min(MOST_HEADER, source.size - 8):
        raise Malformed(f"The header is said to have {length} bytes: more than there are, or than any header has.")
    try:
        return exactly(source, 8, length).decode()
    except UnicodeDecodeError as error:
        raise Malformed(f"The header is not text in UTF-8 at offset {error.start + 8}.") from None


def describe(found: Examination, text: str, size: int) -> None:
    """Check each tensor of the header and that together they fill the file; raises Malformed."""
    names: set[str] = set()
    places: list[tuple[int, int, str]] = []
    parameters = 0
    for name, value in entries(text):
        if name in names:
            raise Malformed(f"The header names {name} twice.")
        names.add(name)
        if name == "__metadata__":
            told(found, checked_metadata(value))
            continue
        begin, end, count = tensor(name, value)
        places.append((begin, end, name))
        parameters += count
    filled(places, size - 8 - len(text.encode()))
    if 0 < parameters < MOST_PARAMETERS:
        found.metadata["num_parameters"] = parameters


def entries(text: str) -> Iterator[tuple[str, str]]:
    """Yield the names of the header's members and the texts of their objects, none of which holds another."""
    if text[:1] != "{":
        raise Malformed("The header does not begin with a brace.")
    position = past_space(text, 1)
    if text[position : position + 1] == "}":
        return closed(text, position)
    while True:
        name = NAME.match(text, position)
        if not name:
            raise Malformed(f"The header has no name at offset {position + 8}.")
        position = past_space(text, name.end())
        value = FLAT.match(text, past_space(text, position + 1))
        if text[position : position + 1] != ":" or not value:
            raise Malformed(f"The header has no object, or one that holds another, at offset {position + 8}.")
        yield str(parsed_json(name[0])), value[0]
        position = past_space(text, value.end())
        if text[position : position + 1] != ",":
            return closed(text, position)
        position = past_space(text, position + 1)


def past_space(text: str, position: int) -> int:
    """Return the position after the white space at one."""
    space = SPACE.match(text, position)
    return space.end() if space else position


def closed(text: str, position: int) -> None:
    """Raise Malformed unless the header ends with a brace here, but for white space."""
    if text[position : position + 1] != "}" or text[position + 1 :].strip(" \t\r\n"):
        raise Malformed(f"The header does not end at offset {position + 8} as it should.")


def members(text: str, where: str) -> dict[str, Any]:
    """Return a flat object; raises Malformed when it says something twice."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) < len(pairs):
            raise Malformed(f"The header says something twice of {where}.")
        return dict(pairs)

    try:
        return json.loads(text, object_pairs_hook=once)
    except (ValueError, RecursionError):
        raise Malformed(f"The header's entry of {where} is not JSON.") from None


def checked_metadata(text: str) -> dict[str, str]:
    """Return the header's `__metadata__`; raises Malformed unless it is texts only."""
    metadata = members(text, "__metadata__")
    if not all(isinstance(value, str) for value in metadata.values()):
        raise Malformed("The header's __metadata__ holds something other than texts.")
    return metadata


def told(found: Examination, metadata: dict[str, str]) -> None:
    """Note which framework says that it wrote the file."""
    if writer := WRITERS.get(metadata.get("format", "")):
        found.info("written_by", f"Its header says that it holds tensors of {writer}.")


def tensor(name: str, text: str) -> tuple[int, int, int]:
    """Return where a tensor begins and ends, and of how many numbers it is; raises Malformed."""
    if len(text) > LONGEST_TENSOR:
        raise Malformed(f"The header says too much of the tensor {name}.")
    entry = members(text, name)
    dtype, shape, offsets = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    if len(entry) != 3 or not isinstance(dtype, str) or not counts(shape) or not counts(offsets) or len(offsets) != 2:
        raise Malformed(f"The header does not say dtype, shape and two offsets of the tensor {name}.")
    if dtype not in BITS:
        raise Malformed(f"The tensor {name} is of the unknown type {dtype}.")
    begin, end = offsets
    count = product(shape)
    if len(shape) > MOST_DIMENSIONS or count * BITS[dtype] != (end - begin) * 8:
        raise Malformed(f"The tensor {name} of {dtype} and shape {shape[:8]} is given {end - begin} bytes.")
    return begin, end, count


def counts(value: Any) -> TypeGuard[list[int]]:
    """Return whether a value is a list of whole numbers, none negative."""
    return isinstance(value, list) and all(type(number) is int and number >= 0 for number in value)


def filled(places: list[tuple[int, int, str]], size: int) -> None:
    """Raise Malformed unless tensors follow each other from the first byte behind the header to the last."""
    last = 0
    for begin, end, name in sorted(places):
        if end > size:
            raise Malformed(f"The tensor {name} reaches to {end}, but there are {size} bytes of data.")
        if begin != last:
            what = "overlaps the one before" if begin < last else "leaves a hole before it"
            raise Malformed(f"The tensor {name} at {begin} {what}, which ends at {last}.")
        last = end
    if last != size:
        raise Malformed(f"{size - last} bytes follow the last tensor.")

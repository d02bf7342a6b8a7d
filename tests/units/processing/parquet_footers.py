"""Rewrites the footer of a Parquet file: what Thrift's compact protocol needs for it, and no more."""

from collections.abc import Callable
from typing import Any

TRUE, FALSE, I64, BINARY, LIST, STRUCT = 1, 2, 6, 8, 9, 12
Fields = dict[int, tuple[int, Any]]  # number -> (kind, value); a list is (kind of its items, items)


def with_footer(file: bytes, change: Callable[[Fields], None]) -> bytes:
    """Return the file with its footer changed: 3 is the number of rows, 4 the row groups (parquet.thrift)."""
    length = int.from_bytes(file[-8:-4], "little")
    fields, _ = read_struct(file[:-8], len(file) - 8 - length)
    change(fields)
    footer = write_struct(fields)
    return file[: -8 - length] + footer + len(footer).to_bytes(4, "little") + file[-4:]


def row_group(fields: Fields, index: int = 0) -> Fields:
    """Return the fields of a row group: 1 its columns, 2 its bytes, 3 its rows."""
    return fields[4][1][1][index]


def column(fields: Fields, index: int = 0) -> Fields:
    """Return the metadata of a column: 5 values, 6 bytes unpacked, 7 packed, 9 where they are, 11 its dictionary."""
    return row_group(fields)[1][1][1][index][3][1]


def put(fields: Fields, number: int, value: Any) -> None:
    """Set a field that is there to another value of its kind."""
    fields[number] = fields[number][0], value


def read_struct(data: bytes, at: int) -> tuple[Fields, int]:
    fields: Fields = {}
    number = 0
    while head := data[at]:
        at += 1
        if head >> 4:
            number += head >> 4
        else:
            number, at = read_number(data, at)
        fields[number], at = read_value(data, at, head & 15)
    return fields, at + 1


def read_value(data: bytes, at: int, kind: int) -> tuple[tuple[int, Any], int]:
    if kind in (TRUE, FALSE):
        return (kind, None), at
    if kind == 3:
        return (kind, data[at : at + 1]), at + 1
    if kind in (4, 5, I64):
        value, at = read_number(data, at)
        return (kind, value), at
    if kind == BINARY:
        length, at = read_varint(data, at)
        return (kind, data[at : at + length]), at + length
    if kind == STRUCT:
        value, at = read_struct(data, at)
        return (kind, value), at
    if kind == LIST:
        of, count = data[at] & 15, data[at] >> 4
        at += 1
        if count == 15:
            count, at = read_varint(data, at)
        items = []
        for _ in range(count):
            (_, item), at = read_value(data, at, of)
            items.append(item)
        return (kind, (of, items)), at
    raise ValueError(f"Parquet's footers have no field of kind {kind}.")


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        shift, at = shift + 7, at + 1
        if not data[at - 1] & 128:
            return value, at


def read_number(data: bytes, at: int) -> tuple[int, int]:
    value, at = read_varint(data, at)
    return (value >> 1) ^ -(value & 1), at


def write_struct(fields: Fields) -> bytes:
    return b"".join(bytes([kind]) + number_bytes(number) + value_bytes(kind, value)
                    for number, (kind, value) in fields.items()) + b"\0"  # fmt: skip


def value_bytes(kind: int, value: Any) -> bytes:
    if kind in (TRUE, FALSE):
        return b""
    if kind == 3:
        return value
    if kind in (4, 5, I64):
        return number_bytes(value)
    if kind == BINARY:
        return varint(len(value)) + value
    if kind == STRUCT:
        return write_struct(value)
    of, items = value
    return bytes([0xF0 | of]) + varint(len(items)) + b"".join(value_bytes(of, item) for item in items)


def number_bytes(value: int) -> bytes:
    return varint(value << 1 if value >= 0 else (-value << 1) - 1)


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])

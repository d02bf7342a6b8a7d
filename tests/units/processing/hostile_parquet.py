"""Hostile Parquet files."""

import io
import pickle
import struct
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.units.processing import parquet_footers as footers
from tests.units.processing.hostile_case import MIB, Content, Hostile

CANARY = "this"  # a module that nobody imports, and that says so


def parquet(table: pa.Table, **options: object) -> bytes:
    """A Parquet file without what Arrow adds for itself."""
    file = io.BytesIO()
    pq.write_table(table, file, store_schema=False, **options)  # type: ignore[arg-type]
    return file.getvalue()


def small() -> bytes:
    return parquet(pa.table({"a": [1, 2, 3], "t": ["x", "y", "z"]}))


def footer(change: Callable[[footers.Fields], None]) -> bytes:
    return footers.with_footer(small(), change)


def more_rows(fields: footers.Fields) -> None:
    """Promise a billion rows everywhere."""
    footers.put(fields, 3, 10**9)
    footers.put(footers.row_group(fields), 3, 10**9)
    for index in range(2):
        footers.put(footers.column(fields, index), 5, 10**9)


def repeated_text() -> pa.Array:
    """A text of 1 MB, a million times."""
    return pa.DictionaryArray.from_arrays(pa.array([0] * 1_000_000, pa.int32()), pa.array(["x" * MIB]))


def page(claimed: int) -> bytes:
    """A page that says it unpacks to 2 GB."""
    data = bytearray(parquet(pa.table({"a": ["x" * 1000] * 100}), compression="zstd", use_dictionary=False))
    fields, end = footers.read_struct(bytes(data), 4)
    footers.put(fields, 2, claimed)
    header = footers.write_struct(fields)
    grown = bytes(data[:4]) + header + bytes(data[end:])

    def longer(found: footers.Fields) -> None:
        column = footers.column(found)
        footers.put(column, 7, column[7][1] + len(header) - (end - 4))

    return footers.with_footer(grown, longer)


def pickled() -> bytes:
    """An Arrow extension type that older Arrows unpickle, as in CVE-2023-47248."""

    class Call:
        def __reduce__(self) -> tuple[object, ...]:
            return __import__, (CANARY,)

    metadata = {"ARROW:extension:name": "arrow.py_extension_type", "ARROW:extension:metadata": pickle.dumps(Call(), 0)}
    file = io.BytesIO()
    pq.write_table(pa.table([pa.array([1, 2])], schema=pa.schema([pa.field("a", pa.int64(), metadata=metadata)])), file)
    return file.getvalue()


def thrift_list() -> bytes:
    """A footer with a list of two billion schema elements that are not there."""
    body = b"\x15\x02\x19\xfc" + footers.varint(2**31 - 1)
    return b"PAR1" + body + struct.pack("<I", len(body)) + b"PAR1"


def deep() -> bytes:
    array = pa.array([1])
    for _ in range(60):
        array = pa.StructArray.from_arrays([array], ["x"])
    return parquet(pa.table({"a": array}))


def many_columns(count: int) -> bytes:
    return parquet(pa.table({f"c{number}": pa.array([1], pa.int8()) for number in range(count)}))


def million_columns() -> bytes:
    """A footer that lists a million columns of the schema of one."""

    def change(fields: footers.Fields) -> None:
        schema = fields[2][1][1]
        root, leaf = schema[0], schema[1]
        footers.put(root, 5, 1_000_000)
        fields[2] = fields[2][0], (fields[2][1][0], [root, *[leaf] * 1_000_000])

    return footers.with_footer(parquet(pa.table({"a": [1]})), change)


def same_bytes(fields: footers.Fields) -> None:
    """Let the second column lie where the first one does."""
    for number in (7, 9, 11):
        footers.put(footers.column(fields, 1), number, footers.column(fields)[number][1])


def long_text(length: int) -> pa.Table:
    """A text of zeros in one row."""
    buffers = [None, pa.py_buffer(np.array([0, length], np.int32)), pa.py_buffer(bytes(length))]
    return pa.table({"a": pa.Array.from_buffers(pa.string(), 1, buffers)})


def long_list(items: int) -> bytes:
    """A list of zeros in one row."""
    zeros = pa.array(np.zeros(items, np.int16))
    return parquet(
        pa.table({"a": pa.ListArray.from_arrays(pa.array([0, items], pa.int32()), zeros)}), compression="zstd"
    )


def in_list(items: pa.Array) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array([0, len(items)], pa.int32()), items)


def parquets() -> list[Hostile]:
    """Parquet files."""
    outside, promises = "outside the file", "promises 1,000,000,000 rows and has 3"
    lies: dict[str, tuple[Callable[[footers.Fields], None], str]] = {
        "lying rows": (more_rows, promises),
        "lying total": (lambda fields: footers.put(fields, 3, 5), "its row groups have 3"),
        "negative rows": (lambda fields: footers.put(footers.row_group(fields), 3, -1), "promises -1 rows"),
        "column outside": (lambda fields: footers.put(footers.column(fields), 9, 2**40), outside),
        "column of 2^60": (lambda fields: footers.put(footers.column(fields), 7, 2**60), outside),
        "column of -1": (lambda fields: footers.put(footers.column(fields), 7, -1), outside),
        "shared columns": (same_bytes, "share the same bytes"),
    }
    many, broken = "times its size", "cannot be read as Parquet"
    found: dict[str, tuple[Content, str | None]] = {
        "of no bytes": (b"", "no Parquet file"),
        "truncated": (lambda: small()[:-100], "cut off"),
        "that is CSV": (b"a,b\n1,2\n3,4\n", "no Parquet file"),
        "encrypted": (lambda: small()[:-4] + b"PARE", "encrypted"),
        "footer of 4 GB": (lambda: small()[:-8] + b"\xff\xff\xff\xffPAR1", "promises a footer"),
        "dictionary bomb": (lambda: parquet(pa.table({"a": repeated_text()})), many),
        "dictionary bomb in a list": (lambda: parquet(pa.table({"a": in_list(repeated_text())})), "memory"),
        "text of 512 MB": (
            lambda: parquet(long_text(2**29), compression="zstd", use_dictionary=False, write_statistics=False),
            "memory",
        ),
        "list of 2^26": (lambda: long_list(2**26), "memory"),
        "of 2^24 equal rows": (lambda: parquet(pa.table({"a": np.zeros(2**24)}), compression="zstd"), many),
        "page of 2 GB": (lambda: page(2**31 - 1), f"memory|{broken}"),
        "page of -1": (lambda: page(-1), broken),
        "pickled extension type": (pickled, None),
        "thrift bomb": (thrift_list, broken),
        "of 1,001 columns": (lambda: many_columns(1001), "1,001 columns"),
        "of 10^6 columns": (million_columns, broken),
        "60 structures deep": (deep, "nested too deep"),
        "of bytes": (lambda: parquet(pa.table({"a": [b"x"]})), "'a' holds binary, which no training reads"),
        "without rows": (lambda: parquet(pa.table({"a": pa.array([], pa.int64())})), "no rows"),
    }
    found |= {name: ((lambda change=change: footer(change)), said) for name, (change, said) in lies.items()}
    return [
        Hostile(f"Parquet {name}", "tabular", "parquet", {"data.parquet": made}, said)
        for name, (made, said) in found.items()
    ]

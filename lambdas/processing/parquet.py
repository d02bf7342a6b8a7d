"""Parquet files, batch by batch: the footer is held against the file before anything it promises is read."""

import io
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lambdas.processing.arrow_types import plain
from lambdas.processing.parquet_batches import BATCH_BYTES, batches, is_wide
from lambdas.processing.parquet_footer import check_columns, check_end, check_row_groups
from lambdas.processing.report import InvalidFile, Report
from lambdas.processing.source import BUFFER, InputFile
from lambdas.processing.table import Table

BUFFERS = 16 * 1024 * 1024  # for reading, of all columns together
SMALL_DICTIONARY = 4 * 1024 * 1024  # columns of texts below it are read as references to their distinct values
WORST_RATIO = 1000  # unpacked to the file's size; ten zeros in a row compress, a whole file of them is a bomb
RATIO_COUNTS_FROM = 64 * 1024 * 1024


def read(files: Sequence[InputFile], output: Path) -> Report:
    """Profile Parquet files of the same columns. Raises InvalidFile, naming the file."""
    table = Table()
    first: tuple[str, pa.Schema] | None = None
    for file in files:
        with at_hand(file, output) as stream:
            try:
                opened = open_file(file, stream)
                schema = plain_schema(file, opened.schema_arrow)
                if first is None:
                    first = file.name, schema
                check_same(file.name, schema, *first)
                add_rows(table, file, opened, schema, file.name if len(files) > 1 else None)
            except (pa.ArrowException, OSError) as error:
                if isinstance(error, MemoryError):
                    raise
                raise InvalidFile(
                    f"{file.name} cannot be read as Parquet: {first_line(error)} Write it again, or upload it again."
                ) from error
    if not table.rows:
        raise InvalidFile("There are no rows in it.")
    return table.report()


@contextmanager
def at_hand(file: InputFile, folder: Path) -> Iterator[BinaryIO]:
    """Open a file on disk: one that lies elsewhere is copied, because columns are read here and there in turns."""
    with file.open() as stream:
        if isinstance(getattr(stream, "raw", None), io.FileIO):
            yield stream
            return
    with file.in_order() as source, tempfile.TemporaryFile(dir=folder) as copy:
        shutil.copyfileobj(source, copy, BUFFER)
        yield cast(BinaryIO, copy)


def open_file(file: InputFile, stream: BinaryIO) -> pq.ParquetFile:
    """Open a file and check its footer."""
    stream.seek(0)
    rows_end = check_end(file, stream)
    stream.seek(0)
    plainly = open_with(stream, buffer_size=1)
    check_columns(file, plainly)
    check_row_groups(file, plainly.metadata, rows_end)
    return open_with(
        stream,
        buffer_size=max(16 * 1024, min(1024 * 1024, BUFFERS // plainly.metadata.num_columns)),
        read_dictionary=[] if is_wide(plainly) else small_dictionaries(plainly),
        metadata=plainly.metadata,
    )


def open_with(stream: BinaryIO, **options: object) -> pq.ParquetFile:
    """Open a file to be read in little memory; what it says of its Arrow types beyond Parquet's own is not loaded."""
    return pq.ParquetFile(
        stream,
        pre_buffer=False,  # else whole row groups are fetched ahead
        arrow_extensions_enabled=False,
        thrift_container_size_limit=100_000,
        **options,  # type: ignore[arg-type]
    )


def small_dictionaries(opened: pq.ParquetFile) -> list[str]:
    """Return the columns of texts to be read as references: a small file may repeat a long text a million times.

    Arrow collects the values of a whole row group for that, so it is only for columns that are small while packed.
    """
    metadata, chosen = opened.metadata, []
    for index in range(metadata.num_columns):
        column = opened.schema.column(index)
        chunks = [metadata.row_group(group).column(index) for group in range(metadata.num_row_groups)]
        small = all(chunk.total_uncompressed_size <= SMALL_DICTIONARY for chunk in chunks)
        if column.physical_type == "BYTE_ARRAY" and column.path == column.name and small:
            chosen.append(column.path)
    return chosen


def plain_schema(file: InputFile, schema: pa.Schema) -> pa.Schema:
    """Return the columns with the types that tables of examples have."""
    fields = []
    for field in schema:
        kind = plain(field.type)
        if kind is None:
            held = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
            raise InvalidFile(
                f"{file.name}: column {field.name!r} holds {held}, which no training reads: "
                "leave it out or write it as numbers, texts, dates or lists."
            )
        fields.append(pa.field(field.name, kind))
    return pa.schema(fields)


def check_same(name: str, schema: pa.Schema, first_name: str, first: pa.Schema) -> None:
    """Refuse a file whose columns are not those of the first one; a column without any value goes with all types."""
    if schema.names != first.names:
        odd = sorted(set(schema.names) ^ set(first.names)) or schema.names
        raise InvalidFile(f"{name} has other columns than {first_name}, see {odd[0]!r}: give all files the same.")
    for field, other in zip(schema, first, strict=True):
        if field.type != other.type and not pa.types.is_null(field.type) and not pa.types.is_null(other.type):
            raise InvalidFile(
                f"{name}: column {field.name!r} holds {field.type}, in {first_name} it holds {other.type}: "
                "give all files the same columns."
            )


def add_rows(table: Table, file: InputFile, opened: pq.ParquetFile, schema: pa.Schema, said: str | None) -> None:
    """Give a file's rows to the table. Refuses a file that does not hold what it promises, or far more than it can."""
    unpacked = rows = 0
    for batch in batches(opened):
        for start, length, size in pieces(batch):
            unpacked += size
            if unpacked > max(RATIO_COUNTS_FROM, file.size * WORST_RATIO):
                raise InvalidFile(
                    f"{file.name} unpacks to more than {WORST_RATIO:,} times its size: its rows repeat the same "
                    "values. Leave out such columns or rows."
                )
            where = (lambda row, first=rows: f"{said} row {first + row + 1}") if said else None
            columns = [
                batch.column(index).slice(start, length).cast(field.type, safe=False)
                for index, field in enumerate(schema)
            ]
            table.add(pa.RecordBatch.from_arrays(columns, schema=schema), where)
            rows += length
    if rows != opened.metadata.num_rows:
        raise InvalidFile(f"{file.name} promises {opened.metadata.num_rows:,} rows and has {rows:,}: write it again.")


def pieces(batch: pa.RecordBatch) -> Iterator[tuple[int, int, int]]:
    """Yield start, length and bytes of the parts of a batch that are small once references are values again."""
    references = [column for column in batch.columns if pa.types.is_dictionary(column.type)]
    others = batch.nbytes - sum(column.nbytes for column in references)
    sizes = np.full(batch.num_rows, others // max(1, batch.num_rows), np.int64)
    for column in references:
        lengths = np.append(pc.call_function("binary_length", [column.dictionary]).fill_null(0).to_numpy(), 0)
        sizes += lengths[column.indices.fill_null(len(lengths) - 1).to_numpy()]
    ends = sizes.cumsum()  # of each row: the bytes up to it
    start = before = 0
    while start < batch.num_rows:
        stop = max(start + 1, int(ends.searchsorted(before + BATCH_BYTES, side="right")))
        yield start, stop - start, int(ends[stop - 1]) - before
        start, before = stop, int(ends[stop - 1])


def first_line(error: BaseException) -> str:
    """Return what a library says of a broken file, short and as a sentence."""
    return str(error).strip().split("\n")[0][:200].rstrip(".:") + "."

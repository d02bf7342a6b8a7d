"""What a Parquet file's footer says, held against the file: sizes, places and counts that cannot be are refused."""

from itertools import pairwise
from typing import BinaryIO

import pyarrow.parquet as pq

from lambdas.processing.report import InvalidFile
from lambdas.processing.source import InputFile

MAGIC, ENCRYPTED = b"PAR1", b"PARE"
LARGEST_FOOTER = 32 * 1024 * 1024
MOST_COLUMNS = 1000  # with the fields of structures
DEEPEST = 16  # lists and structures in each other
LONGEST_NAME = 200


def check_end(file: InputFile, stream: BinaryIO) -> int:
    """Return where the rows end and the footer starts. Raises InvalidFile for what has no footer that can be read."""
    if file.size < 12:
        raise InvalidFile(f"{file.name} is no Parquet file: it has {file.size} bytes.")
    start = stream.read(4)
    stream.seek(file.size - 8)
    end = stream.read(8)
    if ENCRYPTED in (start, end[4:]):
        raise InvalidFile(f"{file.name} is encrypted: write it without encryption.")
    if start != MAGIC:
        raise InvalidFile(f"{file.name} is no Parquet file: it does not start as one.")
    if end[4:] != MAGIC:
        raise InvalidFile(f"{file.name} is cut off: it starts as a Parquet file and has no footer. Upload it again.")
    length = int.from_bytes(end[:4], "little")
    if length > file.size - 12:
        raise InvalidFile(f"{file.name} promises a footer of {length:,} bytes and has {file.size:,} in all.")
    if length > LARGEST_FOOTER:
        raise InvalidFile(
            f"{file.name} has a footer of {length >> 20} MB, more than {LARGEST_FOOTER >> 20}: "
            f"write fewer columns (at most {MOST_COLUMNS:,}) or larger row groups."
        )
    return file.size - 8 - length


def check_columns(file: InputFile, opened: pq.ParquetFile) -> None:
    """Refuse columns that no table of examples has: too many, nested too deep, without a name or with one twice."""
    count = opened.metadata.num_columns
    if not count:
        raise InvalidFile(f"{file.name} has no columns.")
    if count > MOST_COLUMNS:
        raise InvalidFile(f"{file.name} has {count:,} columns; at most {MOST_COLUMNS:,} can be used.")
    seen: set[str] = set()
    for index in range(count):
        column = opened.schema.column(index)
        if column.path.count(".") > DEEPEST:
            raise InvalidFile(
                f"{file.name}: column {column.path[:50]!r}… is nested too deep; at most {DEEPEST} levels."
            )
    for position, name in enumerate(opened.schema_arrow.names, 1):
        if not name.strip():
            raise InvalidFile(f"{file.name}: column {position} has no name.")
        if len(name) > LONGEST_NAME:
            raise InvalidFile(f"{file.name}: the name of column {position} is longer than {LONGEST_NAME} characters.")
        if name in seen:
            raise InvalidFile(f"{file.name} has two columns {name!r}: give each its own name.")
        seen.add(name)


def check_row_groups(file: InputFile, metadata: pq.FileMetaData, rows_end: int) -> None:
    """Refuse counts that contradict each other, and columns that would lie outside the file or in one another."""
    places: list[tuple[int, int]] = []
    rows = 0
    for index in range(metadata.num_row_groups):
        group = metadata.row_group(index)
        rows += group.num_rows
        for number in range(metadata.num_columns):
            chunk = group.column(number)
            flat = not metadata.schema.column(number).max_repetition_level
            if group.num_rows < 0 or chunk.num_values < group.num_rows or (flat and chunk.num_values > group.num_rows):
                raise InvalidFile(
                    f"{file.name}: row group {index + 1} promises {group.num_rows:,} rows and column "
                    f"{chunk.path_in_schema[:50]!r} has {chunk.num_values:,} values: write it again."
                )
            start = chunk.data_page_offset
            if chunk.has_dictionary_page and chunk.dictionary_page_offset:
                start = min(start, chunk.dictionary_page_offset)
            end = start + chunk.total_compressed_size
            if not group.num_rows:
                continue  # nothing of it is read
            if start < 4 or not start <= chunk.data_page_offset < end <= rows_end:
                raise InvalidFile(
                    f"{file.name}: column {chunk.path_in_schema[:50]!r} of row group {index + 1} would lie outside "
                    "the file: write it again."
                )
            places.append((start, end))
    if rows != metadata.num_rows:
        raise InvalidFile(
            f"{file.name} promises {metadata.num_rows:,} rows and its row groups have {rows:,}: write it again."
        )
    if any(later < end for (_, end), (later, _) in pairwise(sorted(places))):
        raise InvalidFile(f"{file.name} has columns that share the same bytes: write it again.")

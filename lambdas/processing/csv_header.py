"""The header of a CSV file: names for its columns, each one once."""

import csv
from collections.abc import Iterable, Iterator

from lambdas.processing import csv_faults
from lambdas.processing.csv_blocks import Block
from lambdas.processing.report import InvalidFile
from lambdas.processing.table import MAX_COLUMNS

MAX_NAME_BYTES = 200  # of a column: all names are stored in the record, which holds 400 KB


def take_header(blocks: Iterable[Block], delimiter: str) -> tuple[list[str], Block]:
    """Return the names of the columns, and what follows them in their block; raises InvalidFile."""
    for block in blocks:
        used: list[int] = []
        try:
            rows = csv_faults.cells_of(measured(csv_faults.lines_of(block.data), delimiter, used), delimiter)
            for number, cells in enumerate(rows, block.row):
                if cells:
                    begin = sum(used)
                    quotes = block.quotes[block.quotes >= begin] - begin
                    return checked_names(cells), Block(block.data[begin:], number + 1, quotes)
        except (csv.Error, csv_faults.UnreadableLine):
            csv_faults.explain(block.data, block.row, delimiter, whole=True)
            raise
    raise InvalidFile("The file is empty: upload a CSV with a header row and at least one row of data.")


def measured(lines: Iterable[str], delimiter: str, used: list[int]) -> Iterator[str]:
    """Yield lines and note their lengths in bytes; raises InvalidFile for one that is far too wide for a header."""
    for line in lines:
        if '"' not in line:
            check_width(line.count(delimiter) + 1)
        used.append(len(line.encode()))
        yield line


def checked_names(cells: list[str]) -> list[str]:
    """Return the column names, stripped; raises InvalidFile when they do not name each column once."""
    names = [name.strip() for name in cells]
    check_width(len(names))
    if all(is_number(name) for name in names):
        raise InvalidFile(
            f"Row 1 holds numbers ({', '.join(names[:3])}), not column names: add a header row with a name per column."
        )
    for position, name in enumerate(names, start=1):
        if not name:
            raise InvalidFile(f"Row 1: column {position} has no name; give every column a name.")
        if len(name.encode()) > MAX_NAME_BYTES:
            raise InvalidFile(
                f"Row 1: the name of column {position} is longer than {MAX_NAME_BYTES} bytes; shorten it."
            )
        if name in names[: position - 1]:
            raise InvalidFile(f"Row 1: the column name {name!r} is there twice; give every column its own name.")
    return names


def check_width(count: int) -> None:
    """Raise InvalidFile for more columns than possible."""
    if count > MAX_COLUMNS:
        raise InvalidFile(f"The header has {count:,} columns; at most {MAX_COLUMNS:,} are possible. Drop some.")


def is_number(text: str) -> bool:
    """Return whether a text reads as a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True

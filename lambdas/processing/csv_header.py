"""The header of a CSV file: names for its columns, each one once."""

import csv
from collections.abc import Iterable, Iterator

from lambdas.processing import csv_faults
from lambdas.processing.csv_blocks import NONE, Block
from lambdas.processing.report import InvalidFile

MAX_NAME_BYTES = 200  # of a column: all names are stored in the record, which holds 400 KB


def take_header(blocks: Iterable[Block], delimiter: str) -> tuple[list[str], Block]:
    """Return the names of the columns, and what follows them in their block; raises InvalidFile."""
    for block in blocks:
        data = block.data.lstrip(b"\r\n")
        if not data:
            continue
        row = block.row + Block(block.data[: -len(data)], 1, NONE).rows()
        used: list[int] = []
        try:
            cells = next(csv_faults.cells_of(measured(csv_faults.lines_of(data), used), delimiter))
        except (csv.Error, csv_faults.UnreadableLine):
            csv_faults.explain(data, row, delimiter, whole=True)
            raise
        begin = len(block.data) - len(data) + sum(used)
        return checked_names(cells), Block(block.data[begin:], row + 1, block.quotes[block.quotes >= begin] - begin)
    raise InvalidFile("The file is empty: upload a CSV with a header row and at least one row of data.")


def measured(lines: Iterable[str], used: list[int]) -> Iterator[str]:
    """Yield lines and note their lengths in bytes."""
    for line in lines:
        used.append(len(line.encode()))
        yield line


def checked_names(cells: list[str]) -> list[str]:
    """Return the column names, stripped; raises InvalidFile when they do not name each column once."""
    names = [name.strip() for name in cells]
    csv_faults.check_columns(len(names))
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


def is_number(text: str) -> bool:
    """Return whether a text reads as a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True

"""What is wrong with rows of CSV: read again one by one, to name the row and what to change."""

import csv
import io
from collections.abc import Iterable, Iterator

from lambdas.processing.report import InvalidFile
from lambdas.processing.table import MAX_COLUMNS

MAX_FIELD = 1024 * 1024  # characters of one cell
MAX_LINE = 16 * 1024 * 1024  # characters of one physical line, and of one row


def explain(data: bytes, row: int, delimiter: str, *, whole: bool, width: int | None = None) -> None:
    """Raise InvalidFile for the first fault in some UTF-8, whose first row has a number; return if there is none.

    `whole` says that the data ends with a row; `width` how many fields each row should have, by default as many as
    the first that is not empty.
    """
    number, cells, fault = row - 1, [], None
    try:
        for following in cells_of(lines_of(data), delimiter):
            # The last row may go on after the data, so each is looked at when the next is there.
            check_width(cells, number, width, delimiter)
            number, cells = number + 1, following
            width = width or len(cells)
    except UnreadableLine as error:
        fault = f"Row {number + 1} {error}"
    except csv.Error as error:
        if whole or "unexpected end" not in str(error):
            fault = f"Row {number + 1}: {explained(error)}"
    if whole or fault:
        check_width(cells, number, width, delimiter)
    if fault:
        raise InvalidFile(fault)
    if not whole and len(data) > MAX_LINE and len(data.decode(errors="replace")) > MAX_LINE:
        raise InvalidFile(f"Row {row} has more than {MAX_LINE:,} characters; shorten it, or close a quotation mark.")


def check_width(cells: list[str], number: int, width: int | None, delimiter: str) -> None:
    """Raise InvalidFile for a row with another number of fields than the header; empty lines have none."""
    if cells and len(cells) != width:
        raise InvalidFile(
            f"Row {number} has {fields(len(cells))}, but the header has {width}: give every row as many, "
            f"and put text that holds the delimiter {delimiter!r} in quotation marks."
        )


def check_start(count: int, number: int, width: int | None, delimiter: str) -> None:
    """Raise InvalidFile when the beginning of a row has too many fields already; without a width it is the header."""
    if width is None:
        check_columns(count, "at least ")
    elif count > width:
        raise InvalidFile(
            f"Row {number} has at least {count:,} fields, but the header has {width}: give every row as many, "
            f"and put text that holds the delimiter {delimiter!r} in quotation marks."
        )


def check_columns(count: int, least: str = "") -> None:
    """Raise InvalidFile for more columns than possible."""
    if count > MAX_COLUMNS:
        raise InvalidFile(f"The header has {least}{count:,} columns; at most {MAX_COLUMNS:,} are possible. Drop some.")


def cells_of(lines: Iterable[str], delimiter: str) -> Iterator[list[str]]:
    """Yield rows, `[]` for empty lines; raises csv.Error."""
    csv.field_size_limit(MAX_FIELD)  # of this process: csv has no other place for it
    return csv.reader(lines, delimiter=delimiter, strict=True)


class UnreadableLine(Exception):
    """A line that is no text line; the message goes on after `Row 7`."""


def lines_of(data: bytes) -> Iterator[str]:
    """Yield the physical lines of some UTF-8; raises UnreadableLine for one past MAX_LINE or with a NUL character."""
    text = io.TextIOWrapper(io.BytesIO(data), "utf-8", errors="replace", newline="")
    while line := text.readline(MAX_LINE + 1):
        if len(line) > MAX_LINE:
            raise UnreadableLine(f"has a line of more than {MAX_LINE:,} characters: this does not look like CSV text.")
        if "\0" in line:
            raise UnreadableLine("has a NUL character: save the file as CSV in UTF-8 and upload it again.")
        yield line


def fields(count: int) -> str:
    """Return e.g. `1 field`, `3 fields`."""
    return "1 field" if count == 1 else f"{count} fields"


def explained(error: csv.Error) -> str:
    """Return what the csv module found wrong, and what to change."""
    if "field larger" in str(error):
        return (
            f"a field has more than {MAX_FIELD:,} characters; shorten it, or close a quotation mark that is left open."
        )
    if "unexpected end" in str(error):
        return "a quotation mark is opened and never closed; close it."
    return 'a quotation mark stands inside a quoted field; write it twice ("").'

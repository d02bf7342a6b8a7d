"""A CSV file as a stream of checked rows: encoding and delimiter are found out, memory stays flat, and whatever
would trip training later is refused here with a sentence that names the row and the remedy.
"""

import codecs
import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

MAX_COLUMNS = 1000
MAX_NAME_BYTES = 200  # of a column: all names are stored in the record, which holds 400 KB
MAX_FIELD = 1024 * 1024  # characters of one cell
MAX_LINE = 16 * 1024 * 1024  # characters of one physical line
SAMPLED_ROWS = 20
DELIMITERS = ",;\t|"
OTHER_FORMATS = {
    b"PK\x03\x04": "an Excel workbook or a ZIP archive",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"PAR1": "a Parquet file",
    b"\x1f\x8b": "a gzip archive",
    b"%PDF": "a PDF",
}


class InvalidFile(Exception):
    """The file cannot be used; the message says where and what to change."""


@dataclass(frozen=True)
class Dialect:
    """How the file is written: a Python codec name, and the character between fields."""

    encoding: str
    delimiter: str


def sniff(sample: bytes, encoding: str | None = None) -> Dialect:
    """Return how a file is written, from its first bytes; raises InvalidFile for what is plainly no CSV.

    Without a byte order mark a file is UTF-8, or Windows-1252 (Latin-1 with the characters Windows adds) if the
    sample is not. `encoding` overrules that.
    """
    for magic, what in OTHER_FORMATS.items():
        if sample.startswith(magic):
            raise InvalidFile(f"The file is {what}, not a CSV: export it as CSV and upload that.")
    encoding = encoding or sniff_encoding(sample)
    text = codecs.getincrementaldecoder(encoding)().decode(sample)
    lines = text.splitlines(keepends=True)
    # A sample ends anywhere: its last line may be half a row.
    return Dialect(encoding, sniff_delimiter(lines[:-1] or lines))


def sniff_encoding(sample: bytes) -> str:
    """Return the codec of a sample, which may end inside a character."""
    if sample.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if sample.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def sniff_delimiter(lines: list[str]) -> str:
    """Return the delimiter that cuts the first rows into equally many fields, the most fields winning."""
    widths = {delimiter: sampled_widths(lines, delimiter) for delimiter in DELIMITERS}
    even = {delimiter: found[0] for delimiter, found in widths.items() if len(set(found)) == 1}
    if max(even.values(), default=1) > 1:
        return max(even, key=lambda delimiter: even[delimiter])
    return max(DELIMITERS, key=lambda delimiter: max(widths[delimiter][:1], default=0))


def sampled_widths(lines: list[str], delimiter: str) -> list[int]:
    """Return how many fields each of the first rows has; ends early at what is not CSV."""
    widths: list[int] = []
    try:
        for row in csv.reader(lines, delimiter=delimiter):
            if row:
                widths.append(len(row))
            if len(widths) == SAMPLED_ROWS:
                break
    except csv.Error:
        pass  # reported, with its row, when the file is read
    return widths


def rows(stream: BinaryIO, dialect: Dialect) -> Iterator[list[str]]:
    """Yield the header, then each row with as many fields as it; empty lines are skipped.

    Rows count as a spreadsheet shows them: the header is row 1. Raises InvalidFile, and UnicodeDecodeError for
    bytes that are not of the dialect's encoding.
    """
    csv.field_size_limit(MAX_FIELD)  # of this process: csv has no other place for it
    text = io.TextIOWrapper(stream, encoding=dialect.encoding, newline="")
    number, header = 0, None
    try:
        for row in csv.reader(lines_of(text), delimiter=dialect.delimiter, strict=True):
            number += 1
            if not row:
                continue
            if header is None:
                header = checked_header(row)
            elif len(row) != len(header):
                raise InvalidFile(
                    f"Row {number} has {fields(len(row))}, but the header has {len(header)}: give every row as many, "
                    f"and put text that holds the delimiter {dialect.delimiter!r} in quotation marks."
                )
            yield row
    except csv.Error as error:
        raise InvalidFile(f"Row {number + 1}: {explained(error)}") from error
    except UnreadableLine as error:
        raise InvalidFile(f"Row {number + 1} {error}") from error
    if header is None:
        raise InvalidFile("The file is empty: upload a CSV with a header row and at least one row of data.")


class UnreadableLine(Exception):
    """A line that is no text line; the message goes on after `Row 7`."""


def lines_of(text: io.TextIOWrapper) -> Iterator[str]:
    """Yield physical lines, none longer than MAX_LINE; raises UnreadableLine, also for NUL characters."""
    while line := text.readline(MAX_LINE + 1):
        if len(line) > MAX_LINE:
            raise UnreadableLine(f"has a line of more than {MAX_LINE:,} characters: this does not look like CSV text.")
        if "\0" in line:
            raise UnreadableLine("has a NUL character: save the file as CSV in UTF-8 and upload it again.")
        yield line


def checked_header(row: list[str]) -> list[str]:
    """Return the column names, stripped; raises InvalidFile when they do not name each column once."""
    names = [name.strip() for name in row]
    if len(names) > MAX_COLUMNS:
        raise InvalidFile(f"The header has {len(names):,} columns; at most {MAX_COLUMNS:,} are possible. Drop some.")
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

"""How a CSV file is written: its encoding and the character between fields, found out from its first bytes."""

import codecs
import csv
from dataclasses import dataclass

from lambdas.processing.report import InvalidFile

SAMPLED_ROWS = 20
DELIMITERS = ",;\t|"
OTHER_FORMATS = {
    b"PK\x03\x04": "an Excel workbook or a ZIP archive",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"PAR1": "a Parquet file",
    b"\x1f\x8b": "a gzip archive",
    b"%PDF": "a PDF",
}


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

"""CSV files: encoding and delimiter are found out, every row is checked, and what is in the columns reported."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
from pyarrow.csv import ConvertOptions, ParseOptions, ReadOptions, read_csv

from lambdas.processing import csv_faults, hashes
from lambdas.processing.csv_blocks import Block, Blocks, CsvText
from lambdas.processing.csv_dialect import sniff
from lambdas.processing.csv_header import take_header
from lambdas.processing.report import InvalidFile, Report
from lambdas.processing.source import InputFile
from lambdas.processing.table import Table

BOM = "\ufeff".encode()

T = TypeVar("T")


def read(files: Sequence[InputFile], output: Path) -> Report:
    """Read each file once, and all a second time only if late bytes show that one is not UTF-8; raises InvalidFile."""
    try:
        return read_as(files, encoding=None)
    except UnicodeDecodeError:
        pass
    try:
        return read_as(files, encoding="cp1252")
    except UnicodeDecodeError as error:
        raise InvalidFile("The file is not text in UTF-8, UTF-16 or Latin-1: save it as CSV in UTF-8.") from error


def read_as(files: Sequence[InputFile], encoding: str | None) -> Report:
    """Return the report of files in an encoding, or in what they seem to be in; raises UnicodeDecodeError too."""
    dataset = Dataset()
    for file in files:
        try:
            dataset.add(file, encoding)
        except InvalidFile as error:
            raise error if len(files) == 1 else InvalidFile(f"{file.name}: {error}") from error
    if not dataset.table.rows:
        raise InvalidFile("The file has a header but no rows: add at least one row of data and upload it again.")
    return dataset.report()


class Dataset:
    """The files of a dataset while they are read: one table, so one header, and one way of writing it."""

    def __init__(self) -> None:
        self.table = Table(untyped=True, first_row=2)
        self._names: list[str] = []
        self._delimiter = ""
        self._encodings: set[str] = set()
        self._scripts: set[str] = set()

    def add(self, file: InputFile, encoding: str | None) -> None:
        """Read a file; raises InvalidFile, UnicodeDecodeError."""
        with file.in_order() as stream:
            dialect = sniff(stream.peek(), encoding)
            text = CsvText(stream, dialect.encoding)
            blocks = Blocks(text, dialect.delimiter)
            for batch in ahead(self.batches(blocks, dialect.delimiter)):
                self.table.add(batch)
        self._encodings.add(dialect.encoding)
        self._scripts.add(text.script())
        if len(self._scripts - {"ascii"}) > 1 or self._scripts == {"ascii", "utf-16"}:
            raise InvalidFile("The file is in another encoding than those before it: save all of them in UTF-8.")

    def batches(self, blocks: Blocks, delimiter: str) -> Iterator[pa.RecordBatch]:
        """Yield a file's rows."""
        found = iter(blocks)
        names, rest = take_header(found, delimiter)
        self._check(names, delimiter)
        blocks.expect(len(names))
        for block in chain([rest], found):
            # Empty lines are no rows.
            if block.data[:1] not in b"\r\n" or block.data.strip(b"\r\n"):
                yield parsed(block, names, delimiter)

    def report(self) -> Report:
        """Return what was found."""
        report = self.table.report()
        report.delimiter = self._delimiter
        # What is right for all: Python reads files with and without a mark as `utf-8-sig`.
        report.encoding = (
            "utf-8-sig" if "utf-8-sig" in self._encodings else max(self._scripts - {"ascii"}, default="utf-8")
        )
        return report

    def _check(self, names: list[str], delimiter: str) -> None:
        """Raise InvalidFile when a file has another header than the first."""
        if not self._names:
            self._names, self._delimiter = names, delimiter
        elif names != self._names:
            raise InvalidFile(
                f"The columns are {shown(names)}, but those of the first file {shown(self._names)}: "
                "give all files the same header."
            )
        elif delimiter != self._delimiter and len(names) > 1:
            raise InvalidFile(
                f"The delimiter is {delimiter!r}, but that of the first file {self._delimiter!r}: "
                "save all files with the same."
            )


def shown(names: list[str]) -> str:
    """Return the first names of columns."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def parsed(block: Block, names: list[str], delimiter: str) -> pa.RecordBatch:
    """Return rows as columns of texts; raises InvalidFile for one with too many or too few fields."""
    # Arrow takes these three bytes for a byte order mark at the beginning of any block.
    data = b"\n" + block.data if block.data.startswith(BOM) else block.data
    reading = ReadOptions(column_names=names, block_size=len(data) + 1, use_threads=False)
    parsing = ParseOptions(delimiter=delimiter, newlines_in_values=bool(len(block.quotes)))
    convert = ConvertOptions(column_types=dict.fromkeys(names, pa.string()), check_utf8=False)
    try:
        batch = read_csv(pa.BufferReader(data), reading, parsing, convert).combine_chunks().to_batches()[0]
    except pa.ArrowInvalid as error:
        csv_faults.explain(block.data, block.row, delimiter, whole=True, width=len(names))
        raise InvalidFile(f"Row {block.row} or one below it cannot be read as CSV: {error}") from error
    if any(hashes.text_parts(column)[1].max() > csv_faults.MAX_FIELD for column in batch.columns):
        csv_faults.explain(block.data, block.row, delimiter, whole=True, width=len(names))
    return batch


def ahead(items: Iterator[T]) -> Iterator[T]:
    """Yield items while a thread already makes the next one."""
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(next, items, None)
        while (item := waiting.result()) is not None:
            waiting = thread.submit(next, items, None)
            yield item

"""What is in a table: columns, duplicates, defects and first rows, found in one pass over Arrow batches."""

from collections.abc import Callable, Mapping

import numpy as np
import pyarrow as pa

from lambdas.processing.columns import UntypedColumn
from lambdas.processing.hashes import PRIMES, mixed
from lambdas.processing.lists import Lists
from lambdas.processing.preview import FirstRows
from lambdas.processing.report import ColumnType, Defects, InvalidFile, Report
from lambdas.processing.sketch import Sketch
from lambdas.processing.typed_column import TypedColumn, is_list

MAX_COLUMNS = 1000
# Hashes remembered at a time, 16 bytes each: what bounds the memory, and up to where counts are exact.
DISTINCT_BUDGET = 2**20  # over all columns
MAX_DISTINCT = 2**14  # of one column
MAX_DISTINCT_ROWS = 2**16


class Table:
    """A table of examples while it is read; memory stays flat however many batches it takes.

    `untyped` says that texts are all the file has, as in CSV: then what counts as missing is left out, cells are
    stripped, and numbers, dates and booleans are found out. Otherwise a text is a text and only null is missing.
    `types` names columns whose reader knows better what they hold (`{"file_name": "file", "label": "category"}`).
    `first_row` is the number that a person gives to the first row, for the places of defects.
    """

    def __init__(
        self, *, untyped: bool = False, first_row: int = 1, types: Mapping[str, ColumnType] | None = None
    ) -> None:
        self.rows = 0
        self.defects = Defects()  # readers may add their own
        self._untyped, self._first_row, self._types = untyped, first_row, types or {}
        self._columns: dict[str, UntypedColumn | TypedColumn] = {}
        self._factors: dict[str, np.uint64] = {}
        self._lists = Lists(self.defects)
        self._seen = Sketch(MAX_DISTINCT_ROWS)
        self._first = FirstRows()

    def add(self, batch: pa.RecordBatch, where: Callable[[int], str] | None = None) -> None:
        """Take in some rows. `where` gives the place of the batch's row n, counted from 0; else it is `row 17`.

        Batches may differ in their columns and in a column's Arrow type: a column that a batch lacks is null there.
        Raises InvalidFile when there are more than MAX_COLUMNS.
        """
        begin = self._first_row + self.rows
        place = where or (lambda row: f"row {begin + row}")
        self._first.add(batch)
        row_hashes = np.zeros(batch.num_rows, np.uint64)
        for name, array in zip(batch.schema.names, batch.columns, strict=True):
            if name not in self._columns:
                self._open(name, batch.num_columns)
            row_hashes += self._add(name, self._columns[name], array, place) * self._factors[name]
        self._seen.add(mixed(row_hashes))
        if any(is_list(field.type) for field in batch.schema):
            self._lists.add(batch, place)
        self.rows += batch.num_rows

    def report(self) -> Report:
        """Return rows, columns, duplicates, defects and preview; the reader adds what else it knows of the files."""
        report = Report(rows=self.rows, duplicates=self._seen.repeated(), duplicates_exact=self._seen.exact)
        for name, column in self._columns.items():
            override = self._types.get(name) or ("messages" if self._lists.is_messages(name) else None)
            found = column.figures(name, self.rows, override)
            found.items = self._lists.items(name)
            report.columns.append(found)
        report.defects = self.defects.list()
        report.preview = self._first.preview()
        return report

    def _open(self, name: str, width: int) -> None:
        """Begin a column of a batch of so many."""
        if max(width, len(self._columns) + 1) > MAX_COLUMNS:
            raise InvalidFile(f"The table has more than {MAX_COLUMNS:,} columns; drop some.")
        k = min(MAX_DISTINCT, DISTINCT_BUDGET // max(width, len(self._columns) + 1))
        # Odd, and another for each column: values that swap columns make another row. Null, 0, makes no difference.
        self._factors[name] = np.uint64((2 * len(self._columns) + 1) * int(PRIMES[0]) % 2**64)
        self._columns[name] = UntypedColumn(k) if self._untyped else TypedColumn(k)

    def _add(
        self, name: str, column: UntypedColumn | TypedColumn, array: pa.Array, place: Callable[[int], str]
    ) -> np.ndarray:
        """Give a column its values; return their hashes."""
        if isinstance(column, UntypedColumn):
            return column.add(array)
        others = column.others
        found = column.add(array)
        if column.others > others:
            message = f"Column {name!r} holds values of several types; give all its rows the same."
            first = int(np.flatnonzero(found)[0])
            self.defects.add("mixed_types", message, place(first), (name,), column.others - others)
        return found

"""What is in a table: columns, duplicates, defects and first rows, found in one pass over Arrow batches."""

from collections.abc import Callable, Mapping

import pyarrow as pa

from lambdas.processing.report import ColumnType, Defects, Report


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

    def add(self, batch: pa.RecordBatch, where: Callable[[int], str] | None = None) -> None:
        """Take in some rows. `where` gives the place of the batch's row n, counted from 0; else it is `row 17`.

        Batches may differ in their columns and in a column's Arrow type: a column that a batch lacks is null there.
        """
        raise NotImplementedError

    def report(self) -> Report:
        """Return rows, columns, duplicates, defects and preview; the reader adds what else it knows of the files."""
        raise NotImplementedError

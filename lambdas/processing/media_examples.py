"""The examples of recordings: one line each in `examples/examples.jsonl`, and the table that they make."""

import json
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa

from lambdas.processing.json_rows import JsonRows
from lambdas.processing.recording import Recording
from lambdas.processing.report import ColumnType, Defects, InvalidFile, Layout, Media, Report
from lambdas.processing.table import Table

FOLDER = "examples"
BATCH = 1000  # examples
TYPES: dict[str, ColumnType] = {"file_name": "file", "label": "category", "split": "category"}
Columns = dict[str, Any]  # what is known of a recording
OURS = ("file_name", "archive", "seconds")  # keys of a line that say where and how long it is, not what is heard


class Examples:
    """Writes examples and takes their figures; memory stays flat.

    `untyped` says that all that is known of the recordings is texts, as in a CSV.
    """

    def __init__(self, output: Path, untyped: bool = False) -> None:
        (output / FOLDER).mkdir(exist_ok=True)
        self._file = (output / FOLDER / "examples.jsonl").open("w", encoding="utf-8")
        self._untyped = untyped
        self._table = Table(untyped=untyped, types=TYPES)
        self._batches = JsonRows()
        self._rows: list[Columns] = []
        self.defects: Defects = self._table.defects

    def __enter__(self) -> "Examples":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, name: str, archive: str | None, recording: Recording, columns: Columns) -> None:
        """Write an example. Raises InvalidFile for columns that cannot be."""
        columns = {column: value for column, value in columns.items() if column not in OURS}
        where = {"file_name": name} | ({"archive": archive} if archive else {})
        line = where | {"seconds": recording.seconds} | columns
        self._file.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")
        self._rows.append({"file_name": name} | columns)
        if len(self._rows) == BATCH:
            self._tabulate()

    def _tabulate(self) -> None:
        rows, self._rows = self._rows, []

        def place(row: int) -> str:
            return str(rows[row]["file_name"])

        if self._untyped:
            names = dict.fromkeys(name for row in rows for name in row)
            batch = pa.record_batch({name: pa.array([row.get(name) for row in rows], pa.string()) for name in names})
        else:
            batch = self._batches.batch(rows, place)
        self._table.add(batch, place)

    def report(self, media: Media, layout: Layout) -> Report:
        """Return what was found. Raises InvalidFile without an example."""
        if self._rows:
            self._tabulate()
        if not self._table.rows:
            found = " ".join(defect.message for defect in self.defects.list())
            raise InvalidFile(f"There is no recording that can be used. {found}".strip())
        report = self._table.report()
        if not self._untyped:
            self._batches.settle(report)
        report.duplicates, report.duplicates_exact = media.duplicates, True
        report.media, report.layout = media, layout
        return report

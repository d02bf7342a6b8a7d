"""The examples of images: one line each in `examples/examples.jsonl`, and the table that they make."""

import json
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa

from lambdas.processing.boxes import OBJECTS
from lambdas.processing.image_file import ImageFile
from lambdas.processing.json_rows import JsonRows
from lambdas.processing.report import ColumnType, Defects, Images, InvalidFile, Layout, Report
from lambdas.processing.table import Table

FOLDER = "examples"
BATCH = 1000  # examples
BATCH_CHARACTERS = 1024 * 1024
FILE_NAME, LABEL, TEXT, SPLIT = "file_name", "label", "text", "split"
TYPES: dict[str, ColumnType] = {FILE_NAME: "file", LABEL: "category", SPLIT: "category", OBJECTS: "objects"}
OURS = (FILE_NAME, "archive", "width", "height")  # keys of a line that say where the image is, not what it shows
STRINGS = pa.list_(pa.string())
BOXES = pa.list_(pa.list_(pa.float64()))

Columns = dict[str, Any]
"""What is known of an image by column; `objects` as `{"bbox": [[x, y, w, h]], "category": [name]}`."""


class Examples:
    """Writes examples and takes their figures; memory stays flat.

    `untyped` says that all that is known of the images is texts, as in a CSV.
    """

    def __init__(self, output: Path, untyped: bool = False) -> None:
        (output / FOLDER).mkdir(exist_ok=True)
        self._file = (output / FOLDER / "examples.jsonl").open("w")
        self._untyped = untyped
        self._table = Table(untyped=untyped, types=TYPES)
        self.defects: Defects = self._table.defects
        self._batches = JsonRows()
        self._rows: list[Columns] = []
        self._characters = 0

    def __enter__(self) -> "Examples":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, name: str, archive: str | None, image: ImageFile, columns: Columns) -> None:
        """Write an example. Raises InvalidFile for columns that cannot be."""
        where = {FILE_NAME: name} | ({"archive": archive} if archive else {})
        columns = {column: value for column, value in columns.items() if column not in OURS}
        line = json.dumps(where | {"width": image.width, "height": image.height} | columns, allow_nan=False)
        self._file.write(line + "\n")
        self._rows.append({FILE_NAME: name} | columns)
        self._characters += len(line)
        if len(self._rows) == BATCH or self._characters > BATCH_CHARACTERS:
            self._tabulate()

    def _tabulate(self) -> None:
        rows, self._rows, self._characters = self._rows, [], 0
        objects = [row.pop(OBJECTS, None) for row in rows]

        def place(row: int) -> str:
            return str(rows[row][FILE_NAME])

        if self._untyped:
            names = dict.fromkeys(name for row in rows for name in row)
            batch = pa.record_batch({name: pa.array([row.get(name) for row in rows], pa.string()) for name in names})
        else:
            batch = self._batches.batch(rows, place)
        if any(objects):
            boxes = [one and one["bbox"] for one in objects]
            categories = [one and one["category"] for one in objects]
            missing = pa.array([one is None for one in objects])
            fields = [pa.array(boxes, BOXES), pa.array(categories, STRINGS)]
            column = pa.StructArray.from_arrays(fields, names=["bbox", "category"], mask=missing)
            batch = batch.append_column(OBJECTS, column)
        self._table.add(batch, place)

    def report(self, images: Images, layout: Layout, notes: list[str]) -> Report:
        """Return what was found. Raises InvalidFile without an example."""
        if self._rows:
            self._tabulate()
        if not self._table.rows:
            found = " ".join(defect.message for defect in self.defects.list())
            raise InvalidFile(f"There is no image that can be used. {found}".strip())
        report = self._table.report()
        objects = [column for column in report.columns if column.name == OBJECTS]
        if not self._untyped:
            report.columns = [column for column in report.columns if column.name != OBJECTS]
            self._batches.settle(report)
            report.columns += objects
        report.duplicates, report.duplicates_exact = images.duplicates, True
        report.images, report.layout = images, layout
        report.notes += notes
        return report

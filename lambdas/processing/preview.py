"""The first rows of a table as text, in bounded memory."""
# pyright: reportAttributeAccessIssue=false

import json

import pyarrow as pa
import pyarrow.compute as pc  # makes its functions when imported, out of the type checker's sight
import pyarrow.types as types

from lambdas.processing.hashes import plain
from lambdas.processing.report import Preview

ROWS = 100
CELL = 200  # characters
CHARACTERS = 256 * 1024  # of all cells
LARGEST = 1024 * 1024  # bytes of a value that is made into text, to be cut


class FirstRows:
    """Keeps the first rows of a stream of batches."""

    def __init__(self) -> None:
        self._columns: list[str] = []
        self._rows: list[dict[str, str]] = []
        self._characters = 0
        self._full = False

    def add(self, batch: pa.RecordBatch) -> None:
        """Take what is still needed of the next rows."""
        self._columns += [name for name in batch.schema.names if name not in self._columns]
        if self._full:
            return
        batch = batch.slice(0, ROWS - len(self._rows))
        arrays = dict(zip(batch.schema.names, map(cut, batch.columns), strict=True))
        for index in range(batch.num_rows):
            row = {name: cell(array, index) for name, array in arrays.items()}
            self._characters += sum(map(len, row.values()))
            if self._rows and self._characters > CHARACTERS:
                self._full = True
                return
            self._rows.append(row)
        self._full = len(self._rows) == ROWS

    def preview(self) -> Preview:
        """Return the rows; what a row lacks is empty."""
        return Preview(self._columns, [[row.get(name, "") for name in self._columns] for row in self._rows])


def cut(array: pa.Array) -> pa.Array:
    """Return texts no longer than a cell and a character, which shows that they were longer, and times for Python."""
    array = plain(array)
    if types.is_string(array.type) or types.is_large_string(array.type):
        return pc.utf8_slice_codeunits(array, 0, CELL + 1)
    if types.is_timestamp(array.type):
        unit = "us" if array.type.unit == "ns" else array.type.unit
        return array.cast(pa.timestamp(unit, "UTC" if array.type.tz else None), safe=False)
    return array


def cell(array: pa.Array, index: int) -> str:
    """Return one value as text."""
    value = array.slice(index, 1)
    if value.nbytes > LARGEST:
        return "…"
    try:
        text = shown(value[0].as_py())
    except (ValueError, OverflowError):  # a time that Python has not: after the year 9999, or in nanoseconds
        return "…"
    return text if len(text) <= CELL else text[:CELL] + "…"


def shown(value: object) -> str:
    """Return a value as a person reads it: null as nothing, lists and objects as JSON, bytes by their number."""
    if value is None:
        return ""
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    if isinstance(value, bool | list | dict):
        return json.dumps(value, ensure_ascii=False, default=shown)
    return str(value)

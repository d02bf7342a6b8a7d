"""Turns rows of JSON into Arrow batches: one type per column and batch, whatever the rows hold."""

import json
from collections.abc import Callable, Sequence
from itertools import chain
from types import NoneType
from typing import Any

import numpy as np
import pyarrow as pa

from lambdas.processing.report import Defects, InvalidFile, Report

Row = dict[str, Any]
Place = Callable[[int], str]

MAX_COLUMNS = 1000
MAX_NAME_BYTES = 200  # of a column
# Of the structs that objects in a column of a batch become: in hostile rows each object has keys of its own.
MAX_FIELDS = 64
MAX_CELLS = 4_000_000
PLAIN = {"text": pa.string(), "boolean": pa.bool_()}
KINDS: dict[type, str] = {
    str: "text",
    bool: "boolean",
    int: "number",
    float: "number",
    dict: "object",
    list: "list",
}
JSON = pa.json_()
to_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class JsonRows:
    """The columns of JSON rows while they are read, in the order of their first appearance.

    A column has the kind of its first value: text, number, boolean, object or list. Once it holds another it is
    `mixed_types`, and from then on its values are texts. Messages are structs of role, content and, where a message
    has more, all of it as JSON. Objects of many keys, and what has no one type, are JSON texts (`pa.json_()`).
    """

    def __init__(self) -> None:
        self._defects = Defects()
        self._kinds: dict[str, str | None] = {}
        self._mixed: set[str] = set()
        self._messages: dict[str, bool] = {}

    def settle(self, report: Report) -> None:
        """Say in the report of the batches what only the rows told: which rows mix types, and what is an object."""
        report.defects = [defect for defect in report.defects if defect.code != "mixed_types"] + self._defects.list()
        for column in report.columns:
            if self._kinds[column.name] == "object" and column.name not in self._mixed:
                column.type, column.top, column.balance, column.length, column.empty = "object", None, None, None, 0

    def batch(self, rows: Sequence[Row], place: Place) -> pa.RecordBatch:
        """Return rows as a batch of the columns they have; `place` says where the row of an index stands.

        Raises InvalidFile, with that place, for what Arrow cannot hold, for unusable names and too many columns.
        """
        present: set[str] = set()
        for index, row in enumerate(rows):
            if not row.keys() <= present:
                self._add_names(row, place, index)
                present.update(row)
        columns: dict[str, pa.Array] = {}
        for name in self._kinds:
            if name not in present:
                continue
            values = [row.get(name) for row in rows]
            try:
                columns[name] = self._column(name, values, place)
            except (ValueError, OverflowError, RecursionError) as error:
                for index, value in enumerate(values):
                    if why := unusable(value):
                        raise InvalidFile(f"{capital(place(index))}: the value of {name!r} {why}.") from error
                raise
        if not columns:
            return pa.RecordBatch.from_struct_array(pa.array([{}] * len(rows), pa.struct([])))
        return pa.record_batch(columns)

    def _add_names(self, row: Row, place: Place, index: int) -> None:
        for name in row:
            if name in self._kinds:
                continue
            if not name.strip():
                raise InvalidFile(f"{capital(place(index))} has a key without a name: give every column a name.")
            if len(name.encode(errors="replace")) > MAX_NAME_BYTES:
                raise InvalidFile(f"{capital(place(index))} has a key of more than {MAX_NAME_BYTES} bytes: shorten it.")
            if why := unusable(name):
                raise InvalidFile(f"{capital(place(index))}: the key {name!a} {why}.")
            if len(self._kinds) == MAX_COLUMNS:
                raise InvalidFile(
                    f"{capital(place(index))} brings the columns to more than {MAX_COLUMNS:,}: use the same keys in "
                    f"every row, and put what differs into one object or list."
                )
            self._kinds[name] = None

    def _column(self, name: str, values: list[Any], place: Place) -> pa.Array:
        """Return the values of a column as the type that fits all of them."""
        kinds = {KINDS[type] for type in set(map(type, values)) - {NoneType}}
        if not kinds:
            return pa.nulls(len(values))
        if self._kinds[name] is None:
            self._kinds[name] = next(KINDS[type(value)] for value in values if value is not None)
        if kinds != {self._kinds[name]}:
            self._mixed.add(name)
            self._note_mixed(name, values, place)
        if name in self._mixed:
            return pa.array([as_text(value) for value in values], pa.string())
        if kinds == {"list"}:
            return listed(values, lambda items: self._items(name, items))
        return typed(values, Fields())

    def _note_mixed(self, name: str, values: list[Any], place: Place) -> None:
        first = self._kinds[name]
        message = f'"{name}" holds values of several types, the first is a {first}: give all values one type.'
        for index, value in enumerate(values):
            if value is not None and KINDS[type(value)] != first:
                self._defects.add("mixed_types", message, f"{place(index)}: {KINDS[type(value)]}", (name,))

    def _items(self, name: str, items: list[Any]) -> pa.Array:
        """Return the items of a column's lists; what they are is said anew for each batch."""
        if set(map(type, items)) <= {dict, NoneType} and any(items) and self._are_messages(name, items):
            return messages(items)
        return typed(items, Fields())

    def _are_messages(self, name: str, items: list[Row | None]) -> bool:
        """Return whether the objects in the lists of a column are messages: the first that was seen decides."""
        if name not in self._messages:
            first = next(item for item in items if item is not None)
            self._messages[name] = {"role", "content"} <= first.keys()
        return self._messages[name]


class Fields:
    """How many fields, and values in them, the objects in a column of a batch may still have as structs."""

    def __init__(self) -> None:
        self._fields, self._cells = MAX_FIELDS, MAX_CELLS

    def take(self, fields: int, rows: int) -> bool:
        """Take fields of so many rows, if they are left; return whether they were."""
        if fields > self._fields or fields * rows > self._cells:
            return False
        self._fields -= fields
        self._cells -= fields * rows
        return True


def typed(values: list[Any], fields: Fields) -> pa.Array:
    """Return values as the Arrow type that fits all of them: JSON texts where none does."""
    kinds = {KINDS[type] for type in set(map(type, values)) - {NoneType}}
    if not kinds:
        return pa.nulls(len(values))
    kind = kinds.pop()
    if not kinds and kind == "list":
        return listed(values, lambda items: typed(items, fields))
    if not kinds and kind == "object":
        names = dict.fromkeys(chain.from_iterable(value for value in values if value))
        if names and fields.take(len(names), len(values)):
            arrays = [typed([value.get(name) if value else None for value in values], fields) for name in names]
            missing = pa.array([value is None for value in values])
            return pa.StructArray.from_arrays(arrays, names=list(names), mask=missing)
    elif not kinds:
        return scalars(kind, values)
    texts = pa.array([None if value is None else to_json(value) for value in values], pa.string())
    return pa.ExtensionArray.from_storage(JSON, texts)


def listed(values: list[list[Any] | None], array_of: Callable[[list[Any]], pa.Array]) -> pa.Array:
    """Return lists, whose items all together `array_of` makes an array."""
    items = array_of(list(chain.from_iterable(value for value in values if value)))
    offsets = np.zeros(len(values) + 1, np.int32)
    np.cumsum([len(value) if value else 0 for value in values], out=offsets[1:])
    missing = pa.array([value is None for value in values])
    return pa.ListArray.from_arrays(pa.array(offsets), items, mask=missing)


def scalars(kind: str, values: list[Any]) -> pa.Array:
    """Return texts, booleans or numbers; whole numbers stay whole while 64 bits hold them."""
    if kind != "number":
        return pa.array(values, PLAIN[kind])
    if float not in set(map(type, values)):
        try:
            return pa.array(values, pa.int64())
        except OverflowError:
            pass  # then as numbers of floating point
    numbers = pa.array([None if value is None else float(value) for value in values], pa.float64())
    if not np.isfinite(numbers.fill_null(0.0).to_numpy()).all():
        raise ValueError("a number is not finite")
    return numbers


def messages(items: list[Row | None]) -> pa.Array:
    """Return messages as structs; what is no text in role or content is null there."""
    columns: dict[str, pa.Array] = {}
    for name in ("role", "content"):
        found = [(item or {}).get(name) for item in items]
        columns[name] = pa.array([value if isinstance(value, str) else None for value in found], pa.string())
    whole = [None if item is None or is_plain(item) else to_json(item) for item in items]
    if any(whole):
        columns["message"] = pa.array(whole, pa.string())
    missing = pa.array([item is None for item in items])
    return pa.StructArray.from_arrays(list(columns.values()), names=list(columns), mask=missing)


def is_plain(message: Row) -> bool:
    """Return whether a message is a role and a content, both texts, and nothing else."""
    return message.keys() == {"role", "content"} and set(map(type, message.values())) == {str}


def as_text(value: Any) -> str | None:
    """Return a value of a column of several types as text."""
    return value if value is None or isinstance(value, str) else to_json(value)


def unusable(value: Any) -> str | None:
    """Return why a value that JSON allows cannot be read on, None if it can."""
    try:
        to_json(value).encode()
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, int):
                float(number)
    except UnicodeEncodeError:
        return "has half of a surrogate pair, such as \\ud83d, which is no character: write both halves"
    except RecursionError:
        return "is nested too deeply"
    except (ValueError, OverflowError):
        return "has a number outside ±1.8e308: write it as text"
    return None


def capital(place: str) -> str:
    """Return a place at the beginning of a sentence; a file's name stays as it is."""
    return place[0].upper() + place[1:] if place.startswith(("line ", "row ")) else place

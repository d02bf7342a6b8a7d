"""Checks the columns of a table that hold lists: lists that belong together, chat messages, items of one kind."""
# pyright: reportAttributeAccessIssue=false

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import combinations
from typing import Literal, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc  # makes its functions when imported, out of the type checker's sight

from lambdas.processing.report import MAX_EXAMPLES, Defects

Items = Literal["text", "number", "object", "mixed"]
Place = Callable[[int], str]  # where the row with an index in the batch stands, e.g. `row 17`

MAX_COMPARED = 8  # list columns whose lengths are compared, each with each
ROLES = ("system", "user", "assistant", "tool")
# The kind of an item by the first character of its JSON text; what is left are numbers, true and false.
JSON_KINDS = {'"': "text", "{": "object", "[": "list", "n": "nothing"}


@dataclass
class ListColumn:
    """What is known of a list column; `kinds` are those of its items in the order of their first occurrence."""

    kinds: list[str] = field(default_factory=list)
    messages: bool = False


class Lists:
    """Watches every list column of a table, batch after batch, and adds what is wrong to `defects`.

    A list column has a list type of Arrow, which may differ between batches. Its items are texts, numbers (booleans
    too), structs, or what has no type of its own in Arrow: JSON texts (`pa.json_()`).
    """

    def __init__(self, defects: Defects) -> None:
        self._defects = defects
        self._columns: dict[str, ListColumn] = {}

    def add(self, batch: pa.RecordBatch, place: Place) -> None:
        """Check the next rows. Columns of other types are passed over."""
        lengths: dict[str, pa.Array] = {}
        for name, values in zip(batch.schema.names, batch.columns, strict=True):
            if not is_list(values.type):
                continue
            column = self._columns.setdefault(name, ListColumn())
            lengths[name] = pc.list_value_length(values)
            rows = np.repeat(np.arange(len(values)), lengths[name].fill_null(0).to_numpy(zero_copy_only=False))
            items = values.flatten()
            if not column.kinds and len(items):
                column.messages = has_messages(items.type)
            if column.messages and has_messages(items.type):
                column.kinds = ["object"]
                self._add_messages(name, values, items, rows, place)
            else:
                self._add_items(name, column, items, rows, place)
        self._compare(lengths, place)

    def items(self, name: str) -> Items | None:
        """Return what the lists of a column hold; None when no item was seen, or the items are lists."""
        kinds = self._columns[name].kinds if name in self._columns else []
        if len(kinds) > 1:
            return "mixed"
        return cast(Items, kinds[0]) if kinds and kinds[0] != "list" else None

    def is_messages(self, name: str) -> bool:
        """Return whether a column holds chats: the objects of its lists have a role and a content."""
        return name in self._columns and self._columns[name].messages

    def _add_items(self, name: str, column: ListColumn, items: pa.Array, rows: np.ndarray, place: Place) -> None:
        kinds = item_kinds(items)
        for kind in dict.fromkeys(kinds if isinstance(kinds, list) else [kinds]):
            if kind != "nothing" and kind not in column.kinds and len(items):
                column.kinds.append(kind)
        if isinstance(kinds, str):
            other = items.is_null() if [kinds] == column.kinds[:1] else pa.repeat(True, len(items))
        else:
            other = pc.not_equal(pa.array(kinds, pa.string()), (column.kinds or ["nothing"])[0])
        wrong = np.unique(rows[np.asarray(other)])
        expected = {"text": "texts", "number": "numbers", "object": "objects", "list": "lists"}
        what = expected[column.kinds[0]] if column.kinds else "null"
        message = f'Lists in "{name}" hold items of several kinds: the first holds {what}. Give all items one type.'
        self._note("mixed_items", message, wrong, place, (name,))

    def _add_messages(self, name: str, values: pa.Array, items: pa.Array, rows: np.ndarray, place: Place) -> None:
        wrong = wrong_chats(values, items, rows)
        message = (
            f'Some chats in "{name}" cannot be trained on: each needs messages with a role ({", ".join(ROLES)}) and '
            f"text as content, begins with system or user and ends with assistant."
        )
        self._note(
            "invalid_messages", message, wrong, lambda row: f"{place(row)}: {fault(values[row].as_py())}", (name,)
        )

    def _compare(self, lengths: dict[str, pa.Array], place: Place) -> None:
        compared = [name for name, column in self._columns.items() if not {"object", "list"} & set(column.kinds)]
        for first, second in combinations(compared[:MAX_COMPARED], 2):
            if first in lengths and second in lengths:
                unequal = pc.not_equal(lengths[first], lengths[second]).fill_null(False)
                message = f'The lists of "{first}" and "{second}" in a row differ in their number of items.'
                wrong = np.flatnonzero(np.asarray(unequal))
                self._note("unequal_lengths", message, wrong, place, (first, second))

    def _note(self, code: str, message: str, rows: np.ndarray, place: Place, columns: tuple[str, ...]) -> None:
        """Add a defect of some rows, with the places of the first."""
        for row in rows[:MAX_EXAMPLES]:
            self._defects.add(code, message, place(int(row)), columns)
        if len(rows) > MAX_EXAMPLES:
            self._defects.add(code, message, None, columns, len(rows) - MAX_EXAMPLES)


def is_list(type: pa.DataType) -> bool:
    """Return whether an Arrow type is one of lists."""
    return pa.types.is_list(type) or pa.types.is_large_list(type) or pa.types.is_fixed_size_list(type)


def is_text(type: pa.DataType) -> bool:
    """Return whether an Arrow type is one of texts."""
    return pa.types.is_string(type) or pa.types.is_large_string(type) or pa.types.is_string_view(type)


def has_messages(type: pa.DataType) -> bool:
    """Return whether items of a type are messages: structs with a role and a content that are texts."""
    if not pa.types.is_struct(type):
        return False
    fields = {type.field(index).name: type.field(index).type for index in range(type.num_fields)}
    return all(name in fields and is_text(fields[name]) for name in ("role", "content"))


def item_kinds(items: pa.Array) -> str | list[str]:
    """Return the kind of all items, or that of each where the type leaves it open: JSON texts."""
    type = items.type
    if isinstance(type, pa.JsonType):
        first = pc.utf8_slice_codeunits(items.storage.fill_null("null"), 0, 1).to_pylist()
        return [JSON_KINDS.get(character, "number") for character in first]
    if pa.types.is_struct(type) or pa.types.is_map(type):
        return "object"
    if is_list(type):
        return "list"
    if pa.types.is_null(type):
        return "nothing"
    number = pa.types.is_integer(type) or pa.types.is_floating(type) or pa.types.is_decimal(type)
    return "number" if number or pa.types.is_boolean(type) else "text"


def wrong_chats(values: pa.Array, items: pa.Array, rows: np.ndarray) -> np.ndarray:
    """Return the indexes of lists of messages of which `fault` finds something wrong."""
    roles = pc.index_in(pc.struct_field(items, "role"), pa.array(ROLES)).fill_null(-1).to_numpy(zero_copy_only=False)
    content = pc.utf8_trim_whitespace(pc.struct_field(items, "content").cast(pa.large_string())).fill_null("")
    wrong = np.zeros(len(values), bool)
    wrong[rows[(roles < 0) | np.asarray(pc.equal(content, ""))]] = True
    counts = np.bincount(rows, minlength=len(values))
    ends = np.cumsum(counts)
    full = np.flatnonzero(counts)
    begins, ends = roles[ends[full] - counts[full]], roles[ends[full] - 1]
    wrong[full[(begins > ROLES.index("user")) | (ends != ROLES.index("assistant"))]] = True
    wrong[(counts == 0) & np.asarray(values.is_valid())] = True
    return np.flatnonzero(wrong)


def fault(messages: list[dict[str, str | None] | None]) -> str | None:
    """Return the first thing wrong with a chat, None if nothing is."""
    if not messages:
        return "no messages"
    for number, message in enumerate(messages, start=1):
        role, content = (message or {}).get("role"), (message or {}).get("content")
        if role not in ROLES:
            return f"message {number} has the role {role[:50]!r}" if role else f"message {number} has no role"
        if not content or not content.strip():
            return f"message {number} has no text as content"
    roles = [(message or {}).get("role") for message in messages]
    if roles[0] not in ROLES[:2]:
        return f"begins with {roles[0]}"
    return f"ends with {roles[-1]}" if roles[-1] != "assistant" else None

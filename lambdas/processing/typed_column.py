"""One column of a table whose values have types of their own, as in Parquet and JSON, while it is read."""
# pyright: reportAttributeAccessIssue=false

from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc  # makes its functions when imported, out of the type checker's sight
import pyarrow.types as types

from lambdas.processing import hashes
from lambdas.processing.columns import Moments, Values, characters, figures, stripped
from lambdas.processing.report import Column, ColumnType
from lambdas.processing.sketch import Hashes

Kind = Literal["number", "boolean", "datetime", "text", "list", "object"]


class TypedColumn:
    """A column of values as Arrow types them; what is null, or a float that is NaN, is missing."""

    def __init__(self, k: int) -> None:
        self.values = Values(k)
        self.items = Values(k)  # what lists hold, and the categories of objects in an image
        self.numbers, self.lengths = Moments(), Moments()
        self.kind: Kind | None = None
        self.others = 0  # values of another kind than the first
        self.empty = 0

    def add(self, array: pa.Array) -> Hashes:
        """Take in this column's values of a batch; return their hashes, 0 where a value is missing."""
        array = hashes.plain(array)
        found = hashes.hashes(array)
        is_present = found != 0
        present = found
        if not is_present.all():
            array, present = array.filter(pa.array(is_present)), found[is_present]
        if not len(present):
            return found
        kind = kind_of(array.type)
        self.kind = self.kind or kind
        self.values.add(present, array if kind in ("text", "boolean", "number") else None)
        if kind != self.kind:
            self.others += len(present)
        elif kind == "number":
            self.numbers.add(hashes.values(array.cast(pa.float64(), safe=False)))
        elif kind == "text":
            self.add_texts(array)
        elif kind == "list":
            self.add_lists(array)
        elif has_categories(array.type):
            self.add_lists(pc.struct_field(array, "category"))
        return found

    def add_texts(self, texts: pa.Array) -> None:
        """Count the empty ones, and the characters of all."""
        texts = texts.cast(pa.large_string())
        self.lengths.add(characters(texts))
        self.empty += int(np.count_nonzero(characters(stripped(texts)) == 0))

    def add_lists(self, lists: pa.Array) -> None:
        """Count the empty ones, and the items of all."""
        items, lengths = hashes.flattened(lists)
        self.lengths.add(lengths.astype(np.float64))
        self.empty += int(np.count_nonzero(lengths == 0))
        items = items.drop_null()
        if types.is_integer(items.type) or kind_of(items.type) in ("text", "boolean"):
            self.items.add(hashes.hashes(items), items)

    def type(self) -> ColumnType:
        """Return what the column holds; one without any value is text, and so is one with several kinds."""
        if self.kind is None or self.others:
            return "text"
        return "category" if self.kind == "text" and self.values.is_few() else self.kind

    def figures(self, name: str, rows: int, override: ColumnType | None) -> Column:
        """Return the column's figures in a table of so many rows; `override` is a type known from elsewhere."""
        column = figures(name, override or self.type(), rows, self.values)
        column.empty = self.empty
        if column.type == "number":
            vars(column).update(self.numbers.figures())
        if column.type in ("text", "list", "messages", "objects") and not self.others:
            column.length = self.lengths.range()
        if column.type in ("list", "objects"):
            column.top, column.balance = self.items.top(), self.items.balance()
        return column


def kind_of(type: pa.DataType) -> Kind:
    """Return what an Arrow type holds; bytes are an object."""
    if types.is_boolean(type):
        return "boolean"
    if types.is_integer(type) or types.is_floating(type) or types.is_decimal(type):
        return "number"
    if types.is_date(type) or types.is_timestamp(type):
        return "datetime"
    if is_list(type):
        return "list"
    if types.is_nested(type) or types.is_binary(type) or types.is_large_binary(type):
        return "object"
    return "text"


def is_list(type: pa.DataType) -> bool:
    """Return whether values are lists of any length."""
    return types.is_list(type) or types.is_large_list(type) or types.is_fixed_size_list(type)


def has_categories(type: pa.DataType) -> bool:
    """Return whether values are the objects of an image: a struct of lists, one of which names their categories."""
    return types.is_struct(type) and type.get_field_index("category") >= 0 and is_list(type.field("category").type)

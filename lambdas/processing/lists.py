"""Checks the columns of a table that hold lists: lists that belong together, chat messages, items of one kind."""

from collections.abc import Callable
from typing import Literal

import pyarrow as pa

from lambdas.processing.report import Defects

Items = Literal["text", "number", "object", "mixed"]
Place = Callable[[int], str]  # where the row with an index in the batch stands, e.g. `row 17`


class Lists:
    """Watches every list column of a table, batch after batch, and adds what is wrong to `defects`.

    A list column has a list type of Arrow. Its items are texts, numbers (booleans too), structs, or what has no type
    of its own in Arrow: JSON texts (`pa.json_()`). All batches have the same columns with the same types.
    """

    def __init__(self, defects: Defects) -> None:
        self._defects = defects

    def add(self, batch: pa.RecordBatch, place: Place) -> None:
        """Check the next rows. Columns of other types are passed over."""

    def items(self, name: str) -> Items | None:
        """Return what the lists of a column hold; None when no item was seen, or the items are lists."""
        return None

    def is_messages(self, name: str) -> bool:
        """Return whether a column holds chats: the objects of its lists have a role and a content."""
        return False

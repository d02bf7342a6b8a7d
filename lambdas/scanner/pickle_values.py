"""What a pickle's stack holds while nothing is ever made: names, constants, and the little that later steps need.

Every kind here is bounded: a value refers to a few others at most, to none that could grow, and to no deep chain.
So whatever a file of a gigabyte builds, the machine stays small.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import prod
from typing import Any

MOST_ITEMS = 16  # longer tuples are opaque
MOST_KEPT = 64  # of a tuple with the tuples in it
MOST_COUNTED = 10**9
MOST_KEYS = 64  # of a dictionary; the rest is forgotten
LONGEST_STRING = 256
LARGEST_COUNT = 2**62


class Opaque:
    """A value whose content does not matter, or could not be followed."""

    def __repr__(self) -> str:
        return "OPAQUE"


OPAQUE = Opaque()


@dataclass(frozen=True)
class Global:
    """What a module has under a name: the only thing that can do anything."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(frozen=True)
class Dtype:
    """Size of an array's elements in bytes, and whether they are objects, which are pickled in turn."""

    itemsize: int
    objects: bool


@dataclass(frozen=True)
class Storage:
    """A tensor's storage, which a torch archive keeps beside the pickle."""

    kind: Global
    key: str
    numel: int


class Items:
    """A short tuple, and how many values whoever walks through it meets; of one with many only the number is kept."""

    __slots__ = ("kept", "nodes", "values")

    def __init__(self, values: tuple[Any, ...], nodes: int, kept: int = 1) -> None:
        self.values = values
        self.nodes = nodes
        self.kept = kept  # values that are reachable from here


class Keys:
    """A dictionary's short text keys with scalars, names and short tuples; never another dictionary."""

    __slots__ = ("values",)

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def set(self, key: Any, value: Any) -> None:
        if isinstance(key, str) and (key in self.values or len(self.values) < MOST_KEYS):
            self.values[key] = OPAQUE if isinstance(value, Keys) else value


class Made:
    """What a call of a name gave. A dtype and joblib's array wrapper also keep what they were told."""

    __slots__ = ("by", "dtype", "wrapper")

    def __init__(self, by: Global) -> None:
        self.by = by
        self.dtype: Dtype | None = None
        self.wrapper: dict[str, Any] | None = None


def items(values: list[Any]) -> Items:
    """Return a tuple of these values."""
    nodes = kept = 1 + len(values)
    for value in values:
        if isinstance(value, Items):
            nodes += value.nodes
            kept += value.kept
    nodes = min(nodes, MOST_COUNTED)
    if len(values) > MOST_ITEMS or kept > MOST_KEPT:
        return Items((), nodes)
    return Items(tuple(OPAQUE if isinstance(value, Keys) else value for value in values), nodes, kept)


def counts(value: Any) -> tuple[int, ...] | None:
    """Return a tuple of plain numbers, such as a shape, or None when it is not one."""
    if not isinstance(value, Items):
        return None
    numbers = value.values
    if len(numbers) + 1 != value.nodes:
        return None  # some were forgotten
    whole = all(type(number) is int and 0 <= number < LARGEST_COUNT for number in numbers)
    return numbers if whole and prod(numbers) < LARGEST_COUNT else None


def dtype_of(arguments: Any) -> Dtype | None:
    """Return the dtype that numpy makes of ('f8', False, True); None when it is not of the kind that pickles hold."""
    name = arguments.values[0] if isinstance(arguments, Items) and arguments.values else None
    found = re.fullmatch(r"([?bBhHiIlLqQpPefdgFDGSUVOMmuc])(\d{0,9})", name) if isinstance(name, str) else None
    if not found or (not found[2] and found[1] != "O"):
        return None
    kind, size = found[1], int(found[2] or 8)
    return Dtype(size * 4 if kind == "U" else size, kind == "O")


def dtype_with(dtype: Dtype | None, state: Any) -> Dtype | None:
    """Return the dtype after numpy has taken its state (version, order, subarray, names, fields, size, ..., flags)."""
    if dtype is None or not isinstance(state, Items) or len(state.values) < 5:
        return None
    subarray, fields = state.values[2], state.values[4]
    size = state.values[5] if len(state.values) > 5 else -1
    flags = state.values[7] if len(state.values) > 7 else 0
    if subarray is not None or type(size) is not int or type(flags) is not int:
        return None
    if fields is not None and len(state.values) < 8:
        return None
    # numpy takes size and flags from the state where it names fields or where the kind has a free length.
    itemsize = size if size >= 0 else dtype.itemsize
    return Dtype(itemsize, dtype.objects or bool(flags & 1))

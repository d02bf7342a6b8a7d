"""What the readiness matrix is made of: a dataset with one defect, and the ways rows go wrong."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lambdas.datasets.column_mapping import TrainingType
from tests.units.processing.sample_datasets import Row

COUNT = 40  # examples in a sound dataset

Rows = list[Row]
Change = Callable[[Rows], Rows]
Write = Callable[[Path], None]


@dataclass(frozen=True)
class Cell:
    """A dataset with one defect, and the verdict expected: `ready` or codes of problems, codes of warnings in brackets.

    `refused` are those that processing does not take: they never ask for readiness.
    """

    training_type: TrainingType
    type: str
    format: str
    layout: str
    defect: str
    write: Write
    expected: str

    def __str__(self) -> str:
        return f"{self.training_type}-{self.layout}-{self.defect}".replace(" ", "_")


def sound(rows: Rows) -> Rows:
    return rows


def put(column: str, value: Any, *places: int) -> Change:
    """Another value in some rows, by default in all; a value that can be called makes each from its row's number."""

    def change(rows: Rows) -> Rows:
        for number in places or range(len(rows)):
            rows[number][column] = value(number) if callable(value) else value
        return rows

    return change


def both(one: Change, other: Change) -> Change:
    return lambda rows: other(one(rows))


def without(column: str) -> Change:
    return lambda rows: [{name: value for name, value in row.items() if name != column} for row in rows]


def first(count: int) -> Change:
    return lambda rows: rows[:count]


def repeated(count: int) -> Change:
    return lambda rows: rows + rows[:count]

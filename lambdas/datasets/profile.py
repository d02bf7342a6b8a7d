"""What is in a table: type and figures of each column, found in one pass over batches of rows.

Sums and counts run over a batch's column at once, in C: a Python statement per cell would be ten times slower.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from operator import mul

from lambdas.datasets.csv_file import InvalidFile
from lambdas.datasets.schemas import ColumnProfile, ColumnType, Preview, ValueCount

# What counts as no value; the tabular trainer's list.
MISSING = frozenset({"", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "?"})
BOOLEANS = frozenset({"true", "false", "yes", "no"})
DISTINCT_BUDGET = 200_000  # values remembered at a time, over all columns: what bounds the memory
MAX_DISTINCT = 10_000  # values remembered of one column
MAX_CATEGORIES = 1_000  # more distinct values than this are text
FEW = 20  # distinct values that are a category however few rows there are
TOP = 10
LONG = 64  # characters; of longer values a prefix and a hash are remembered
BATCH_CHARACTERS = 1024 * 1024
PREVIEW_ROWS = 100
PREVIEW_CELL = 200  # characters
PREVIEW_CHARACTERS = 256 * 1024


class Moments:
    """Count, mean, variance, minimum and maximum of a stream of numbers, merged batch by batch (Chan et al. 1979)."""

    def __init__(self) -> None:
        self.count, self.mean, self.squares = 0, 0.0, 0.0
        self.minimum, self.maximum = math.inf, -math.inf

    def add(self, values: list[float]) -> None:
        """Take in a batch of finite numbers, not empty."""
        count = len(values)
        try:
            mean = math.fsum(values) / count
        except OverflowError:
            mean = math.inf
        deviations = [value - mean for value in values]
        delta, total = mean - self.mean, self.count + count
        self.squares += sum(map(mul, deviations, deviations)) + delta * delta * self.count * count / total
        self.mean += delta * count / total
        self.count = total
        self.minimum, self.maximum = min(self.minimum, *values), max(self.maximum, *values)

    def figures(self) -> dict[str, float | None]:
        """Return min, max, mean and std; None where there is no such number or it is too large for one."""
        std = math.sqrt(self.squares / (self.count - 1)) if self.count > 1 else math.nan
        figures = {"min": self.minimum, "max": self.maximum, "mean": self.mean, "std": std}
        return {name: value if math.isfinite(value) else None for name, value in figures.items()}


class Column:
    """One column while it is read; it stays a number or a datetime until a value says otherwise."""

    def __init__(self, name: str, max_distinct: int) -> None:
        self.name = name
        self.missing = self.present = 0
        self.max_distinct = max_distinct
        self.counts: Counter[str] = Counter()
        self.distinct_exact = True
        self.numbers: Moments | None = Moments()
        self.datetimes = True

    def add(self, cells: Iterable[str]) -> None:
        """Take in this column's cells of one batch."""
        total, present = 0, []
        for cell in map(str.strip, cells):
            total += 1
            if cell not in MISSING:
                present.append(cell)
        self.missing += total - len(present)
        self.present += len(present)
        if not present:
            return
        self.count_distinct(present)
        if self.numbers is not None:
            numbers = parsed_numbers(present)
            if numbers is None:
                self.numbers = None
            else:
                self.numbers.add(numbers)
        if self.numbers is None and self.datetimes:
            self.datetimes = all_datetimes(present)

    def count_distinct(self, present: list[str]) -> None:
        """Count values until there are too many different ones to remember."""
        if not self.distinct_exact:
            return
        self.counts.update(value if len(value) <= LONG else shortened(value) for value in present)
        if len(self.counts) > self.max_distinct:
            self.distinct_exact = False

    def type(self) -> ColumnType:
        """Return what the column holds; one without any value is text."""
        distinct = len(self.counts)
        if not self.present:
            return "text"
        if self.numbers is not None:
            return "number"
        if self.datetimes:
            return "datetime"
        if self.distinct_exact and all(value.lower() in BOOLEANS for value in self.counts):
            return "boolean"
        repeats = distinct < self.present and (distinct <= FEW or distinct * 10 <= self.present)
        return "category" if self.distinct_exact and repeats and distinct <= MAX_CATEGORIES else "text"

    def profile(self) -> ColumnProfile:
        """Return the column's figures."""
        type = self.type()
        top = self.counts.most_common(TOP) if type in ("category", "boolean") else None
        return ColumnProfile(
            name=self.name,
            type=type,
            missing=self.missing,
            distinct=len(self.counts),
            distinct_exact=self.distinct_exact,
            top=[ValueCount(value=value, count=count) for value, count in top] if top else None,
            **(self.numbers.figures() if self.numbers and type == "number" else {}),
        )


def shortened(value: str) -> str:
    """Return a long value's beginning and a hash of all of it: as distinct, in bounded memory."""
    return f"{value[:LONG]}… {hashlib.blake2s(value.encode(errors='replace'), digest_size=8).hexdigest()}"


def parsed_numbers(values: list[str]) -> list[float] | None:
    """Return the values as numbers, or None unless all are finite decimals (Python alone also reads `1_000`)."""
    try:
        numbers = list(map(float, values))
    except ValueError:
        return None
    return numbers if all(map(math.isfinite, numbers)) and "_" not in "".join(values) else None


def all_datetimes(values: list[str]) -> bool:
    """Return whether all values are dates or times of ISO 8601."""
    try:
        for value in values:
            datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


def batches(rows: Iterable[list[str]]) -> Iterator[list[list[str]]]:
    """Yield rows in batches of about BATCH_CHARACTERS."""
    batch, size = [], 0
    for row in rows:
        batch.append(row)
        size += sum(map(len, row)) + len(row)
        if size >= BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def profile(rows: Iterator[list[str]]) -> tuple[int, list[ColumnProfile], Preview]:
    """Return the number of rows under the header, each column's profile and the first rows; raises InvalidFile."""
    names = [name.strip() for name in next(rows)]
    max_distinct = min(MAX_DISTINCT, DISTINCT_BUDGET // len(names))
    columns = [Column(name, max_distinct) for name in names]
    count, first = 0, []
    for batch in batches(rows):
        first += batch[: PREVIEW_ROWS - len(first)]
        count += len(batch)
        for column, cells in zip(columns, zip(*batch, strict=True), strict=True):
            column.add(cells)
    if not count:
        raise InvalidFile("The file has a header but no rows: add at least one row of data and upload it again.")
    return count, [column.profile() for column in columns], preview(names, first)


def preview(names: list[str], rows: list[list[str]]) -> Preview:
    """Return the first rows with long cells cut, as many as fit PREVIEW_CHARACTERS."""
    kept, size = [], 0
    for row in rows:
        cells = [cell if len(cell) <= PREVIEW_CELL else cell[:PREVIEW_CELL] + "…" for cell in row]
        size += sum(map(len, cells))
        if kept and size > PREVIEW_CHARACTERS:
            break
        kept.append(cells)
    return Preview(columns=names, rows=kept)

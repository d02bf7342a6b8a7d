"""One column of a table while it is read: what it holds, and its figures, batch after batch."""
# pyright: reportAttributeAccessIssue=false

import math
from collections.abc import Sequence
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc  # makes its functions when imported, out of the type checker's sight

from lambdas.processing import hashes
from lambdas.processing.report import Column, ColumnType, Range, ValueCount
from lambdas.processing.sketch import Hashes, Sketch

# What counts as no value where texts are all a file has; the tabular trainer's list.
MISSING = ("", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "?")
MISSING_HASHES = np.sort(hashes.text_hashes(pa.array(MISSING)))
BOOLEANS = frozenset({"true", "false", "yes", "no"})
MAX_CATEGORIES = 1_000  # more distinct values than this are text
FEW = 20  # distinct values that are a category however few rows there are
TOP = 100
LONG = 64  # characters of a value that `top` shows


class Moments:
    """Count, mean, variance, minimum and maximum of a stream of numbers, merged batch by batch (Chan et al. 1979)."""

    def __init__(self) -> None:
        self.count, self.mean, self.squares = 0, 0.0, 0.0
        self.minimum, self.maximum = math.inf, -math.inf

    def add(self, numbers: npt.NDArray[np.float64]) -> None:
        """Take in a batch of numbers."""
        count = len(numbers)
        if not count:
            return
        with np.errstate(over="ignore", invalid="ignore"):  # what is too large for a float has no figure in the end
            mean = float(numbers.mean())
            deviations = numbers - mean
            squares = float(np.square(deviations, out=deviations).sum())
        delta, total = mean - self.mean, self.count + count
        self.squares += squares + delta * delta * self.count * count / total
        self.mean += delta * count / total
        self.count = total
        self.minimum, self.maximum = min(self.minimum, float(numbers.min())), max(self.maximum, float(numbers.max()))

    def figures(self) -> dict[str, float | None]:
        """Return min, max, mean and std; None where there is no such number or it is too large for one."""
        std = math.sqrt(self.squares / (self.count - 1)) if self.count > 1 else math.nan
        figures = {"min": self.minimum, "max": self.maximum, "mean": self.mean if self.count else math.nan, "std": std}
        return {name: value if math.isfinite(value) else None for name, value in figures.items()}

    def range(self) -> Range | None:
        """Return least, greatest and mean, or None of no numbers."""
        return Range(self.minimum, self.maximum, self.mean) if self.count else None


class Values:
    """The values of a stream: how many, how often each, and while they are no more than MAX_CATEGORIES, their texts."""

    def __init__(self, k: int) -> None:
        self.sketch = Sketch(k)
        self.texts: dict[int, str] | None = {}

    def add(self, found: Hashes, values: pa.Array | None) -> None:
        """Take in a batch of values, none of them null, by their hashes; None for `values` leaves out their texts."""
        unique = self.sketch.add(found)
        if self.texts is None:
            return
        if values is None or len(unique) > MAX_CATEGORIES or len(self.sketch.hashes) > MAX_CATEGORIES:
            self.texts = None
            return
        new = [hash for hash in unique.tolist() if hash not in self.texts]
        if new:
            # `first` is where each of the batch's hashes, ascending, comes first.
            _, first = np.unique(found, return_index=True)
            places = first[np.searchsorted(unique, np.array(new, np.uint64))]
            shown = (shortened(value) for value in values.take(pa.array(places)).to_pylist())
            self.texts.update(zip(new, shown, strict=True))

    def is_few(self) -> bool:
        """Return whether the values repeat so much that they are categories."""
        distinct, total = len(self.sketch.hashes), self.sketch.total
        return self.texts is not None and distinct < total and (distinct <= FEW or distinct * 10 <= total)

    def top(self) -> list[ValueCount] | None:
        """Return the most frequent values, or None when there are none or too many to tell."""
        if not self.texts:
            return None
        counts = zip(self.sketch.hashes.tolist(), self.sketch.counts.tolist(), strict=True)
        named = sorted((-count, self.texts[hash]) for hash, count in counts)
        return [ValueCount(text, -count) for count, text in named[:TOP]]

    def balance(self) -> float | None:
        """Return how often the rarest value comes for each time that the most frequent one does."""
        return float(self.sketch.counts.min() / self.sketch.counts.max()) if self.texts else None


def shortened(value: object) -> str:
    """Return a value as `top` shows it."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= LONG else text[:LONG] + "…"


class UntypedColumn:
    """A column of texts whose type is found out: it stays numbers or datetimes until a value says otherwise."""

    def __init__(self, k: int) -> None:
        self.values = Values(k)
        self.lengths = Moments()
        self.numbers: Moments | None = Moments()
        self.datetimes = True

    def add(self, cells: pa.Array) -> Hashes:
        """Take in this column's cells of a batch; return their hashes, 0 where a value is missing."""
        cells = stripped(cells)
        found = hashes.text_hashes(cells)
        missing = MISSING_HASHES[np.searchsorted(MISSING_HASHES[:-1], found)] == found
        if missing.any():
            found[missing] = 0
            cells, present = cells.filter(pa.array(~missing)), found[~missing]
        else:
            present = found
        if not len(present):
            return found
        self.values.add(present, cells)
        self.lengths.add(characters(cells))
        if self.numbers is not None:
            numbers = parsed_numbers(cells)
            if numbers is not None:
                self.numbers.add(numbers)
                return found
            self.datetimes = not self.numbers.count
            self.numbers = None
        self.datetimes = self.datetimes and all_datetimes(cells)
        return found

    def type(self) -> ColumnType:
        """Return what the column holds; one without any value is text."""
        if not self.values.sketch.total:
            return "text"
        if self.numbers is not None:
            return "number"
        if self.datetimes:
            return "datetime"
        if self.values.texts is not None and all(text.lower() in BOOLEANS for text in self.values.texts.values()):
            return "boolean"
        return "category" if self.values.is_few() else "text"

    def figures(self, name: str, rows: int, override: ColumnType | None) -> Column:
        """Return the column's figures in a table of so many rows."""
        column = figures(name, override or self.type(), rows, self.values)
        if column.type == "number" and self.numbers is not None:
            vars(column).update(self.numbers.figures())
        if column.type == "text":
            column.length = self.lengths.range()
        return column


def figures(name: str, type: ColumnType, rows: int, values: Values) -> Column:
    """Return the figures that columns of all types have."""
    sketch = values.sketch
    column = Column(name, type, rows - sketch.total, sketch.distinct(), sketch.exact)
    if type in ("category", "boolean") or (type == "number" and values.is_few()):  # numbers may be classes
        column.top, column.balance = values.top(), values.balance()
    return column


def stripped(cells: pa.Array) -> pa.Array:
    """Return texts without the white space around them."""
    starts, lengths, data = hashes.text_parts(cells)
    if not len(data):
        return cells
    full = lengths > 0
    firsts, lasts = data[starts[full]], data[(starts + lengths - 1)[full]]
    # Only what begins or ends with a space, a control character or a character beyond ASCII needs a closer look.
    if not ((firsts - 33 > 94).any() or (lasts - 33 > 94).any()):
        return cells
    return pc.utf8_trim_whitespace(cells)


def characters(texts: pa.Array) -> npt.NDArray[np.float64]:
    """Return the lengths of texts in characters."""
    _, lengths, data = hashes.text_parts(texts)
    if len(data) and int(data.max()) > 127:
        return pc.utf8_length(texts).to_numpy(zero_copy_only=False).astype(np.float64)
    return lengths.astype(np.float64)


def parsed_numbers(texts: pa.Array) -> npt.NDArray[np.float64] | None:
    """Return texts as numbers, or None unless all are finite decimals."""
    try:
        numbers = texts.cast(pa.float64()).to_numpy()
    except pa.ArrowInvalid:
        return spelled_numbers(texts.to_pylist())
    return numbers if np.isfinite(numbers).all() else None


def spelled_numbers(texts: Sequence[str]) -> npt.NDArray[np.float64] | None:
    """Return texts as numbers where Arrow knows one of them for none: `+5` is a number, and so is `1.`."""
    try:
        numbers = list(map(float, texts))
    except ValueError:
        return None
    joined = "".join(texts)  # Python also takes 1_000, and the digits of other scripts
    return np.array(numbers) if all(map(math.isfinite, numbers)) and "_" not in joined and joined.isascii() else None


def all_datetimes(texts: pa.Array) -> bool:
    """Return whether all texts are dates or times of ISO 8601, and none a number."""
    for type in (pa.timestamp("us"), pa.timestamp("us", "UTC")):
        try:
            texts.cast(type)
            return True
        except pa.ArrowInvalid:  # Arrow wants all with a zone or all without; Python looks at each
            pass
    return all(map(is_datetime, texts.to_pylist()))


def is_datetime(text: str) -> bool:
    """Return whether a text is a date or time of ISO 8601, and no number."""
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return not text.isdecimal()

"""What processing found: the report that it leaves beside the files, as plain dataclasses and as JSON.

`lambdas/datasets/schemas.py` reads it back as a client's word would be read, field by field: a test compares the two.
"""

import json
from dataclasses import asdict, dataclass, field
from typing import Literal

# What a column holds. `list` and `object` are JSON's; `messages` is a list of {role, content}; `objects` are the
# boxes and categories of one image; `file` names a file beside the table, in the same archive.
ColumnType = Literal[
    "number", "boolean", "datetime", "category", "text", "list", "object", "messages", "objects", "file"
]
Layout = Literal["class_folders", "metadata", "coco", "files"]

MAX_EXAMPLES = 5  # places that a defect names


class InvalidFile(Exception):
    """The dataset cannot be used; the message says where it is wrong and what to change."""


@dataclass(frozen=True)
class ValueCount:
    """How often a value occurs; long values are cut."""

    value: str
    count: int


@dataclass(frozen=True)
class Range:
    """Least, greatest and mean of a stream of numbers."""

    min: float
    max: float
    mean: float


@dataclass
class Column:
    """One column of the examples.

    `missing` counts examples without a value, `empty` those whose text or list has nothing in it. `distinct` is
    exact, or an estimate when `distinct_exact` is false. min, max, mean and std (sample standard deviation) are those
    of numbers; `length` is that of texts in characters, of lists in items. `top` holds the most frequent values of
    categories, booleans and numbers that are few; for lists those of their items, for objects those of the boxes'
    categories. `balance` says what share of the most frequent one the rarest of all has, `items` what a list holds.
    """

    name: str
    type: ColumnType
    missing: int
    distinct: int
    distinct_exact: bool = True
    empty: int = 0
    min: float | None = None
    max: float | None = None
    mean: float | None = None
    std: float | None = None
    length: Range | None = None
    top: list[ValueCount] | None = None
    balance: float | None = None
    items: Literal["text", "number", "object", "mixed"] | None = None


@dataclass
class Defect:
    """Something wrong with some examples. `code` is the machine's word for it, `message` a person's."""

    code: str
    message: str
    count: int
    columns: list[str] = field(default_factory=list)
    examples: list[str] = field(default_factory=list)
    """Where it was first seen: `row 17`, `cats/3.png`; at most MAX_EXAMPLES."""


@dataclass
class Images:
    """Figures of the images that can be read; `duplicates` are files with the bytes of an earlier one."""

    count: int
    corrupt: int
    duplicates: int
    formats: dict[str, int]
    modes: dict[str, int]
    width: Range | None
    height: Range | None
    thumbnails: int
    """How many there are: `thumbnails/001.webp` and so on, of the first images."""


@dataclass
class Media:
    """Figures of audio files or videos that can be read; rates are samples or frames per second, sizes `640x480`."""

    count: int
    corrupt: int
    duplicates: int
    seconds: float
    duration: Range | None
    formats: dict[str, int]
    sample_rates: dict[str, int]
    channels: dict[str, int]
    frame_rates: dict[str, int]
    sizes: dict[str, int]


@dataclass(frozen=True)
class File:
    """A file of the dataset, or one that processing made of it; `size` in bytes."""

    filename: str
    size: int
    sha256: str


@dataclass
class Preview:
    """The first examples as text; long cells are cut."""

    columns: list[str]
    rows: list[list[str]]


@dataclass
class Report:
    """Everything that processing found. `rows` counts examples: rows of a table, images, recordings."""

    rows: int = 0
    columns: list[Column] = field(default_factory=list)
    duplicates: int = 0
    """Examples equal to an earlier one."""
    duplicates_exact: bool = True
    defects: list[Defect] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What a person may want to know and nothing is wrong with, such as sheets of a workbook that were left out."""
    encoding: str | None = None
    delimiter: str | None = None
    layout: Layout | None = None
    images: Images | None = None
    media: Media | None = None
    preview: Preview = field(default_factory=lambda: Preview([], []))
    files: list[File] = field(default_factory=list)
    converted: list[File] = field(default_factory=list)
    """What trains instead of the files, in the folder `converted`: a workbook as CSV, a JSON array as JSON Lines."""
    refused: str | None = None
    """Why the dataset cannot be used; then the rest means nothing."""
    schema_version: int = 1

    def to_json(self) -> str:
        """Return the report as JSON."""
        return json.dumps(asdict(self), allow_nan=False)


def counted(counts: dict[str, int]) -> dict[str, int]:
    """Return counts, the greatest first; equal ones by name."""
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


class Defects:
    """Collects defects while examples are read: one entry per code and columns, with its count and first places."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, tuple[str, ...]], Defect] = {}

    def add(
        self, code: str, message: str, place: str | None = None, columns: tuple[str, ...] = (), count: int = 1
    ) -> None:
        """Count a defect; `message` and, of the first few, `place` are kept."""
        defect = self._found.setdefault((code, columns), Defect(code, message, 0, list(columns)))
        defect.count += count
        if place is not None and len(defect.examples) < MAX_EXAMPLES:
            defect.examples.append(place)

    def list(self) -> list[Defect]:
        """Return what was found, in the order of its first occurrence."""
        return list(self._found.values())

"""What a dataset holds, as processing found it: read back field by field, because that read what strangers made."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

ColumnType = Literal[
    "number", "boolean", "datetime", "category", "text", "list", "object", "messages", "objects", "file"
]
Layout = Literal["class_folders", "metadata", "coco", "files"]
Text = Annotated[str, Field(max_length=2000)]
Count = Annotated[int, Field(ge=0)]


class Found(BaseModel):
    """A part of what was found; nothing else is taken over."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class ValueCount(Found):
    """How often a value occurs; long values are cut."""

    value: Text
    count: Count


class Range(Found):
    """Least, greatest and mean of a stream of numbers."""

    min: float
    max: float
    mean: float


class Column(Found):
    """One column of the examples.

    `missing` counts examples without a value, `empty` those whose text or list has nothing in it. `distinct` is
    exact, or an estimate when `distinct_exact` is false. min, max, mean and std (sample standard deviation) are those
    of numbers; `length` is that of texts in characters, of lists in items. `top` holds the most frequent values of
    categories, booleans and numbers that are few; for lists those of their items, for objects those of the boxes'
    categories. `balance` says what share of the most frequent one the rarest of all has, `items` what a list holds.
    """

    name: Text
    type: ColumnType
    missing: Count
    distinct: Count
    distinct_exact: bool = True
    empty: Count = 0
    min: float | None = None
    max: float | None = None
    mean: float | None = None
    std: float | None = None
    length: Range | None = None
    top: list[ValueCount] | None = None
    balance: float | None = None
    items: Literal["text", "number", "object", "mixed"] | None = None


class Defect(Found):
    """Something wrong with some examples: `examples` says where it was first seen, e.g. `row 17`, `cats/3.png`."""

    code: Annotated[str, Field(pattern=r"^[a-z_]{1,40}$")]
    message: Text
    count: Count
    columns: list[Text] = []
    examples: list[Text] = []


class Images(Found):
    """Figures of the images that can be read; `duplicates` are files with the bytes of an earlier one."""

    count: Count
    corrupt: Count
    duplicates: Count
    formats: dict[str, int]
    modes: dict[str, int]
    width: Range | None
    height: Range | None
    thumbnails: Annotated[int, Field(ge=0, le=100)]


class Media(Found):
    """Figures of audio files or videos that can be read; rates are samples or frames per second, sizes `640x480`."""

    count: Count
    corrupt: Count
    duplicates: Count
    seconds: float
    duration: Range | None
    formats: dict[str, int]
    sample_rates: dict[str, int]
    channels: dict[str, int]
    frame_rates: dict[str, int]
    sizes: dict[str, int]


class Profile(Found):
    """What processing found. `rows` counts examples: rows of a table, images, recordings."""

    rows: Count
    columns: list[Column]
    duplicates: Count
    duplicates_exact: bool
    defects: list[Defect]
    notes: list[Text]
    encoding: str | None
    delimiter: str | None
    layout: Layout | None
    images: Images | None
    media: Media | None

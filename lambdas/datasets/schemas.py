"""A dataset as it is asked for, stored and answered."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from lambdas.common.store import Entity
from lambdas.common.uploads import UploadPlan

Type = Literal["text", "image", "audio", "video", "tabular"]
Status = Literal["uploading", "processing", "ready", "failed"]
Visibility = Literal["private", "shared"]
ColumnType = Literal["number", "category", "text", "boolean", "datetime"]


def unique(tags: list[str]) -> list[str]:
    """Return the tags without repetitions, in order."""
    return list(dict.fromkeys(tags))


Name = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$")
]
Description = Annotated[str, StringConstraints(max_length=2000)]
Tag = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=40, pattern=r"^[^\x00-\x1f\x7f]*$")
]
Tags = Annotated[list[Tag], Field(max_length=20), AfterValidator(unique)]
# A segment of an S3 key, a name in a download header and a file in a training container: plain in all three.
Filename = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_. ()+-]*$", max_length=128),
    Field(description="Letters, digits, spaces and `_ . - + ( )`.", examples=["iris.csv"]),
]


class ColumnSummary(BaseModel):
    """A column, in as few bytes as choosing a training target needs: summaries live in the record."""

    name: str
    type: ColumnType
    missing: int
    distinct: int


class Summary(BaseModel):
    """The shape of a dataset's table."""

    rows: int
    columns: list[ColumnSummary]


class Dataset(Entity):
    """A dataset as stored. `key` is its file's S3 key, `reason` says why it failed and what to do."""

    name: str
    description: str | None = None
    type: Type
    format: str
    filename: str
    size: int
    tags: list[str] = Field(default_factory=list)
    visibility: Visibility = "private"
    version: int = 1
    status: Status = "uploading"
    reason: str | None = None
    key: str
    upload_id: str
    sha256: str | None = None
    profile: Summary | None = None


class Body(BaseModel):
    """A request body: fields nobody knows are refused."""

    model_config = ConfigDict(extra="forbid")


class DatasetCreate(Body):
    """A dataset to upload; `size` is the file's, in bytes."""

    name: Name
    description: Description | None = None
    type: Type
    format: str = Field(max_length=20, examples=["csv"])
    filename: Filename
    size: int = Field(ge=1)
    tags: Tags = Field(default_factory=list)
    visibility: Visibility = "private"


class DatasetUpdate(Body):
    """What may change of a dataset; what is left out stays, and the defaults here are never stored."""

    name: Name = ""
    description: Description | None = None
    tags: Tags = Field(default_factory=list)
    visibility: Visibility = "private"


class DatasetPublic(BaseModel):
    """A dataset as answered. `rows`, `columns` and `sha256` are known once it is `ready`."""

    id: str
    user_id: str
    name: str
    description: str | None
    type: Type
    format: str
    filename: str
    size: int
    tags: list[str]
    visibility: Visibility
    version: int
    status: Status
    reason: str | None
    sha256: str | None
    rows: int | None
    columns: int | None
    used_by: list[str]
    created_at: str
    updated_at: str


class DatasetCreated(DatasetPublic):
    """A new dataset, and where to upload its file."""

    upload: UploadPlan


class Download(BaseModel):
    """A URL that needs no token, good for `expires_in` seconds."""

    url: str
    expires_in: int


class Preview(BaseModel):
    """The first rows as text; long cells are cut."""

    columns: list[str]
    rows: list[list[str]]


class ValueCount(BaseModel):
    """How often a value occurs."""

    value: str
    count: int


class ColumnProfile(ColumnSummary):
    """All figures of a column.

    `distinct` is exact, or a lower bound when `distinct_exact` is false. min, max, mean and std (sample standard
    deviation) are those of numbers; `top` holds the most frequent values of categories and booleans.
    """

    distinct_exact: bool
    min: float | None = None
    max: float | None = None
    mean: float | None = None
    std: float | None = None
    top: list[ValueCount] | None = None


class Profile(BaseModel):
    """What processing found in the file."""

    rows: int
    encoding: str
    delimiter: str
    columns: list[ColumnProfile]


class Manifest(BaseModel):
    """manifest.json beside the file: all that the registry needs to list the dataset again from S3 alone."""

    schema_version: int = 1
    id: str
    owner: str
    name: str
    description: str | None
    type: Type
    format: str
    filename: str
    size: int
    tags: list[str]
    version: int
    sha256: str
    created_at: str
    profile: Profile

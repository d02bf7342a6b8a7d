"""A dataset and its versions as they are stored and answered."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field, StringConstraints

from lambdas.common.store import Entity
from lambdas.common.uploads import UploadPlan
from lambdas.datasets.profile import Profile

Type = Literal["text", "image", "audio", "video", "tabular"]
Format = Literal[
    "csv", "json", "jsonl", "txt", "parquet", "excel", "conll", "zip", "coco", "png", "jpg", "wav", "flac", "mp3", "mp4"
]
Status = Literal["uploading", "processing", "ready", "failed"]
Visibility = Literal["private", "shared"]
# A segment of an S3 key, a name in a download header and a file in a training container: plain in all three.
Filename = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_. ()+-]*$", max_length=128),
    Field(description="Letters, digits, spaces and `_ . - + ( )`.", examples=["iris.csv"]),
]


class Source(BaseModel):
    """Where in S3 a version came from: its files were copied, or are read there and never written."""

    s3_uri: str
    mode: Literal["copy", "reference"]


class Shape(BaseModel):
    """What a version is, as its own record and the record of its dataset both say it."""

    status: Status = "uploading"
    reason: str | None = Field(default=None, description="Why it failed and what to change.")
    size: int = Field(description="Bytes of all files together.")
    file_count: int
    sha256: str | None = Field(
        default=None,
        description="Of the file; of several, of their list as `sha256sum` prints it. Known once it is ready.",
    )
    rows: int | None = Field(default=None, description="Examples: rows, images, recordings. Known once it is ready.")
    columns: int | None = None


class Dataset(Entity, Shape):
    """A dataset as stored. Its shape is that of its newest ready version, or of its newest while none is ready."""

    name: str
    description: str | None = None
    type: Type
    format: Format
    tags: list[str] = Field(default_factory=list)
    visibility: Visibility = "private"
    column_mapping: dict[str, str] = Field(default_factory=dict)
    version: int = 1
    newest: int = 1
    """The number of the version that was begun last."""


class Version(Entity, Shape):
    """One version of a dataset as stored: its files never change. `stored_bytes` is what counts against the quota."""

    dataset_id: str
    version: int
    type: Type
    format: Format
    source: Source | None = None
    stored_bytes: int
    processed_by: Literal["function", "job"] | None = None

    @property
    def prefix(self) -> str:
        """The prefix of its S3 keys."""
        return f"{self.owner}/{self.dataset_id}/v{self.version:04d}/"


class StoredFile(BaseModel):
    """A file of a version and where it lies; `etag` is that of one in another bucket as it was found."""

    filename: str
    size: int
    bucket: str
    key: str
    upload_id: str | None = None
    etag: str | None = None
    sha256: str | None = None


class Manifest(BaseModel):
    """manifest.json beside a version's files: all that is needed to list the dataset again from S3 alone."""

    schema_version: int = 1
    dataset_id: str
    owner: str
    name: str
    description: str | None
    type: Type
    format: Format
    tags: list[str]
    version: int
    source: Source | None
    sha256: str
    created_at: str
    files: list[StoredFile]
    converted: list[StoredFile]
    """What trains instead of the files, where processing made something of them: a workbook as CSV."""
    profile: Profile


# --------------------------------------------------------------------------------------------------- answers


class DatasetPublic(Shape):
    """A dataset as answered: size, rows and the like are those of `version`."""

    id: str
    user_id: str
    name: str
    description: str | None
    type: Type
    format: Format
    tags: list[str]
    visibility: Visibility
    column_mapping: dict[str, str]
    version: int = Field(description="The newest version that is ready; the newest of all while none is.")
    newest: int = Field(description="The version that was begun last.")
    used_by: list[str]
    created_at: str
    updated_at: str


class VersionPublic(Shape):
    """A version as answered."""

    dataset_id: str
    version: int
    source: Source | None
    created_at: str
    updated_at: str


class DatasetCreated(DatasetPublic):
    """A new dataset, and where to upload each of its files, by name; none for data that is in S3 already."""

    uploads: dict[str, UploadPlan]


class VersionCreated(VersionPublic):
    """A new version, and where to upload each of its files, by name; none for data that is in S3 already."""

    uploads: dict[str, UploadPlan]


class Uploads(BaseModel):
    """What is left to upload of each file, by its name."""

    uploads: dict[str, UploadPlan]


class BulkError(BaseModel):
    """Why one of many datasets was not created."""

    code: str
    detail: str


class BulkItem(BaseModel):
    """One of many: the dataset that was created, or why it was not."""

    dataset: DatasetCreated | None = None
    error: BulkError | None = None


class BulkCreated(BaseModel):
    """What became of each dataset, in the order in which they were given."""

    items: list[BulkItem]


class FileDownload(BaseModel):
    """One file and a URL of it that needs no token."""

    filename: str
    size: int
    sha256: str | None
    url: str


class Downloads(BaseModel):
    """The files of a version; the URLs are good for `expires_in` seconds."""

    files: list[FileDownload]
    expires_in: int


class Preview(BaseModel):
    """The first examples as text, long cells cut; of images also small pictures, as URLs."""

    columns: list[str]
    rows: list[list[str]]
    thumbnails: list[str] = Field(default_factory=list)


class Storage(BaseModel):
    """What a user's datasets take, and may take; bytes."""

    used_bytes: int
    quota_bytes: int
    max_dataset_bytes: int


class DatasetNeeds(BaseModel):
    """What data a training type takes."""

    takes: dict[str, list[str]] = Field(description="Type of dataset -> its formats; any of both when empty.")
    layout: str
    fewest_examples: int
    columns: list[list[str]] = Field(description="Sets of roles that columns play, any one of which is enough.")

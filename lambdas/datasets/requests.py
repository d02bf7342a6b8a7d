"""What clients send to /datasets."""

from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from lambdas.datasets.schemas import Filename, Format, Source, Type, Visibility

MAX_FILES = 1_000
MAX_BULK = 50
MAX_BULK_FILES = 200  # of all together: each upload begins with two calls to S3, and an answer takes at most 29 s


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
ColumnMapping = Annotated[
    dict[
        Annotated[str, StringConstraints(max_length=40)],
        Annotated[str, StringConstraints(min_length=1, max_length=200)],
    ],
    Field(
        max_length=20,
        description="Which column plays which role where its name does not say so.",
        examples=[{"text": "review", "label": "stars"}],
    ),
]


class Body(BaseModel):
    """A request body: fields nobody knows are refused."""

    model_config = ConfigDict(extra="forbid")


class NewFile(Body):
    """A file to upload; `size` in bytes."""

    filename: Filename
    size: int = Field(ge=1)


class S3Source(Body, Source):
    """Data that is in S3 already: an object, or a prefix that ends in `/` and everything directly below it."""

    s3_uri: Annotated[
        str,
        StringConstraints(pattern=r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[^\x00-\x1f\x7f]+$", max_length=1024),
        Field(description="In a bucket that the stage allows.", examples=["s3://company-data/flowers/iris.csv"]),
    ]


class VersionCreate(Body):
    """The files of a version: to be uploaded, or in S3 already."""

    files: Annotated[list[NewFile], Field(min_length=1, max_length=MAX_FILES)] | None = None
    source: S3Source | None = None

    @model_validator(mode="after")
    def comes_one_way(self) -> Self:
        if (self.files is None) == (self.source is None):
            raise ValueError("give either files to upload or a source in S3")
        return self


class DatasetCreate(VersionCreate):
    """A dataset, and the files of its first version."""

    name: Name
    description: Description | None = None
    type: Type
    format: Format
    tags: Tags = Field(default_factory=list)
    visibility: Visibility = "private"
    column_mapping: ColumnMapping = Field(default_factory=dict)


class BulkCreate(Body):
    """Many datasets at once."""

    datasets: Annotated[list[DatasetCreate], Field(min_length=1, max_length=MAX_BULK)]

    @model_validator(mode="after")
    def few_files(self) -> Self:
        if sum(len(new.files or []) for new in self.datasets) > MAX_BULK_FILES:
            raise ValueError(f"at most {MAX_BULK_FILES} files together; create datasets of many files one by one")
        return self


class DatasetUpdate(Body):
    """What may change of a dataset; what is left out stays, and the defaults here are never stored."""

    name: Name = ""
    description: Description | None = None
    tags: Tags = Field(default_factory=list)
    visibility: Visibility = "private"
    column_mapping: ColumnMapping = Field(default_factory=dict)

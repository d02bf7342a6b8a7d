"""The routes of /datasets."""

from typing import Annotated, get_args

from fastapi import APIRouter, Depends, Path, Query

from lambdas.common.dependencies import Caller, Writer
from lambdas.common.pages import Cursor, Limit, Page
from lambdas.datasets import service, versions
from lambdas.datasets.profile import Profile
from lambdas.datasets.readiness import Readiness, TrainingType
from lambdas.datasets.requests import BulkCreate, DatasetCreate, DatasetUpdate, VersionCreate
from lambdas.datasets.schemas import (
    BulkCreated,
    Dataset,
    DatasetCreated,
    DatasetPublic,
    Downloads,
    Filename,
    Preview,
    Status,
    Storage,
    Type,
    Uploads,
    VersionCreated,
    VersionPublic,
)

router = APIRouter(prefix="/datasets", tags=["datasets"])

DatasetId = Annotated[str, Path(max_length=64, examples=["ds-01k9zc3v8m4qj2r7xw0"])]
AnyVersion = Annotated[int | None, Query(ge=1, le=9999, description="The newest one that is ready when absent.")]
NewestVersion = Annotated[int | None, Query(alias="version", ge=1, le=9999, description="The newest when absent.")]


def readable_dataset(caller: Caller, id: DatasetId) -> Dataset:
    """Return the dataset in the path, if the caller may read it."""
    return service.readable(caller, id)


def writable_dataset(caller: Writer, id: DatasetId) -> Dataset:
    """Return the dataset in the path, if the caller may change it."""
    return service.writable(caller, id)


ReadableDataset = Annotated[Dataset, Depends(readable_dataset)]
WritableDataset = Annotated[Dataset, Depends(writable_dataset)]


@router.post("", status_code=201)
def create_dataset(caller: Writer, new: DatasetCreate) -> DatasetCreated:
    """Create a dataset. PUT its files to the URLs of the upload plan and complete it, or name data in S3."""
    return service.create(caller, new)


@router.post("/bulk")
def create_datasets(caller: Writer, wanted: BulkCreate) -> BulkCreated:
    """Create up to 50 datasets; one that cannot be created says why and keeps no other from it."""
    return BulkCreated(items=service.create_many(caller, wanted.datasets))


@router.get("")
def list_datasets(
    caller: Caller,
    user_id: Annotated[str | None, Query(max_length=39, description="Another user's shared datasets.")] = None,
    type: Type | None = None,
    status: Status | None = None,
    tag: Annotated[str | None, Query(max_length=40)] = None,
    query: Annotated[str | None, Query(max_length=200, description="Words in name, description or tags.")] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Page[DatasetPublic]:
    """List datasets, newest first. A filtered page may hold fewer than `limit`: go on until `next_cursor` is null."""
    page = service.list_datasets(caller, user_id, type, status, tag, query, limit, cursor)
    return Page(items=[service.public(dataset) for dataset in page.items], next_cursor=page.next_cursor)


@router.get("/storage")
def get_storage(caller: Caller) -> Storage:
    """Read how many bytes your datasets take and may take."""
    return service.storage_of(caller)


@router.get("/{id}")
def get_dataset(dataset: ReadableDataset) -> DatasetPublic:
    """Read a dataset."""
    return service.public(dataset)


@router.patch("/{id}")
def update_dataset(dataset: WritableDataset, update: DatasetUpdate) -> DatasetPublic:
    """Change name, description, tags, visibility or column mapping."""
    return service.public(service.update(dataset, update))


@router.delete("/{id}", status_code=204)
def delete_dataset(dataset: WritableDataset) -> None:
    """Delete a dataset with all versions and files; refused while something uses it."""
    versions.delete(dataset)


@router.get("/{id}/versions")
def list_versions(dataset: ReadableDataset, limit: Limit = 20, cursor: Cursor = None) -> Page[VersionPublic]:
    """List a dataset's versions, newest first."""
    page = service.list_versions(dataset, limit, cursor)
    return Page(items=[service.public_version(version) for version in page.items], next_cursor=page.next_cursor)


@router.post("/{id}/versions", status_code=201)
def create_version(dataset: WritableDataset, new: VersionCreate) -> VersionCreated:
    """Begin the next version: its files replace none, and the dataset shows it once it is ready."""
    return service.create_version(dataset, new)


@router.get("/{id}/upload")
def get_upload(dataset: WritableDataset, number: NewestVersion = None) -> Uploads:
    """Go on with an upload: fresh URLs for the parts that are still missing."""
    return Uploads(uploads=service.upload_plan(dataset, number))


@router.post("/{id}/complete", status_code=202)
def complete_dataset(dataset: WritableDataset, number: NewestVersion = None) -> DatasetPublic:
    """Say that all parts are uploaded; the files are then checked and profiled. Again is no error."""
    return service.public(service.complete(dataset, number))


@router.get("/{id}/download")
def download_dataset(
    dataset: ReadableDataset,
    version: AnyVersion = None,
    filename: Annotated[Filename | None, Query(description="One file; all when absent.")] = None,
) -> Downloads:
    """Get URLs of the original files."""
    return service.download(dataset, version, filename)


@router.get("/{id}/preview")
def preview_dataset(dataset: ReadableDataset, version: AnyVersion = None) -> Preview:
    """Read the first 100 examples; of images also small pictures."""
    return service.preview(dataset, version)


@router.get("/{id}/profile")
def profile_dataset(dataset: ReadableDataset, version: AnyVersion = None) -> Profile:
    """Read what processing found: columns and figures, images, recordings, defects."""
    return service.profile(dataset, version)


@router.get("/{id}/readiness")
def readiness_of_dataset(
    dataset: ReadableDataset,
    training_type: Annotated[TrainingType | None, Query(description="All types when absent.")] = None,
    target: Annotated[str | None, Query(max_length=256, description="The column that `tabular` predicts.")] = None,
    version: AnyVersion = None,
) -> Page[Readiness]:
    """Ask whether the dataset can train a type of model, and if not exactly why and what to change."""
    wanted: tuple[TrainingType, ...] = (training_type,) if training_type else get_args(TrainingType)
    return Page(items=service.readiness_of(dataset, version, wanted, target))

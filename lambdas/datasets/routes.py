"""The routes of /datasets."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query

from lambdas.common.dependencies import Caller, Writer
from lambdas.common.pages import Cursor, Limit, Page
from lambdas.common.uploads import UploadPlan
from lambdas.datasets import service
from lambdas.datasets.schemas import (
    Dataset,
    DatasetCreate,
    DatasetCreated,
    DatasetPublic,
    DatasetUpdate,
    Download,
    Preview,
    Profile,
    Status,
    Type,
)

router = APIRouter(prefix="/datasets", tags=["datasets"])

DatasetId = Annotated[str, Path(max_length=64, examples=["ds-01k9zc3v8m4qj2r7xw0"])]


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
    """Create a dataset; PUT its file to the URLs of the upload plan, then complete it."""
    dataset = service.create(caller, new)
    return DatasetCreated(**service.public(dataset).model_dump(), upload=service.upload_plan(dataset))


@router.get("")
def list_datasets(
    caller: Caller,
    user_id: Annotated[str | None, Query(max_length=39, description="Another user's shared datasets.")] = None,
    type: Type | None = None,
    status: Status | None = None,
    tag: Annotated[str | None, Query(max_length=40)] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Page[DatasetPublic]:
    """List datasets, newest first. A filtered page may hold fewer than `limit`: go on until `next_cursor` is null."""
    page = service.list_datasets(caller, user_id, type, status, tag, limit, cursor)
    return Page(items=[service.public(dataset) for dataset in page.items], next_cursor=page.next_cursor)


@router.get("/{id}")
def get_dataset(dataset: ReadableDataset) -> DatasetPublic:
    """Read a dataset."""
    return service.public(dataset)


@router.patch("/{id}")
def update_dataset(dataset: WritableDataset, update: DatasetUpdate) -> DatasetPublic:
    """Change name, description, tags or visibility."""
    return service.public(service.update(dataset, update))


@router.delete("/{id}", status_code=204)
def delete_dataset(dataset: WritableDataset) -> None:
    """Delete a dataset and its file; refused while something uses it."""
    service.delete(dataset)


@router.get("/{id}/upload")
def get_upload(dataset: WritableDataset) -> UploadPlan:
    """Go on with an upload: fresh URLs for the parts that are still missing."""
    return service.upload_plan(dataset)


@router.post("/{id}/complete", status_code=202)
def complete_dataset(dataset: WritableDataset) -> DatasetPublic:
    """Say that all parts are uploaded; the file is then checked and profiled. Again is no error."""
    return service.public(service.complete(dataset))


@router.get("/{id}/download")
def download_dataset(dataset: ReadableDataset) -> Download:
    """Get a URL of the original file."""
    return service.download(dataset)


@router.get("/{id}/preview")
def preview_dataset(dataset: ReadableDataset) -> Preview:
    """Read the first 100 rows."""
    return service.preview(dataset)


@router.get("/{id}/profile")
def profile_dataset(dataset: ReadableDataset) -> Profile:
    """Read what each column holds: type, missing and distinct values, figures."""
    return service.profile(dataset)

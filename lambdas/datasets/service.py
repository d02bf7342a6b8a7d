"""The rules of datasets: who sees which, how one comes to be, how one ends."""

from typing import Any

from lambdas.common import objects, uploads, waits, workflows
from lambdas.common.environment import variable
from lambdas.common.errors import BadRequest, Conflict, NotFound, Stale, TooLarge
from lambdas.common.identity import Caller
from lambdas.common.ids import new_id
from lambdas.common.pages import MAX_PAGE, Page, encode_cursor
from lambdas.common.store import EntityStore
from lambdas.common.transactions import Write, transact
from lambdas.common.uploads import UploadPlan
from lambdas.datasets import storage
from lambdas.datasets.schemas import (
    Dataset,
    DatasetCreate,
    DatasetPublic,
    DatasetUpdate,
    Download,
    Manifest,
    Preview,
    Profile,
    Status,
    Type,
)

DATASETS = EntityStore("DATASETS_TABLE", Dataset, "dataset")
FORMATS: dict[Type, dict[str, str]] = {  # format -> content type, by what a dataset holds
    "tabular": {"csv": "text/csv"},
    "text": {"csv": "text/csv"},
    "image": {},
    "audio": {},
    "video": {},
}
MAX_READS = 10  # pages of the table that one filtered list reads


def readable(caller: Caller, id: str) -> Dataset:
    """Return a dataset that the caller owns, that is shared, or any for an admin; raises NotFound."""
    try:
        return DATASETS.get(caller.username, id)
    except NotFound:
        dataset = DATASETS.find(id)
        if caller.is_admin or dataset.visibility == "shared":
            return dataset
        raise


def writable(caller: Caller, id: str) -> Dataset:
    """Return a dataset that the caller owns, or any for an admin; raises NotFound."""
    try:
        return DATASETS.get(caller.username, id)
    except NotFound:
        if caller.is_admin:
            return DATASETS.find(id)
        raise


def usable_for_training(caller: Caller, id: str) -> Dataset:
    """Return a readable dataset that is ready; raises NotFound, Conflict saying what it waits for."""
    dataset = readable(caller, id)
    if dataset.status == "failed":
        raise Conflict(f"The dataset {id} cannot be used: {dataset.reason}")
    if dataset.status != "ready":
        raise Conflict(f"The dataset {id} is still {dataset.status}; use it once its status is ready.")
    return dataset


def hold(dataset: Dataset, holder: str) -> Write:
    """Return the write by which `holder` keeps a ready dataset from being deleted."""
    return DATASETS.hold(dataset.owner, dataset.id, holder, "AND #status = :ready", {":ready": {"S": "ready"}})


def release(owner: str, id: str, holder: str) -> Write:
    """Return the write that ends a hold."""
    return DATASETS.release(owner, id, holder)


def create(caller: Caller, new: DatasetCreate) -> Dataset:
    """Start an upload and store the dataset that it is for; raises BadRequest, TooLarge.

    A crash between the two leaves an upload nobody knows of, which the bucket's lifecycle removes.
    """
    content_type = accepted_content_type(new)
    limit = int(variable("MAX_DATASET_BYTES"))
    if new.size > limit:
        raise TooLarge(f"The file has {new.size:,} bytes; at most {limit:,} are possible. Split or sample it.")
    id = new_id("ds")
    key = f"{caller.username}/{id}/{new.filename}"
    upload_id = uploads.start(variable("DATASETS_BUCKET"), key, content_type)
    dataset = Dataset(owner=caller.username, id=id, key=key, upload_id=upload_id, **new.model_dump())
    return DATASETS.create(dataset, waits.opening(id, dataset.owner))


def accepted_content_type(new: DatasetCreate) -> str:
    """Return the content type of a new dataset's file; raises BadRequest for formats nothing can process yet."""
    formats = FORMATS[new.type]
    if new.format not in formats:
        accepted = " or ".join(formats) or "no format at all yet; use type text or tabular"
        message = f"for {new.type} datasets it can be {accepted}"
        raise BadRequest(f"The format is not accepted: {message}.", errors=[{"field": "format", "message": message}])
    if not new.filename.lower().endswith(f".{new.format}"):
        message = f"must end in .{new.format}"
        raise BadRequest(f"The filename {message}.", errors=[{"field": "filename", "message": message}])
    return formats[new.format]


def upload_plan(dataset: Dataset) -> UploadPlan:
    """Return where to upload what is still missing; raises Conflict once the upload is over."""
    refuse_unless_uploading(dataset)
    return uploads.plan(variable("DATASETS_BUCKET"), dataset.key, dataset.upload_id, dataset.size)


def refuse_unless_uploading(dataset: Dataset) -> None:
    """Raise Conflict for a dataset whose upload is over."""
    if dataset.status != "uploading":
        raise Conflict(f"The upload of {dataset.id} is over: the dataset is {dataset.status}.")


def complete(dataset: Dataset) -> Dataset:
    """End the upload and start processing; again is no error. Raises BadRequest naming missing parts, Conflict."""
    if dataset.status == "failed":
        raise Conflict(f"The dataset {dataset.id} has failed: {dataset.reason}")
    if dataset.status == "uploading":
        make_object(dataset)
        try:
            dataset = DATASETS.update(dataset, status="processing")
        except Stale:  # a second call, or a change of its name: what is stored now says which
            dataset = complete(DATASETS.get(dataset.owner, dataset.id))
    if dataset.status == "processing":
        workflows.start("PROCESS_WORKFLOW_ARN", dataset.owner, dataset.id)
    return dataset


def make_object(dataset: Dataset) -> None:
    """Make the file from its parts, unless an earlier call that did not live to say so has done it."""
    bucket = variable("DATASETS_BUCKET")
    try:
        uploads.complete(bucket, dataset.key, dataset.upload_id, dataset.size)
    except Conflict:
        if uploads.size_of(bucket, dataset.key) != dataset.size:
            raise


def list_datasets(
    caller: Caller,
    owner: str | None,
    type: Type | None,
    status: Status | None,
    tag: str | None,
    limit: int,
    cursor: str | None,
) -> Page[Dataset]:
    """Return a page of an owner's datasets, newest first; of another owner those that are shared, or all for an admin.

    Filters are applied after reading. A page reads MAX_READS pages of the table at most, so it may come back with
    fewer items than asked for, or none, and still have a next one.
    """
    owner = owner or caller.username
    sees_all = owner == caller.username or caller.is_admin

    def wanted(dataset: Dataset) -> bool:
        return (
            (sees_all or dataset.visibility == "shared")
            and type in (None, dataset.type)
            and status in (None, dataset.status)
            and (tag is None or tag in dataset.tags)
        )

    found: list[Dataset] = []
    for _ in range(MAX_READS):
        page = DATASETS.list(owner, "ds-", MAX_PAGE, cursor)
        found += filter(wanted, page.items)
        cursor = page.next_cursor
        if len(found) > limit:
            return Page(items=found[:limit], next_cursor=encode_cursor(found[limit - 1].id))
        if cursor is None or len(found) == limit:
            break
    return Page(items=found, next_cursor=cursor)


def update(dataset: Dataset, changes: DatasetUpdate) -> Dataset:
    """Store what was sent of the changes; raises Stale when somebody else changed the dataset meanwhile."""
    sent = changes.model_dump(exclude_unset=True)
    return DATASETS.update(dataset, **sent) if sent else dataset


def delete(dataset: Dataset) -> None:
    """Delete a dataset and its objects; raises Conflict while it is in use or being processed.

    The record goes first, and with it a wait is left until the objects are gone: a crash in between leaves a wait
    without a record, which reconcile reads as "remove the objects".
    """
    if dataset.status == "processing":
        raise Conflict(f"The dataset {dataset.id} is being processed; delete it when that is done.")
    under_way_already = dataset.status == "uploading"
    DATASETS.delete(dataset, *([] if under_way_already else [waits.opening(dataset.id, dataset.owner)]))
    if under_way_already:
        uploads.abort(variable("DATASETS_BUCKET"), dataset.key, dataset.upload_id)
    sweep(dataset.owner, dataset.id)


def sweep(owner: str, id: str) -> None:
    """Remove the objects of a dataset whose record is gone, then its wait."""
    objects.delete_prefix(variable("DATASETS_BUCKET"), folder(owner, id))
    transact(waits.closing(id))


def settle(owner: str, id: str, since: Status, **changes: Any) -> None:
    """Store how a dataset's upload or processing ended, together with its wait's end.

    Does nothing when it is no longer `since`: somebody else came first. Changes of name or tags meanwhile are kept.
    """
    for _ in range(5):
        try:
            dataset = DATASETS.get(owner, id)
        except NotFound:
            return
        if dataset.status != since:
            return
        try:
            DATASETS.update(dataset, waits.closing(id), **changes)
        except Stale:
            continue
        return
    raise Stale(f"The dataset {id} changes too often to be settled.")


def download(dataset: Dataset) -> Download:
    """Return a URL of the original file; raises Conflict before it is uploaded, NotFound when it never was."""
    if dataset.status == "uploading":
        raise Conflict(f"The file of {dataset.id} is not uploaded yet.")
    bucket = variable("DATASETS_BUCKET")
    uploads.size_of(bucket, dataset.key)
    return Download(url=uploads.download_url(bucket, dataset.key, dataset.filename), expires_in=uploads.EXPIRES_IN)


def preview(dataset: Dataset) -> Preview:
    """Return the first rows; raises Conflict unless the dataset is ready."""
    refuse_unless_ready(dataset)
    return Preview.model_validate_json(storage.read(folder(dataset.owner, dataset.id) + storage.PREVIEW))


def profile(dataset: Dataset) -> Profile:
    """Return what processing found; raises Conflict unless the dataset is ready."""
    refuse_unless_ready(dataset)
    stored = storage.read(folder(dataset.owner, dataset.id) + storage.MANIFEST)
    return Manifest.model_validate_json(stored).profile


def refuse_unless_ready(dataset: Dataset) -> None:
    """Raise Conflict for a dataset that has no preview or profile, saying why."""
    if dataset.status == "failed":
        raise Conflict(f"The dataset {dataset.id} has failed: {dataset.reason}")
    if dataset.status != "ready":
        raise Conflict(f"The dataset {dataset.id} is still {dataset.status}; ask again once its status is ready.")


def folder(owner: str, id: str) -> str:
    """Return the prefix of a dataset's S3 keys."""
    return f"{owner}/{id}/"


def public(dataset: Dataset) -> DatasetPublic:
    """Return a dataset as answered."""
    fields = dataset.model_dump(include=set(DatasetPublic.model_fields))
    table = dataset.profile
    return DatasetPublic(
        **fields,
        user_id=dataset.owner,
        rows=table.rows if table else None,
        columns=len(table.columns) if table else None,
        used_by=sorted(dataset.holds),
    )

"""The rules of datasets: who sees which, how one comes to be, what is shown of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lambdas.common import uploads, workflows
from lambdas.common.environment import variable
from lambdas.common.errors import BadRequest, Conflict, NotFound, SlipwayError
from lambdas.common.identity import Caller
from lambdas.common.pages import MAX_PAGE, Page, encode_cursor
from lambdas.common.transactions import Write
from lambdas.common.uploads import UploadPlan
from lambdas.datasets import column_mapping, files, imports, readiness, storage, versions
from lambdas.datasets.profile import Profile
from lambdas.datasets.readiness import Readiness, TrainingType
from lambdas.datasets.readiness import needs_of as needs_of  # the jobs call it
from lambdas.datasets.records import DATASETS, VERSIONS, versions_of
from lambdas.datasets.requests import DatasetCreate, DatasetUpdate, VersionCreate
from lambdas.datasets.schemas import (
    BulkError,
    BulkItem,
    Dataset,
    DatasetCreated,
    DatasetPublic,
    Downloads,
    Preview,
    Status,
    Storage,
    StoredFile,
    Type,
    Version,
    VersionCreated,
    VersionPublic,
)
from lambdas.datasets.storage import Held as Held  # the statistics call these
from lambdas.datasets.storage import held_by as held_by

MAX_READS = 10  # pages of the table that one filtered list reads
PROCESS = "PROCESS_WORKFLOW_ARN"


# ------------------------------------------------------------------------------------------------- who sees


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


# ------------------------------------------------------------------------------------------- how one begins


def create(caller: Caller, new: DatasetCreate) -> DatasetCreated:
    """Store a dataset and say where to upload its files, or begin with what is in S3; raises BadRequest, TooLarge."""
    refuse_mapping(new.column_mapping)
    dataset, stored = versions.begin(caller.username, new)
    if new.source:
        submit(versions.find(dataset, 1))
        dataset = DATASETS.get(dataset.owner, dataset.id)
    return DatasetCreated(**dict(public(dataset)), uploads=files.plans(stored))


def create_many(caller: Caller, wanted: list[DatasetCreate]) -> list[BulkItem]:
    """Create each of many datasets; one that cannot be created says why and keeps no other from it."""

    def one(new: DatasetCreate) -> BulkItem:
        try:
            return BulkItem(dataset=create(caller, new))
        except SlipwayError as error:
            return BulkItem(error=BulkError(code=error.code, detail=error.detail))

    return [one(new) for new in wanted]


def create_version(dataset: Dataset, new: VersionCreate) -> VersionCreated:
    """Store the next version of a dataset and say where to upload its files; raises BadRequest, TooLarge."""
    version, stored = versions.begin_next(dataset, new)
    if new.source:
        version = submit(version)
    return VersionCreated(**dict(public_version(version)), uploads=files.plans(stored))


def upload_plan(dataset: Dataset, number: int | None) -> dict[str, UploadPlan]:
    """Return where to upload what a version still lacks, by default the newest; raises Conflict when it is over."""
    version = versions.find(dataset, number or dataset.newest)
    if version.status != "uploading":
        raise Conflict(f"The upload of {dataset.id} version {version.version} is over: it is {version.status}.")
    return files.plans(files.listed(version))


def complete(dataset: Dataset, number: int | None) -> Dataset:
    """End the upload of a version, by default the newest, and have it processed; again is no error.

    Raises BadRequest naming what is missing, Conflict when it has failed.
    """
    version = versions.find(dataset, number or dataset.newest)
    if version.status == "uploading":
        files.complete_uploads(files.listed(version))
        version = submit(version)
    if version.status == "failed":
        raise Conflict(f"Version {version.version} of {dataset.id} has failed: {version.reason}")
    return DATASETS.get(dataset.owner, dataset.id)


def submit(version: Version) -> Version:
    """Have a version processed whose files are all in S3."""
    version = versions.settle(version, since="uploading", status="processing")
    if version.status == "processing":
        workflows.start(PROCESS, version.owner, version.id)
    return version


# ---------------------------------------------------------------------------------------------- what is shown


def list_datasets(
    caller: Caller,
    owner: str | None,
    type: Type | None,
    status: Status | None,
    tag: str | None,
    query: str | None,
    limit: int,
    cursor: str | None,
) -> Page[Dataset]:
    """Return a page of an owner's datasets, newest first; of another owner those that are shared, or all for an admin.

    Filters are applied after reading. A page reads MAX_READS pages of the table at most, so it may come back with
    fewer items than asked for, or none, and still have a next one.
    """
    owner = owner or caller.username
    sees_all = owner == caller.username or caller.is_admin
    words = query.casefold().split() if query else []

    def wanted(dataset: Dataset) -> bool:
        text = " ".join([dataset.name, dataset.description or "", *dataset.tags]).casefold() if words else ""
        return (
            (sees_all or dataset.visibility == "shared")
            and type in (None, dataset.type)
            and status in (None, dataset.status)
            and (tag is None or tag in dataset.tags)
            and all(word in text for word in words)
        )

    return filtered(owner, wanted, limit, cursor)


def filtered(owner: str, wanted: Callable[[Dataset], bool], limit: int, cursor: str | None) -> Page[Dataset]:
    """Return a page of those of an owner's datasets that are wanted."""
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


def list_versions(dataset: Dataset, limit: int, cursor: str | None) -> Page[Version]:
    """Return a page of a dataset's versions, newest first."""
    return VERSIONS.list(dataset.owner, versions_of(dataset.id), limit, cursor)


def update(dataset: Dataset, changes: DatasetUpdate) -> Dataset:
    """Store what was sent of the changes; raises Stale when somebody else changed the dataset meanwhile, BadRequest."""
    refuse_mapping(changes.column_mapping)
    sent = changes.model_dump(exclude_unset=True)
    return DATASETS.update(dataset, **sent) if sent else dataset


def refuse_mapping(mapping: dict[str, str]) -> None:
    """Raise BadRequest for a column mapping with roles that no training knows."""
    if problems := column_mapping.unknown_roles(mapping):
        raise BadRequest(
            f"The column mapping cannot be used: {problems[0]}",
            errors=[{"field": "column_mapping", "message": problem} for problem in problems],
        )


def download(dataset: Dataset, number: int | None, filename: str | None) -> Downloads:
    """Return URLs of a version's files, or of the one named; raises Conflict before they are uploaded, NotFound."""
    version = versions.find(dataset, number)
    if version.status == "uploading":
        raise Conflict(f"The files of {dataset.id} version {version.version} are not uploaded yet.")
    if not version.stored_bytes and version.source is None:
        raise Conflict(f"Version {version.version} of {dataset.id} has no files: {version.reason}")
    stored = files.manifest(version).files if version.status == "ready" else files.listed(version)
    wanted = [file for file in stored if filename in (None, file.filename)]
    if not wanted:
        raise NotFound(f"Version {version.version} of {dataset.id} has no file {filename}.")
    return Downloads(files=files.downloads(wanted), expires_in=uploads.EXPIRES_IN)


def preview(dataset: Dataset, number: int | None) -> Preview:
    """Return the first examples of a version; raises Conflict unless it is ready."""
    version = ready_version(dataset, number)
    folder, bucket = version.prefix + files.PROCESSED, variable("DATASETS_BUCKET")
    shown = Preview.model_validate_json(files.read(f"{folder}preview.json"))
    images = files.manifest(version).profile.images
    names = [f"{place:03d}.webp" for place in range(1, (images.thumbnails if images else 0) + 1)]
    shown.thumbnails = [uploads.download_url(bucket, f"{folder}thumbnails/{name}", name) for name in names]
    return shown


def profile(dataset: Dataset, number: int | None) -> Profile:
    """Return what processing found in a version; raises Conflict unless it is ready."""
    return files.manifest(ready_version(dataset, number)).profile


def readiness_of(
    dataset: Dataset, number: int | None, training_types: Sequence[TrainingType], target: str | None
) -> list[Readiness]:
    """Return for each training type whether a version can train it, and if not why; raises Conflict unless ready."""
    found = profile(dataset, number)
    return [
        readiness.readiness(found, dataset.type, dataset.format, training_type, dataset.column_mapping, target)
        for training_type in training_types
    ]


def ready_version(dataset: Dataset, number: int | None) -> Version:
    """Return a version that is ready; raises NotFound, Conflict saying why it is not."""
    version = versions.find(dataset, number)
    name = f"Version {version.version} of the dataset {dataset.id}"
    if version.status == "failed":
        raise Conflict(f"{name} has failed: {version.reason}")
    if version.status != "ready":
        raise Conflict(f"{name} is still {version.status}; ask again once its status is ready.")
    return version


def storage_of(caller: Caller) -> Storage:
    """Return what the caller's datasets take and may take."""
    return Storage(
        used_bytes=storage.used(caller.username),
        quota_bytes=int(variable("STORAGE_QUOTA_BYTES")),
        max_dataset_bytes=int(variable("MAX_DATASET_BYTES")),
    )


def public(dataset: Dataset) -> DatasetPublic:
    """Return a dataset as answered."""
    fields = dataset.model_dump(include=set(DatasetPublic.model_fields))
    return DatasetPublic(**fields, user_id=dataset.owner, used_by=sorted(dataset.holds))


def public_version(version: Version) -> VersionPublic:
    """Return a version as answered."""
    return VersionPublic(**version.model_dump(include=set(VersionPublic.model_fields)))


# ---------------------------------------------------------------------------------------------- for training


@dataclass(frozen=True)
class TrainingData:
    """What a job learns from: a version as it is, and where S3 has it."""

    dataset: Dataset
    version: int
    uri: str
    """The prefix whose objects train."""
    examples: str | None
    """Of images: the prefix of examples.jsonl, which has a line for each."""
    sha256: str | None
    profile: Profile

    def readiness(self, training_type: TrainingType, target: str | None) -> Readiness:
        """Return whether this can train, and if not why."""
        of = self.dataset
        return readiness.readiness(self.profile, of.type, of.format, training_type, of.column_mapping, target)


def for_training(caller: Caller, id: str, number: int | None) -> TrainingData:
    """Return a version of a readable dataset that is ready; raises NotFound, Conflict saying what it waits for."""
    dataset = readable(caller, id)
    version = ready_version(dataset, number)
    manifest = files.manifest(version)
    if version.source and version.source.mode == "reference":
        for file in manifest.files:
            refuse_changed(file)
    return TrainingData(
        dataset=dataset,
        version=version.version,
        uri=files.training_uri(version, manifest.converted),
        examples=files.examples_uri(version) if dataset.type == "image" else None,
        sha256=version.sha256,
        profile=manifest.profile,
    )


def refuse_changed(file: StoredFile) -> None:
    """Raise Conflict when a file in another bucket is not what it was when the version was made."""
    try:
        imports.refuse_change(file)
    except imports.SourceChanged as error:
        raise Conflict(str(error)) from error


def hold(dataset: Dataset, holder: str) -> Write:
    """Return the write by which `holder` keeps a ready dataset from being deleted."""
    return DATASETS.hold(dataset.owner, dataset.id, holder, "AND #status = :ready", {":ready": {"S": "ready"}})


def release(owner: str, id: str, holder: str) -> Write:
    """Return the write that ends a hold."""
    return DATASETS.release(owner, id, holder)

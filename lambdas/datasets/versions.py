"""Versions of a dataset: how one begins, how its state reaches the dataset's record, how one goes.

A dataset's record shows its newest ready version, or its newest while none is ready; so lists read no version.
"""

from collections.abc import Sequence
from typing import Any

from lambdas.common import objects, waits
from lambdas.common.environment import variable
from lambdas.common.errors import Conflict, NotFound, Stale, TooLarge
from lambdas.common.ids import new_id
from lambdas.common.transactions import transact, transact_in_turn
from lambdas.datasets import files, imports, storage
from lambdas.datasets.formats import refuse_format, refuse_names
from lambdas.datasets.records import DATASETS, MAX_VERSIONS, VERSIONS, dataset_folder, version_id, versions_of
from lambdas.datasets.requests import DatasetCreate, VersionCreate
from lambdas.datasets.schemas import Dataset, Format, Shape, Status, StoredFile, Version

ATTEMPTS = 5


def begin(owner: str, new: DatasetCreate) -> tuple[Dataset, list[StoredFile]]:
    """Store a dataset and its first version, and start what brings the files; raises BadRequest, TooLarge."""
    refuse_format(new.type, new.format)
    found = accepted_files(new, new.format)
    id = new_id("ds")
    fields = new.model_dump(include={"name", "description", "type", "format", "tags", "visibility", "column_mapping"})
    version = first_record(owner, id, 1, new, found, new)
    shape = version.model_dump(include=set(Shape.model_fields))
    dataset = Dataset(owner=owner, id=id, **fields, **shape)
    transact(
        DATASETS.creation(dataset),
        VERSIONS.creation(version),
        waits.opening(version.id, owner),
        storage.reserving(owner, version.stored_bytes, datasets=1),
    )
    return dataset, bring(version, found)


def begin_next(dataset: Dataset, new: VersionCreate) -> tuple[Version, list[StoredFile]]:
    """Store the next version of a dataset and start what brings its files; raises BadRequest, TooLarge, Conflict."""
    found = accepted_files(new, dataset.format)
    for _ in range(ATTEMPTS):
        number = dataset.newest + 1
        if number > MAX_VERSIONS:
            raise Conflict(f"{dataset.id} has {MAX_VERSIONS:,} versions, the most there can be; make a new dataset.")
        version = first_record(dataset.owner, dataset.id, number, new, found, dataset)
        shown = {} if dataset.status == "ready" else shape_of(version)
        try:
            transact(
                DATASETS.change(dataset, newest=number, **shown),
                VERSIONS.creation(version),
                waits.opening(version.id, dataset.owner),
                storage.reserving(dataset.owner, version.stored_bytes),
            )
        except Stale:  # somebody else began one, or changed the name
            dataset = DATASETS.get(dataset.owner, dataset.id)
            continue
        return version, bring(version, found)
    raise Stale(f"The dataset {dataset.id} changes too often; try again.")


def accepted_files(new: VersionCreate, format: Format) -> list[StoredFile]:
    """Return the files that a version is to have; raises BadRequest for wrong ones, TooLarge."""
    if new.source:
        found = imports.find(new.source)
    else:
        found = [StoredFile(filename=file.filename, size=file.size, bucket="", key="") for file in new.files or []]
    refuse_names(format, [file.filename for file in found])
    size, limit = sum(file.size for file in found), int(variable("MAX_DATASET_BYTES"))
    if size > limit:
        raise TooLarge(f"The files have {size:,} bytes together; at most {limit:,} are possible. Split or sample them.")
    return found


def first_record(
    owner: str,
    dataset_id: str,
    number: int,
    new: VersionCreate,
    found: Sequence[StoredFile],
    of: Dataset | DatasetCreate,
) -> Version:
    """Return the record of a version that begins: to be uploaded, or `processing` where its data is in S3."""
    size = sum(file.size for file in found)
    return Version(
        owner=owner,
        id=version_id(dataset_id, number),
        dataset_id=dataset_id,
        version=number,
        type=of.type,
        format=of.format,
        source=new.source,
        size=size,
        stored_bytes=0 if new.source and new.source.mode == "reference" else size,
        file_count=len(found),
    )


def bring(version: Version, found: list[StoredFile]) -> list[StoredFile]:
    """Store the list of a version's files, and start their uploads unless they are in S3.

    A crash before the list is stored leaves a version that nobody was told of; reconcile takes it away.
    """
    if version.source is None:
        return files.start_uploads(version, [(file.filename, file.size) for file in found])
    files.write_list(version, found)
    return found


def shape_of(version: Version) -> dict[str, Any]:
    """Return what a dataset's record shows of a version."""
    return version.model_dump(include=set(Shape.model_fields)) | {"version": version.version}


def settle(version: Version, since: Status, release: int = 0, ends: bool = False, **changes: Any) -> Version:
    """Store a version's next state, and the dataset's where it shows this version, in one transaction.

    `release` bytes are counted as free, and with `ends` the version is no longer under way. Nothing happens when it
    is no longer `since`: somebody else came first. Changes of the dataset's name or tags meanwhile are kept.
    """
    for _ in range(ATTEMPTS):
        try:
            version = VERSIONS.get(version.owner, version.id)
            dataset = DATASETS.get(version.owner, version.dataset_id)
        except NotFound:  # deleted meanwhile
            return version
        if version.status != since:
            return version
        after = version.model_copy(update=changes)
        writes = [VERSIONS.change(version, **changes)]
        if dataset.version == version.version or (after.status == "ready" and dataset.version < version.version):
            writes.append(DATASETS.change(dataset, **shape_of(after)))
        if release:
            writes.append(storage.releasing(version.owner, release))
        if ends:
            writes.append(waits.closing(version.id))
        try:
            transact(*writes)
        except Stale:
            continue
        return after
    raise Stale(f"The dataset {version.dataset_id} changes too often to be settled.")


def find(dataset: Dataset, number: int | None) -> Version:
    """Return a version of a dataset, by default the one that the dataset shows; raises NotFound."""
    try:
        return VERSIONS.get(dataset.owner, version_id(dataset.id, number or dataset.version))
    except NotFound as error:
        raise NotFound(f"The dataset {dataset.id} has no version {number}.") from error


def all_of(owner: str, dataset_id: str) -> list[Version]:
    """Return every version of a dataset, the newest first."""
    found, cursor = [], None
    while True:
        page = VERSIONS.list(owner, versions_of(dataset_id), 100, cursor)
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            return found


def delete(dataset: Dataset) -> None:
    """Delete a dataset with its versions and objects; raises Conflict while it is in use or being processed.

    The record goes first, and with it a wait is left until the rest is gone: a crash in between leaves a wait without
    a record, which reconcile reads as "remove what is left".
    """
    found = all_of(dataset.owner, dataset.id)
    busy = next((version for version in found if version.status == "processing"), None)
    if busy:
        raise Conflict(f"Version {busy.version} of {dataset.id} is being processed; delete it when that is done.")
    DATASETS.delete(dataset, waits.opening(dataset.id, dataset.owner))
    sweep(dataset.owner, dataset.id)


def sweep(owner: str, dataset_id: str) -> None:
    """Remove what a deleted dataset left: uploads, versions with the bytes they counted, objects, at last its wait."""
    for version in all_of(owner, dataset_id):
        files.abort_uploads(files.listed(version))
        remove(version)
    objects.delete_prefix(variable("DATASETS_BUCKET"), dataset_folder(owner, dataset_id))
    last = waits.closing(dataset_id)
    last.arguments["ConditionExpression"] = "attribute_exists(id)"
    try:
        transact_in_turn(last, storage.dataset_gone(owner))
    except Stale:
        raise
    except Conflict:
        pass  # somebody else did the same, and counted it


def remove(version: Version) -> None:
    """Delete a version's record and count its bytes as free: once, whoever else does the same."""
    try:
        transact(
            VERSIONS.deletion(version),
            storage.releasing(version.owner, version.stored_bytes),
            waits.closing(version.id),
        )
    except Stale:  # changed, or gone: a repetition finds what is left
        if any(found.id == version.id for found in all_of(version.owner, version.dataset_id)):
            raise

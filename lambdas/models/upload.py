"""How files come in: in a form when they are small, by presigned parts straight to S3 at any size.

Either way the version is `scanning` once all of its files are in S3, and the workflow `scan` does the rest.
"""

import mimetypes
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import PurePosixPath
from typing import Any

from pydantic import BaseModel, TypeAdapter

from lambdas.common import aws, objects, uploads, workflows
from lambdas.common.environment import variable
from lambdas.common.errors import BadRequest, Conflict, NotFound, TooLarge
from lambdas.common.uploads import PAGE_OF_PARTS, UploadPlan
from lambdas.models import duplicates, manifest, versions
from lambdas.models.folder import checked_filename
from lambdas.models.records import MODELS
from lambdas.models.requests import FileUpload, ModelCreate, UploadCreate
from lambdas.models.schemas import Framework, ModelVersion, StoredFile

THREADS = 8
MAX_FORM_BYTES = 4 * 1024 * 1024  # Lambda takes 6 MB, in which base64 and the form's own lines leave this much
OTHER_WAY = "POST /ai-models/uploads takes files of any size"
REQUEST_TIME = timedelta(minutes=15)  # far more than a request lives: half a minute
PLAN = f"{manifest.FOLDER}upload.json"
# What a file's extension says of its framework, until its content has been looked at.
FRAMEWORKS: dict[str, Framework] = {
    ".pkl": "sklearn",
    ".joblib": "sklearn",
    ".onnx": "onnx",
    ".h5": "keras",
    ".hdf5": "keras",
    ".keras": "keras",
    ".pb": "tensorflow",
    ".pth": "pytorch",
    ".pt": "pytorch",
    ".bin": "huggingface",
    ".safetensors": "huggingface",
}


class PlannedFile(BaseModel):
    """A file that is on its way: an upload of its own, or a copy of a file that the owner has already."""

    filename: str
    size: int
    upload_id: str | None = None
    copy_of: str | None = None
    """The key of a file with the same SHA-256."""
    hash: str | None = None
    """What an imported file's bytes must hash to: `sha256:` or `git:` and hexadecimal digits."""


PLANNED = TypeAdapter(list[PlannedFile])


# ----------------------------------------------------------------------------------------------------- forms


def upload_form(owner: str, new: ModelCreate, files: Sequence[tuple[FileUpload, bytes]]) -> ModelVersion:
    """Register a version whose files came in a form; raises BadRequest, Conflict.

    A crash in between leaves a version `uploading` without a plan, which reconcile takes away.
    """
    entries = entries_of([file for file, _ in files])
    version = register(owner, new, [file for file, _ in files], entries)
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(put_file, (file_in(version, entry) for entry in entries), (body for _, body in files)))
    return received(version)


def put_file(file: StoredFile, body: bytes) -> None:
    """Store a file where none is: files never change."""
    aws.client("s3").put_object(
        Bucket=variable("MODELS_BUCKET"),
        Key=file.file_path,
        Body=body,
        ContentType=file.content_type,
        ChecksumAlgorithm="CRC32",
        IfNoneMatch="*",
    )


def refuse_large(size: int) -> None:
    """Raise TooLarge for more than a form can bring."""
    if size > MAX_FORM_BYTES:
        limit = f"a form brings at most {MAX_FORM_BYTES // 1024**2} MiB"
        raise TooLarge(f"The file has {size:,} bytes, and {limit}: {OTHER_WAY}.")


# ----------------------------------------------------------------------------------------------------- plans


def start(owner: str, new: UploadCreate, id: str | None = None) -> ModelVersion:
    """Register a version and start the upload of each of its files; raises BadRequest, Conflict, TooLarge.

    With an id this is safe to repeat: what an earlier try stored under it is taken up.
    """
    total, limit = sum(file.size for file in new.files), int(variable("MAX_MODEL_BYTES"))
    if total > limit:
        raise TooLarge(f"The files have {total:,} bytes together; at most {limit:,} are possible here.")
    entries = entries_of(new.files)
    version = register(owner, new, new.files, entries, id)
    if id and (version.status != "uploading" or read_plan(version)):
        return version
    with ThreadPoolExecutor(THREADS) as pool:
        planned = list(pool.map(lambda pair: plan_file(version, *pair), zip(new.files, entries, strict=True)))
    write_plan(version, planned)
    return version


def plan_file(version: ModelVersion, wanted: FileUpload, entry: StoredFile) -> PlannedFile:
    """Start the upload of a file, or note which file of the owner's it is a copy of."""
    known = duplicates.find(version.owner, wanted.sha256, wanted.size) if wanted.sha256 else None
    if known:
        return PlannedFile(filename=entry.filename, size=wanted.size, copy_of=known)
    key = version.prefix + entry.filename
    upload_id = uploads.start(variable("MODELS_BUCKET"), key, entry.content_type)
    return PlannedFile(filename=entry.filename, size=wanted.size, upload_id=upload_id)


def plan(version: ModelVersion) -> dict[str, UploadPlan | None]:
    """Return what is left to upload of each file, None for those the registry has; at most 1,000 URLs at once."""
    if version.status != "uploading":
        raise Conflict(f"The upload is over: {version.model_id} {version.version} is {version.status}.")
    planned, bucket = open_plan(version), variable("MODELS_BUCKET")

    def of(file: PlannedFile) -> UploadPlan | None:
        if file.upload_id is None:
            return None
        try:
            return uploads.plan(bucket, version.prefix + file.filename, file.upload_id, file.size)
        except Conflict:  # an earlier `complete` got this far
            return UploadPlan(part_size=uploads.part_size(file.size), parts=[], missing=0)

    with ThreadPoolExecutor(THREADS) as pool:
        plans = list(pool.map(of, planned))
    left = PAGE_OF_PARTS
    for found in plans:
        if found:
            found.parts = found.parts[:left]
            left -= len(found.parts)
    return {file.filename: found for file, found in zip(planned, plans, strict=True)}


def complete(version: ModelVersion) -> ModelVersion:
    """Make the files from their parts and have them scanned; again is no error. Raises BadRequest naming what lacks."""
    if version.status == "uploading":
        with ThreadPoolExecutor(THREADS) as pool:
            lacking = [
                reason for reason in pool.map(lambda file: make_file(version, file), open_plan(version)) if reason
            ]
        if lacking:
            raise BadRequest("The upload is not complete. " + " ".join(lacking[:5]))
        return received(version)
    if version.status == "failed":
        raise Conflict(f"{version.model_id} {version.version} has failed: {version.reason}")
    return version


def make_file(version: ModelVersion, file: PlannedFile) -> str | None:
    """Make a file from its parts; return what is wrong with them, or None."""
    if file.upload_id is None:
        return None
    bucket, key = variable("MODELS_BUCKET"), version.prefix + file.filename
    try:
        uploads.complete(bucket, key, file.upload_id, file.size)
    except BadRequest as error:
        return f"{file.filename}: {error.detail}"
    except Conflict:  # made already, by a call that did not live to say so
        try:
            if uploads.size_of(bucket, key) == file.size:
                return None
        except NotFound:
            pass
        return f"{file.filename}: its upload was given up; delete this version and begin again."
    return None


def abort(version: ModelVersion) -> None:
    """Give up the uploads of a version that is going away."""
    for file in read_plan(version):
        if file.upload_id:
            uploads.abort(variable("MODELS_BUCKET"), version.prefix + file.filename, file.upload_id)


def open_plan(version: ModelVersion) -> list[PlannedFile]:
    """Return the files of an upload plan; raises Conflict for a version that comes by another way."""
    planned = read_plan(version)
    if not planned:
        raise Conflict(
            f"{version.model_id} {version.version} has no upload plan: a form or a job is bringing its files."
        )
    return planned


def is_coming(version: ModelVersion) -> bool:
    """Return whether a request may still be bringing a version's files: in a form, or making its upload plan."""
    return version.status == "uploading" and version.age < REQUEST_TIME and not read_plan(version)


def read_plan(version: ModelVersion) -> list[PlannedFile]:
    """Return the files of an upload plan; none when the version came by another way."""
    answer = objects.find(variable("MODELS_BUCKET"), version.prefix + PLAN)
    return PLANNED.validate_json(answer["Body"].read()) if answer else []


def write_plan(version: ModelVersion, planned: list[PlannedFile]) -> None:
    """Store an upload plan beside the version's files."""
    aws.client("s3").put_object(
        Bucket=variable("MODELS_BUCKET"), Key=version.prefix + PLAN, Body=PLANNED.dump_json(planned)
    )


# ------------------------------------------------------------------------------------------------------ both


def register(
    owner: str,
    new: ModelCreate,
    files: Sequence[FileUpload],
    entries: list[StoredFile],
    id: str | None = None,
    **more: Any,
) -> ModelVersion:
    """Store a version that is about to get these files, in the table and in its manifest; raises Conflict.

    With an id, what an earlier try stored under it is taken up.
    """
    primary = next(entry for entry in entries if entry.is_primary)
    fields: dict[str, Any] = new.model_dump(include=set(ModelCreate.model_fields) - {"user_id", "version"})
    fields |= {"framework": new.framework or FRAMEWORKS.get(primary.file_type, "other")} | more
    version = versions.stored(owner, id) or versions.create(
        owner,
        new.version,
        id,
        **fields,
        file_count=len(entries),
        size_bytes=sum(file.size for file in files),
    )
    if version.status != "uploading":
        return version
    version = MODELS.settle(version, primary_file_path=version.prefix + primary.filename)
    manifest.write(version, lambda _: [file_in(version, entry) for entry in entries])
    return version


def received(version: ModelVersion) -> ModelVersion:
    """Have a version scanned whose files are all there."""
    version = manifest.store(version, status="scanning")
    versions.make_latest(version)
    workflows.start("SCAN_WORKFLOW_ARN", version.owner, version.id)
    return version


def entries_of(files: Sequence[FileUpload]) -> list[StoredFile]:
    """Return the manifest's entries for files that are to come; raises BadRequest for names and marks that clash."""
    marked = [file.filename for file in files if file.is_primary]
    if len(marked) > 1:
        raise wrong_files(f"{marked[0]} and {marked[1]} are both marked as primary; mark one")
    names = [checked_filename(file.filename) for file in files]
    taken = Counter(name.casefold() for name in names)  # two are one where a file system ignores case
    for name in names:
        if taken[name.casefold()] > 1:
            raise wrong_files(f"{name} is given twice")
        if folder := next((str(path) for path in PurePosixPath(name).parents if str(path).casefold() in taken), None):
            raise wrong_files(f"{folder} is a file, and the folder of {name}")
    primary = checked_filename(marked[0]) if marked else names[0]
    return [
        StoredFile(
            filename=name,
            file_path=name,
            file_size=file.size,
            file_type=PurePosixPath(name).suffix.lower(),
            content_type=mimetypes.guess_type(name)[0] or "application/octet-stream",
            is_primary=name == primary,
            description=file.description,
        )
        for name, file in zip(names, files, strict=True)
    ]


def file_in(version: ModelVersion, entry: StoredFile) -> StoredFile:
    """Return an entry with its place in the bucket."""
    return entry.model_copy(update={"file_path": version.prefix + entry.filename})


def wrong_files(message: str) -> BadRequest:
    """Return the error for a list of files that cannot be."""
    return BadRequest(f"The files cannot be registered: {message}.", errors=[{"field": "files", "message": message}])

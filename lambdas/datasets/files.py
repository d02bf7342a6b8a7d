"""The files of a version in S3: their list beside them, their uploads, their URLs."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from pydantic import TypeAdapter

from lambdas.common import aws, objects, uploads
from lambdas.common.environment import variable
from lambdas.common.errors import BadRequest, Conflict, NotFound
from lambdas.common.uploads import PAGE_OF_PARTS, UploadPlan
from lambdas.datasets.formats import KINDS
from lambdas.datasets.schemas import FileDownload, Manifest, StoredFile, Version

THREADS = 8
FILES = "files/"
LIST = "files.json"
MANIFEST = "manifest.json"
PROCESSED = "processed/"  # what processing may write to
CONVERTED = f"{PROCESSED}converted/"
EXAMPLES = f"{PROCESSED}examples/"
LISTED = TypeAdapter(list[StoredFile])


def start_uploads(version: Version, wanted: Sequence[tuple[str, int]]) -> list[StoredFile]:
    """Start the upload of each (filename, size) and store their list; a version without one is not begun yet."""
    bucket, content_type = variable("DATASETS_BUCKET"), KINDS[version.format].content_type

    def start(file: tuple[str, int]) -> StoredFile:
        name, size = file
        key = f"{version.prefix}{FILES}{name}"
        upload_id = uploads.start(bucket, key, content_type)
        return StoredFile(filename=name, size=size, bucket=bucket, key=key, upload_id=upload_id)

    with ThreadPoolExecutor(THREADS) as pool:
        started = list(pool.map(start, wanted))
    write_list(version, started)
    return started


def write_list(version: Version, files: list[StoredFile]) -> None:
    """Store the list of a version's files beside them."""
    write(version.prefix + LIST, LISTED.dump_json(files))


def listed(version: Version) -> list[StoredFile]:
    """Return a version's files; none before they were listed."""
    answer = objects.find(variable("DATASETS_BUCKET"), version.prefix + LIST)
    return LISTED.validate_json(answer["Body"].read()) if answer else []


def plans(files: list[StoredFile]) -> dict[str, UploadPlan]:
    """Return what is left to upload of each file by its name, at most PAGE_OF_PARTS URLs together."""
    uploaded = [file for file in files if file.upload_id]
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(plan, uploaded))
    left = PAGE_OF_PARTS
    for upload in found:
        upload.parts = upload.parts[:left]
        left -= len(upload.parts)
    return {file.filename: upload for file, upload in zip(uploaded, found, strict=True)}


def plan(file: StoredFile) -> UploadPlan:
    """Return what is left to upload of a file."""
    assert file.upload_id
    try:
        return uploads.plan(file.bucket, file.key, file.upload_id, file.size)
    except Conflict:  # an earlier `complete` got this far
        return UploadPlan(part_size=uploads.part_size(file.size), parts=[], missing=0)


def complete_uploads(files: list[StoredFile]) -> None:
    """Make the files from their parts; files that are made already stay. Raises BadRequest naming what lacks."""
    with ThreadPoolExecutor(THREADS) as pool:
        lacking = [reason for reason in pool.map(make, files) if reason]
    if lacking:
        raise BadRequest("The upload is not complete. " + " ".join(lacking[:5]))


def make(file: StoredFile) -> str | None:
    """Make a file from its parts; return what is wrong with them, or None."""
    assert file.upload_id
    try:
        uploads.complete(file.bucket, file.key, file.upload_id, file.size)
    except BadRequest as error:
        return f"{file.filename}: {error.detail}"
    except Conflict:  # made already, by a call that did not live to say so
        try:
            if uploads.size_of(file.bucket, file.key) == file.size:
                return None
        except NotFound:
            pass
        return f"{file.filename}: its upload was given up; begin a new version."
    return None


def abort_uploads(files: list[StoredFile]) -> None:
    """Give up the uploads of a version; those that are over are no error."""
    for file in files:
        if file.upload_id:
            uploads.abort(file.bucket, file.key, file.upload_id)


def downloads(files: list[StoredFile]) -> list[FileDownload]:
    """Return a URL of each file."""
    return [
        FileDownload(
            filename=file.filename,
            size=file.size,
            sha256=file.sha256,
            url=uploads.download_url(file.bucket, file.key, file.filename),
        )
        for file in files
    ]


def digest(files: list[StoredFile]) -> str:
    """Return the SHA-256 that stands for a version: the file's, or that of the list `sha256sum` prints of several."""
    if len(files) == 1:
        return str(files[0].sha256)
    lines = sorted(f"{file.sha256}  {file.filename}\n" for file in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def manifest(version: Version) -> Manifest:
    """Return the manifest of a version that is ready."""
    return Manifest.model_validate_json(read(version.prefix + MANIFEST))


def read(key: str) -> bytes:
    """Return a small object of the datasets bucket whole; raises NotFound."""
    answer = objects.find(variable("DATASETS_BUCKET"), key)
    if answer is None:
        raise NotFound(f"There is no {key.rsplit('/', 1)[-1]}.")
    return answer["Body"].read()


def write(key: str, content: bytes) -> None:
    """Store JSON in the datasets bucket."""
    aws.client("s3").put_object(
        Bucket=variable("DATASETS_BUCKET"), Key=key, Body=content, ContentType="application/json"
    )


def training_uri(version: Version, converted: list[StoredFile]) -> str:
    """Return the S3 prefix of what trains: what was converted, else the files where they lie."""
    if version.source and version.source.mode == "reference" and not converted:
        return version.source.s3_uri
    return f"s3://{variable('DATASETS_BUCKET')}/{version.prefix}{CONVERTED if converted else FILES}"


def examples_uri(version: Version) -> str:
    """Return the S3 prefix of examples.jsonl, which has a line for each image."""
    return f"s3://{variable('DATASETS_BUCKET')}/{version.prefix}{EXAMPLES}"

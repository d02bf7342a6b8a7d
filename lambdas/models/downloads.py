"""How files go out: small ones in the answer, large ones from S3 by a presigned URL, a version's all as one ZIP."""

import time
from dataclasses import dataclass

from lambdas.common import aws, uploads, workflows
from lambdas.common.environment import variable
from lambdas.common.errors import Conflict, NotFound, Unavailable
from lambdas.models import archive, manifest
from lambdas.models.archive import INLINE_BYTES, ArchiveFile, is_made
from lambdas.models.manifest import Files
from lambdas.models.schemas import ModelVersion

INLINE_FILES = 100
WAIT_SECONDS = 12  # the function has 29, and the last look may be slow
POLL_SECONDS = 0.25
MAKING_SECONDS = 900  # at most: the task is a Lambda function


@dataclass(frozen=True)
class Download:
    """The bytes themselves, or where they are."""

    filename: str
    content_type: str
    body: bytes | None = None
    url: str | None = None


def file(version: ModelVersion, filename: str) -> Download:
    """Return one file; raises NotFound naming the files there are, Conflict before they are uploaded."""
    files = uploaded(version)
    found = next((file for file in files if file.filename == filename), None)
    if found is None:
        names = ", ".join(file.filename for file in files[:20])
        raise NotFound(f"{version.model_id} {version.version} has no file {filename}; its files are {names}.")
    name, bucket = filename.rsplit("/", 1)[-1], variable("MODELS_BUCKET")
    if found.file_size > INLINE_BYTES:
        return Download(name, found.content_type, url=uploads.download_url(bucket, found.file_path, name))
    body = aws.client("s3").get_object(Bucket=bucket, Key=found.file_path)["Body"].read()
    return Download(name, found.content_type, body=body)


def all_files(version: ModelVersion) -> Download:
    """Return a ZIP of every file; raises Conflict before they are uploaded, Unavailable while S3 makes it."""
    files, bucket = uploaded(version), variable("MODELS_BUCKET")
    name = f"{version.model_id}-{version.version}.zip"
    inside = members(files)
    if version.size_bytes <= INLINE_BYTES and len(files) <= INLINE_FILES:
        return Download(name, "application/zip", body=archive.inline(bucket, inside))
    key = archive.archive_key(version.prefix, inside)
    if not is_made(bucket, key):
        # One execution in the time that one may take: what is being made is not made twice, what expired is made again.
        execution = f"{version.id}-{int(time.time()) // MAKING_SECONDS}"
        workflows.start("ARCHIVE_WORKFLOW_ARN", version.owner, version.id, name=execution)
        wait_for(bucket, key)
    return Download(name, "application/zip", url=uploads.download_url(bucket, key, name))


def uploaded(version: ModelVersion) -> Files:
    """Return the files of a version; raises Conflict when they are not in S3 yet."""
    if version.status in {"uploading", "failed"}:
        raise Conflict(f"{version.model_id} {version.version} is {version.status}: its files are not there.")
    return manifest.files_of(version)


def members(files: Files) -> list[ArchiveFile]:
    """Return files as an archive takes them, with S3's CRC32 where the manifest has none yet."""
    bucket = variable("MODELS_BUCKET")
    return [
        ArchiveFile(
            name=file.filename,
            key=file.file_path,
            size=file.file_size,
            crc32=uploads.checksum_of(bucket, file.file_path)[1] if file.crc32 is None else file.crc32,
        )
        for file in files
    ]


def wait_for(bucket: str, key: str) -> None:
    """Return once an object is there; raises Unavailable when that takes longer than a request may."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not is_made(bucket, key):
        if time.monotonic() > deadline:
            raise Unavailable("The ZIP is being made in S3; ask again in a moment.", retry_after=5)
        time.sleep(POLL_SECONDS)

"""Data that is in S3 already: found under a URI in an allowed bucket, copied or read where it is."""

import json
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from pydantic import TypeAdapter, ValidationError

from lambdas.common import aws, uploads
from lambdas.common.environment import variable
from lambdas.common.errors import BadRequest, NotFound
from lambdas.datasets.files import FILES, THREADS
from lambdas.datasets.requests import MAX_FILES
from lambdas.datasets.schemas import Filename, Source, StoredFile, Version

FILENAME = TypeAdapter(Filename)
PART_BYTES = 256 * 1024**2  # S3 copies a part inside itself


class SourceChanged(Exception):
    """What a version was made of is no longer what it was."""


def find(source: Source) -> list[StoredFile]:
    """Return the files at a URI, as they are now; raises BadRequest where there are none or they cannot be used.

    What begins with `.` or `_` is left out: tools leave such markers beside data.
    """
    bucket, prefix = bucket_and_key(source)
    found = [
        StoredFile(
            filename=item["Key"].rsplit("/", 1)[-1],
            size=item["Size"],
            bucket=bucket,
            key=item["Key"],
            etag=item["ETag"],
        )
        for item in objects_at(bucket, prefix)
    ]
    files = [file for file in found if file.filename and not file.filename.startswith((".", "_"))]
    if not files:
        raise wrong_source(f"there is no object at {source.s3_uri}; a prefix ends in /")
    if len(files) > MAX_FILES:
        raise wrong_source(f"there are more than {MAX_FILES:,} objects at {source.s3_uri}; pack small ones together")
    for file in files:
        if file.size == 0:
            raise wrong_source(f"{file.key} is empty")
        try:
            FILENAME.validate_python(file.filename)
        except ValidationError as error:
            raise wrong_source(f"{file.key} has a name other than letters, digits, spaces and _ . - + ( )") from error
    return files


def bucket_and_key(source: Source) -> tuple[str, str]:
    """Return the parts of a URI; raises BadRequest unless the stage allows its bucket."""
    allowed = json.loads(variable("IMPORT_BUCKETS"))
    parts = urlsplit(source.s3_uri)
    if parts.netloc not in allowed:
        names = ", ".join(allowed) or "no bucket at all yet"
        raise wrong_source(f"this stage reads from {names}; an operator adds buckets to its setting import_buckets")
    return parts.netloc, source.s3_uri.removeprefix(f"s3://{parts.netloc}/")


def objects_at(bucket: str, prefix: str) -> list[dict]:
    """Return S3's entries of the object of that key, or of what lies directly below a prefix that ends in `/`."""
    s3, found = aws.client("s3"), list[dict]()
    try:
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, Delimiter="/"):
            found += [item for item in page.get("Contents", []) if prefix.endswith("/") or item["Key"] == prefix]
            if len(found) > MAX_FILES or not prefix.endswith("/"):
                break
    except s3.exceptions.ClientError as error:
        if aws.error_code(error) not in {"AccessDenied", "NoSuchBucket", "403", "404"}:
            raise
        raise wrong_source(f"the platform may not read s3://{bucket}: {aws.error_code(error)}") from error
    return found


def targets(version: Version, files: list[StoredFile]) -> list[StoredFile]:
    """Return the files as they are once copied to the version's own place."""
    bucket = variable("DATASETS_BUCKET")
    return [
        file.model_copy(update={"bucket": bucket, "key": f"{version.prefix}{FILES}{file.filename}"}) for file in files
    ]


def are_copied(version: Version, copies: list[StoredFile]) -> bool:
    """Return whether each of these files lies in the version's own place."""
    there = {(item["Key"], item["Size"]) for item in objects_at(variable("DATASETS_BUCKET"), version.prefix + FILES)}
    return all((file.key, file.size) in there for file in copies)


def copy(version: Version, files: list[StoredFile]) -> None:
    """Copy a version's files inside S3; what was copied before stays. Raises SourceChanged."""
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(copy_file, files, targets(version, files)))


def copy_file(file: StoredFile, target: StoredFile) -> None:
    """Copy one file as it was when it was found, in parts where it is large."""
    try:
        if uploads.size_of(target.bucket, target.key) == target.size:
            return
    except NotFound:
        pass
    from boto3.s3.transfer import TransferConfig

    refuse_change(file)
    parts = TransferConfig(multipart_chunksize=PART_BYTES, max_concurrency=THREADS)
    untagged = {"TaggingDirective": "REPLACE"}  # tags would ask for rights to read and to write them
    source = {"Bucket": file.bucket, "Key": file.key}
    aws.client("s3").copy(source, target.bucket, target.key, ExtraArgs=untagged, Config=parts)
    refuse_change(file)


def refuse_change(file: StoredFile) -> None:
    """Raise SourceChanged unless a file in another bucket is what it was when it was found."""
    try:
        now = uploads.head(file.bucket, file.key)
    except NotFound as error:
        raise SourceChanged(f"s3://{file.bucket}/{file.key} is no longer there; begin a new version.") from error
    if now["ETag"] != file.etag:
        raise SourceChanged(f"s3://{file.bucket}/{file.key} has changed since; begin a new version.")


def wrong_source(message: str) -> BadRequest:
    """Return the error for a source that cannot be used."""
    return BadRequest(f"The source cannot be used: {message}.", errors=[{"field": "source.s3_uri", "message": message}])

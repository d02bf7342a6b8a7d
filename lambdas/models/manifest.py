"""A version's manifest in S3, beside its files: their list, and the record, from which the table can be rebuilt."""

import json
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

from lambdas.common import aws
from lambdas.common.environment import variable
from lambdas.models.records import MODELS
from lambdas.models.schemas import ModelVersion, StoredFile

FOLDER = ".slipway/"
NAME = f"{FOLDER}registry.json"
CHANGED = {"PreconditionFailed", "ConditionalRequestConflict"}
Files = list[StoredFile]


class Manifest(BaseModel):
    """What registry.json holds; `record` is the record of the table but for its holds."""

    schema_version: int = 1
    record: dict[str, Any]
    files: Files


def files_of(version: ModelVersion) -> Files:
    """Return the files of a version, in the order in which they were given."""
    return read(version)[0]


def record_of(version: ModelVersion) -> ModelVersion | None:
    """Return the record of a version as its manifest has it, which may be the one before the last; None without one."""
    body, _ = read_body(version)
    return parse(body)[0] if body else None


def read(version: ModelVersion) -> tuple[Files, str | None]:
    """Return a version's files and its manifest's ETag; none of either before there is a manifest."""
    body, etag = read_body(version)
    return (Manifest.model_validate_json(body).files if body else []), etag


def read_body(version: ModelVersion) -> tuple[bytes | None, str | None]:
    """Return the bytes and the ETag of a version's manifest, or None and None."""
    try:
        answer = aws.client("s3").get_object(Bucket=variable("MODELS_BUCKET"), Key=version.prefix + NAME)
    except Exception as error:
        if aws.error_code(error) != "NoSuchKey":
            raise
        return None, None
    return answer["Body"].read(), answer["ETag"]


def write(version: ModelVersion, change: Callable[[Files], Files] = lambda files: files) -> Files:
    """Store a version's record as it is now and its files as `change` makes them of what is stored; return these.

    Whoever changes a record calls this before saying so. Two at once are told apart by the ETag: the one that comes
    second reads again, so that what stays is never older than the table.
    """
    while True:
        files, etag = read(version)
        files = change(files)
        current = MODELS.get(version.owner, version.id)
        if current.status == "deleting":
            return files  # or it would lie there when all else is gone
        record = current.model_dump(mode="json", exclude={"holds"})
        body = Manifest(record=record, files=files).model_dump_json(indent=1).encode()
        unchanged = {"IfMatch": etag} if etag else {"IfNoneMatch": "*"}
        target = {"Bucket": variable("MODELS_BUCKET"), "Key": version.prefix + NAME}
        try:
            aws.client("s3").put_object(**target, Body=body, ContentType="application/json", **unchanged)
        except Exception as error:
            if aws.error_code(error) not in CHANGED:
                raise
            continue
        return files


def store(version: ModelVersion, **changes: Any) -> ModelVersion:
    """Change fields of a record, in the table and then in the manifest; return it as it then is."""
    version = MODELS.settle(version, **changes)
    write(version)
    return version


def parse(body: bytes) -> tuple[ModelVersion, Files]:
    """Return the record and files in a manifest's bytes; raises ValueError for anything else."""
    manifest = Manifest.model_validate(json.loads(body))
    return ModelVersion.model_validate(manifest.record), manifest.files

"""A version's manifest in S3, beside its files: their list, and the record, from which the table can be rebuilt."""

import json
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

from lambdas.common import aws, objects, uploads
from lambdas.common.environment import variable
from lambdas.common.transactions import Write
from lambdas.models.records import MODELS
from lambdas.models.schemas import ModelVersion, StoredFile

FOLDER = ".slipway/"
NAME = f"{FOLDER}registry.json"
Files = list[StoredFile]


class Manifest(BaseModel):
    """What registry.json holds; `record` is the record of the table but for its holds."""

    schema_version: int = 1
    record: dict[str, Any]
    files: Files


def files_of(version: ModelVersion) -> Files:
    """Return the files of a version, in the order in which they were given."""
    return read(version)[0]


def load(version: ModelVersion) -> tuple[ModelVersion, Files] | None:
    """Return record and files as a version's manifest has them, the record may be the one before the last; or None."""
    body, _ = read_body(version)
    return parse(body) if body else None


def read(version: ModelVersion) -> tuple[Files, str | None]:
    """Return a version's files and its manifest's ETag; none of either before there is a manifest."""
    body, etag = read_body(version)
    return (Manifest.model_validate_json(body).files if body else []), etag


def read_body(version: ModelVersion) -> tuple[bytes | None, str | None]:
    """Return the bytes and the ETag of a version's manifest, or None and None."""
    answer = objects.find(variable("MODELS_BUCKET"), version.prefix + NAME)
    return (answer["Body"].read(), answer["ETag"]) if answer else (None, None)


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
            if aws.error_code(error) not in uploads.TAKEN:
                raise
            continue
        return files


def store(version: ModelVersion, *also: Write, **changes: Any) -> ModelVersion:
    """Settle a record (see `EntityStore.settle`), in the table and then in the manifest; return it as it then is."""
    version = MODELS.settle(version, *also, **changes)
    write(version)
    return version


def parse(body: bytes) -> tuple[ModelVersion, Files]:
    """Return the record and files in a manifest's bytes; raises ValueError for anything else."""
    manifest = Manifest.model_validate(json.loads(body))
    return ModelVersion.model_validate(manifest.record), manifest.files

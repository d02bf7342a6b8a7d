"""The rules of the registry: versions, who may read them, and how a trained model becomes one."""

import hashlib
import json
from typing import Any

from lambdas.common import aws, uploads
from lambdas.common.environment import variable
from lambdas.common.errors import Conflict, NotFound, Stale
from lambdas.common.identity import Caller
from lambdas.common.ids import new_id
from lambdas.common.pages import Page
from lambdas.common.store import EntityStore, Write, from_item, key, transact
from lambdas.models.schemas import ModelFile, ModelVersion, TrainingResults

MODELS = EntityStore("MODELS_TABLE", ModelVersion, "model version")
CHUNK = 8 * 1024 * 1024
ATTEMPTS = 20  # concurrent registrations of one model that a caller may lose to before it gives up


def find(caller: Caller, owner: str, model_id: str, version: str | None) -> ModelVersion:
    """Return a version (None: the latest) that the caller may read; raises NotFound."""
    pointer = _pointer(owner, f"name#{model_id}#{version}" if version else f"latest#{model_id}")
    if pointer is None:
        wanted = f"{model_id} {version}" if version else model_id
        raise NotFound(f"{owner} has no model {wanted} that you may see.")
    found = MODELS.get(owner, pointer["target"])
    if not may_read(caller, found):
        raise NotFound(f"{owner} has no model {model_id} that you may see.")
    return found


def may_read(caller: Caller, version: ModelVersion) -> bool:
    """Return whether the caller is the owner, an admin, or it is shared."""
    return caller.username == version.owner or caller.is_admin or version.visibility == "shared"


def list_versions(
    caller: Caller, owner: str, limit: int, cursor: str | None, **matching: str | None
) -> Page[ModelVersion]:
    """Return a page of the owner's versions: all of them to the owner and admins, the shared ones to others."""
    if caller.username != owner and not caller.is_admin:
        matching["visibility"] = "shared"
    return MODELS.list(owner, "mdl-", limit, cursor, **matching)


def download_url(version: ModelVersion, filename: str) -> str:
    """Return a presigned URL of one file; raises NotFound naming the files there are."""
    file = version.file(filename)
    if file is None:
        names = ", ".join(file.filename for file in version.files[:20]) or "none yet"
        raise NotFound(f"{version.model_id} {version.version} has no file {filename}; its files are {names}.")
    return uploads.download_url(variable("MODELS_BUCKET"), file.file_path, file.filename)


def next_version(owner: str, id: str, **fields: Any) -> ModelVersion:
    """Create the next version (v1, v2, ...) of `fields["model_id"]` under the id given, in status `uploading`.

    The id makes this safe to repeat: a version that exists under it is returned as it is.
    Raises Conflict when others keep registering the same model at the same moment.
    """
    try:
        return MODELS.get(owner, id)
    except NotFound:
        pass
    for _ in range(ATTEMPTS):
        latest = _pointer(owner, f"latest#{fields['model_id']}")
        number = latest["number"] + 1 if latest else 1
        version = ModelVersion(owner=owner, id=id, version=f"v{number}", status="uploading", **fields)
        try:
            transact(MODELS.creation(version), _name_taken(version), _latest(version, number))
        except Stale:
            continue
        return version
    raise Conflict(f"Many versions of {fields['model_id']} are being registered at once; try again.")


def register_trained(
    owner: str, id: str, source: tuple[str, str], report: dict[str, Any], results: TrainingResults, **fields: Any
) -> ModelVersion:
    """Make a registry version from a training job's artefact, and return it ready. Safe to repeat.

    `source` is (bucket, key) of model.tar.gz; `report` holds the small files that go beside it, by name.
    """
    version = next_version(owner, id, **fields)
    if version.status == "ready":
        return version
    bucket, prefix = variable("MODELS_BUCKET"), f"{owner}/{version.model_id}/{version.version}/"
    aws.client("s3").copy(
        CopySource={"Bucket": source[0], "Key": source[1]}, Bucket=bucket, Key=f"{prefix}model.tar.gz"
    )
    files = [_file(bucket, f"{prefix}model.tar.gz", "application/gzip", is_primary=True)]
    for name, content in report.items():
        _put_json(bucket, f"{prefix}{name}", content)
        files.append(_file(bucket, f"{prefix}{name}", "application/json"))
    changes = {
        "status": "ready",
        "files": files,
        "primary_file_path": files[0].file_path,
        "primary_metric": results.primary_metric,
        "metrics": results.metrics,
        "test_accuracy": results.metrics.get("test_accuracy"),
    }
    # The record beside its bytes, and before it is ready: the registry can be rebuilt from S3 alone.
    record = version.model_copy(update=changes).model_dump(mode="json", exclude={"holds", "revision"})
    _put_json(bucket, f"{prefix}registry.json", record)
    return MODELS.update(version, **changes)


def hold(version: ModelVersion, holder: str) -> Write:
    """Return the write by which an endpoint keeps a ready version from being deleted."""
    return MODELS.hold(version.owner, version.id, holder, "AND #status = :ready", {":ready": {"S": "ready"}})


def release(owner: str, id: str, holder: str) -> Write:
    """Return the write that ends a hold."""
    return MODELS.release(owner, id, holder)


def new_version_id() -> str:
    """Return an id for a version that is about to be registered."""
    return new_id("mdl")


def _put_json(bucket: str, key: str, content: Any) -> None:
    body = json.dumps(content, indent=1).encode()
    aws.client("s3").put_object(Bucket=bucket, Key=key, Body=body, ContentType="application/json")


def _file(bucket: str, key: str, content_type: str, is_primary: bool = False) -> ModelFile:
    digest, size = hashlib.sha256(), 0
    for chunk in aws.client("s3").get_object(Bucket=bucket, Key=key)["Body"].iter_chunks(CHUNK):
        digest.update(chunk)
        size += len(chunk)
    name = key.rsplit("/", 1)[-1]
    return ModelFile(
        filename=name,
        file_path=key,
        file_size=size,
        file_type="." + name.split(".", 1)[-1],
        file_hash=digest.hexdigest(),
        content_type=content_type,
        is_primary=is_primary,
    )


def _pointer(owner: str, id: str) -> dict[str, Any] | None:
    table = variable("MODELS_TABLE")
    answer = aws.client("dynamodb").get_item(TableName=table, Key=key(owner, id), ConsistentRead=True)
    return from_item(answer["Item"]) if "Item" in answer else None


def _name_taken(version: ModelVersion) -> Write:
    item = {"owner": version.owner, "id": f"name#{version.model_id}#{version.version}", "target": version.id}
    return Write.put(variable("MODELS_TABLE"), item, Stale("Model with this ID and version already exists"))


def _latest(version: ModelVersion, number: int) -> Write:
    """Return the write that makes `version` the latest, if `number - 1` still is."""
    update = {
        "TableName": variable("MODELS_TABLE"),
        "Key": key(version.owner, f"latest#{version.model_id}"),
        "UpdateExpression": "SET #number = :number, #target = :target",
        "ConditionExpression": "#number = :before" if number > 1 else "attribute_not_exists(id)",
        "ExpressionAttributeNames": {"#number": "number", "#target": "target"},
        "ExpressionAttributeValues": {":number": {"N": str(number)}, ":target": {"S": version.id}}
        | ({":before": {"N": str(number - 1)}} if number > 1 else {}),
    }
    return Write("Update", update, Stale("Another version was registered at the same moment."))

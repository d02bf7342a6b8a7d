"""The registry's tables made again from the manifests in S3, for when the tables are lost."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from lambdas.common import aws, waits
from lambdas.common.environment import variable
from lambdas.common.errors import Conflict
from lambdas.common.transactions import Write, transact
from lambdas.models import duplicates, manifest, overview, postings, search_index, storage, versions
from lambdas.models.manifest import Files
from lambdas.models.records import MODELS, pointers_to
from lambdas.models.schemas import ModelVersion

THREADS = 8
PAGE = 1_000  # objects looked at in one call


def restore_page(cursor: str | None) -> dict[str, Any]:
    """Restore the versions whose manifests are among the next objects of the bucket.

    Returns {"restored": how many, "cursor": where to go on, or None}. What is in the table already stays as it is.
    """
    bucket, after = variable("MODELS_BUCKET"), {"StartAfter": cursor} if cursor else {}
    page = aws.client("s3").list_objects_v2(Bucket=bucket, MaxKeys=PAGE, **after)
    keys = [found["Key"] for found in page.get("Contents", [])]
    with ThreadPoolExecutor(THREADS) as pool:
        restored = sum(pool.map(restore, [key for key in keys if key.endswith(f"/{manifest.NAME}")]))
    return {"restored": restored, "cursor": keys[-1] if page["IsTruncated"] else None}


def restore(manifest_key: str) -> bool:
    """Restore the version of one manifest, its pointers and its place in the index; return whether it was missing."""
    body = aws.client("s3").get_object(Bucket=variable("MODELS_BUCKET"), Key=manifest_key)["Body"].read()
    version, files = manifest.parse(body)
    if version.prefix + manifest.NAME != manifest_key:
        raise ValueError(f"{manifest_key} is the manifest of another version: {version.prefix}.")
    missing = store(version)
    postings.reserve(version.owner, version.ordinal)
    search_index.add(version)
    point_to(version, files)
    return missing


def store(version: ModelVersion) -> bool:
    """Store a record unless there is one; return whether there was none."""
    under_way = version.status in {"uploading", "scanning", "deleting"}
    try:
        shared = overview.sharing(None, version if version.status != "deleting" else None)
        MODELS.create(version, *shared, *storage.counting(version.owner, version.stored_bytes))
    except Conflict:
        return False
    if under_way:
        try:
            transact(waits.opening(version.id, version.owner))
        except Conflict:
            pass  # the table of waits was not lost
    return True


def point_to(version: ModelVersion, files: Files) -> None:
    """Write every pointer to a version that is missing."""
    for pointer in pointers_to(version):
        item = {"owner": version.owner, "id": pointer, "target": version.id}
        try:
            transact(Write.put(variable("MODELS_TABLE"), item, Conflict(f"{pointer} is there.")))
        except Conflict:
            continue  # and people may have moved it since this manifest was read
    versions.count_at_least(version.owner, version.model_id, version.version)
    if version.status in versions.WITH_FILES:
        versions.make_latest(version)
    duplicates.remember(version, files)

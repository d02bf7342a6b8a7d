"""How the artefact of a training job becomes a version: copied inside S3, hashed, listed in its manifest."""

import hashlib
import json
import zlib
from typing import Any

from lambdas.common import aws, waits
from lambdas.common.environment import variable
from lambdas.common.errors import NotFound, Stale
from lambdas.models import manifest, storage, versions
from lambdas.models.records import MODELS
from lambdas.models.schemas import Evaluation, MetricRange, ModelVersion, StoredFile, TrainingResults

ARCHIVE = "model.tar.gz"
CHUNK = 8 * 1024 * 1024
MAX_EVALUATIONS = 20  # of one version: they lie in its record


def register_trained(
    owner: str, id: str, source: tuple[str, str], report: dict[str, Any], results: TrainingResults, **fields: Any
) -> ModelVersion:
    """Make the next version of `fields["model_id"]` from a training job's artefact, and return it ready.

    `source` is (bucket, key) of model.tar.gz; `report` holds the small files that go beside it, by name. The id makes
    this safe to repeat: what an earlier try stored under it is taken up.
    """
    try:
        version = MODELS.get(owner, id)
    except NotFound:
        version = versions.create(owner, "auto", id, **fields)
    if version.status == "ready":
        return version
    bucket = variable("MODELS_BUCKET")
    archive = version.prefix + ARCHIVE
    aws.client("s3").copy(CopySource={"Bucket": source[0], "Key": source[1]}, Bucket=bucket, Key=archive)
    files = [stored_file(version, ARCHIVE, "application/gzip", is_primary=True)]
    for name, content in report.items():
        body = json.dumps(content, indent=1).encode()
        aws.client("s3").put_object(Bucket=bucket, Key=version.prefix + name, Body=body, ContentType="application/json")
        files.append(stored_file(version, name, "application/json"))
    size = sum(file.file_size for file in files)
    version = MODELS.settle(
        version,
        waits.closing(id),
        *storage.counting(owner, size),
        unless=lambda version: version.status != "uploading",
        status="ready",
        file_count=len(files),
        size_bytes=size,
        stored_bytes=size,
        primary_file_path=archive,
        model_archive=archive,
        primary_metric=results.primary_metric,
        metrics=results.metrics,
        metric_ranges=ranges_of(results),
        test_accuracy=results.metrics.get("test_accuracy"),
    )
    versions.make_latest(version)
    manifest.write(version, lambda _: files)
    return version


def record_evaluation(owner: str, id: str, evaluation: Evaluation) -> None:
    """Keep with a version what it came to on a dataset, in place of what it came to there before. Safe to repeat."""

    def on(one: Evaluation) -> tuple[str, int]:
        return one.dataset_id, one.dataset_version

    while True:
        version = MODELS.get(owner, id)
        others = [one for one in version.evaluations if on(one) != on(evaluation)]
        try:
            version = MODELS.update(version, evaluations=[*others, evaluation][-MAX_EVALUATIONS:])
        except Stale:
            continue
        manifest.write(version)
        return


def ranges_of(results: TrainingResults) -> dict[str, MetricRange]:
    """Return the last, least and greatest value of every figure that was logged while the model trained."""
    logged: dict[str, list[float]] = {}
    for entry in results.history:
        for name, value in entry.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                logged.setdefault(name, []).append(float(value))
    for name, value in results.metrics.items():
        logged.setdefault(name, []).append(value)
    return {
        name: MetricRange(last=values[-1], min=min(values), max=max(values))
        for name, values in logged.items()
        if name not in {"epoch", "step"}
    }


def stored_file(version: ModelVersion, name: str, content_type: str, is_primary: bool = False) -> StoredFile:
    """Return the entry of an object that we wrote, read once for its hashes."""
    digest, crc32, size = hashlib.sha256(), 0, 0
    path = version.prefix + name
    for chunk in aws.client("s3").get_object(Bucket=variable("MODELS_BUCKET"), Key=path)["Body"].iter_chunks(CHUNK):
        digest.update(chunk)
        crc32 = zlib.crc32(chunk, crc32)
        size += len(chunk)
    return StoredFile(
        filename=name,
        file_path=path,
        file_size=size,
        file_type="." + name.split(".", 1)[-1],
        file_hash=digest.hexdigest(),
        content_type=content_type,
        is_primary=is_primary,
        crc32=crc32,
        scanned=True,
    )

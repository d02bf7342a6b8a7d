"""From what processing left in S3 to what a version is: its report, checked, becomes the manifest and the record."""

from typing import Any

from pydantic import ValidationError

from lambdas.common.environment import variable
from lambdas.common.errors import NotFound
from lambdas.common.observability import logger
from lambdas.datasets import files
from lambdas.datasets.profile import Found, Profile
from lambdas.datasets.records import DATASETS
from lambdas.datasets.schemas import Filename, Manifest, StoredFile, Version

REPORT = f"{files.PROCESSED}report.json"
NO_REPORT = "Processing was interrupted before it could say what it found; upload the files again as a new version."


class ReportedFile(Found):
    """A file that processing read or wrote."""

    filename: Filename
    size: int
    sha256: str


class Report(Profile):
    """report.json: what processing found, or why it refused."""

    schema_version: int
    refused: str | None
    files: list[ReportedFile]
    converted: list[ReportedFile]
    preview: dict[str, Any]


def outcome(version: Version) -> dict[str, Any]:
    """Return what the record says once processing is over; the manifest of a ready version is written before that."""
    try:
        report = Report.model_validate_json(files.read(version.prefix + REPORT))
    except NotFound:
        return {"status": "failed", "reason": NO_REPORT}
    except ValidationError:
        logger.exception("a report that cannot be read", extra={"id": version.id})
        return {"status": "failed", "reason": "Processing gave a report that cannot be read: tell an operator."}
    if report.refused:
        return {"status": "failed", "reason": report.refused[:2000]}
    manifest = manifest_of(version, report)
    files.write(version.prefix + files.MANIFEST, manifest.model_dump_json(indent=1).encode())
    profile = manifest.profile
    return {"status": "ready", "sha256": manifest.sha256, "rows": profile.rows, "columns": len(profile.columns)}


def manifest_of(version: Version, report: Report) -> Manifest:
    """Return the manifest of a version; its files are those that were uploaded, with the hashes of what was read."""
    dataset = DATASETS.get(version.owner, version.dataset_id)
    hashes = {file.filename: file.sha256 for file in report.files}
    stored = [file.model_copy(update={"sha256": hashes.get(file.filename)}) for file in files.listed(version)]
    converted = [
        StoredFile(
            filename=file.filename,
            size=file.size,
            sha256=file.sha256,
            bucket=variable("DATASETS_BUCKET"),
            key=f"{version.prefix}{files.CONVERTED}{file.filename}",
        )
        for file in report.converted
    ]
    return Manifest(
        **dataset.model_dump(include={"owner", "name", "description", "type", "format", "tags"}),
        dataset_id=dataset.id,
        version=version.version,
        source=version.source,
        sha256=files.digest(stored),
        created_at=version.created_at,
        files=stored,
        converted=converted,
        profile=Profile.model_validate(report.model_dump(include=set(Profile.model_fields))),
    )

"""What happens to model versions off-stage: the steps of `scan`, the ZIP of a version, and keeping records true."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from lambdas.common import uploads, waits, workflows
from lambdas.common.environment import variable
from lambdas.common.errors import NotFound
from lambdas.common.observability import logger
from lambdas.models import archive as archives
from lambdas.models import (
    deletion,
    downloads,
    duplicates,
    imports,
    manifest,
    scan,
    search_index,
    storage,
    upload,
    versions,
)
from lambdas.models.rebuild import restore_page
from lambdas.models.records import MODELS
from lambdas.models.schemas import ModelVersion, StoredFile

Event = dict[str, Any]
BATCH = 12  # files a step: their reports are at most 16 KB each, of the 256 KB that a workflow carries
SCAN_SECONDS = 7_200  # more than a step takes at its slowest, with four scanners at a time and one retry each
UPLOAD_DAYS = 7  # the bucket's lifecycle gives up an unfinished upload after as many
NOT_UPLOADED = f"The upload was not completed within {UPLOAD_DAYS} days; delete this version and begin again."
INTERRUPTED = "The scan was interrupted; delete this version and upload it again."


# ------------------------------------------------------------------------------------------------------ scan


def process(event: Event, context: Any) -> dict[str, Any]:
    """One step of `scan`: {"step": "next" | "record" | "finish", "owner", "id"} and what the step needs."""
    nothing = {"owner": event["owner"], "id": event["id"], "files": []}
    try:
        version = MODELS.get(event["owner"], event["id"])
    except NotFound:
        logger.info("deleted meanwhile", extra={"id": event["id"]})
        return nothing
    if version.status in STATUSES[event["step"]]:
        nothing["files"] = STEPS[event["step"]](version, event) or []
    return nothing


def next_files(version: ModelVersion, event: Event) -> list[dict[str, Any]]:
    """Return the next files to scan, each with the URL by which the scanner reads it and nothing else."""
    copies = {file.filename: file.copy_of for file in upload.read_plan(version) if file.copy_of}

    def arrived(file: StoredFile) -> StoredFile:
        if file.filename in copies:
            duplicates.copy(copies[file.filename], file.file_path)
        size, crc32 = uploads.checksum_of(variable("MODELS_BUCKET"), file.file_path)
        return file.model_copy(update={"file_size": size, "crc32": crc32})

    waiting = [file for file in manifest.files_of(version) if not file.scanned][:BATCH]
    found = {file.filename: arrived(file) for file in waiting if file.crc32 is None}
    if found:
        manifest.write(version, lambda files: [found.get(file.filename, file) for file in files])
    return [
        {"filename": file.filename, "size": file.file_size, "url": url_of(file)}
        for file in (found.get(file.filename, file) for file in waiting)
    ]


def url_of(file: StoredFile) -> str:
    """Return a presigned URL of one file, by which the scanner reads it and nothing else."""
    return uploads.download_url(variable("MODELS_BUCKET"), file.file_path, "file", SCAN_SECONDS)


def record(version: ModelVersion, event: Event) -> None:
    """Store what the scanner said of some files."""
    reports = {report["filename"]: report for report in event["reports"]}
    files = manifest.write(version, lambda files: [scan.scanned(file, reports.get(file.filename)) for file in files])
    duplicates.remember(version, [file for file in files if file.filename in reports])


def finish(version: ModelVersion, event: Event) -> None:
    """Store the verdict on a version whose files are all scanned, and what they say of the model.

    Does what the requests that registered and completed it may not have lived to do. Safe to repeat.
    """
    if not version.indexed:
        search_index.add(version)
    versions.make_latest(version)
    outcome = scan.outcome(version, manifest.files_of(version))
    manifest.store(
        version,
        waits.closing(version.id),
        *storage.counting(version.owner, outcome["size_bytes"]),
        unless=lambda version: version.status != "scanning",
        **outcome,
        stored_bytes=outcome["size_bytes"],
    )


STEPS: dict[str, Callable[[ModelVersion, Event], list[dict[str, Any]] | None]] = {
    "next": next_files,
    "record": record,
    "finish": finish,
}
# Of the version that a step takes; a `finish` that died after its change of the record has the manifest to write still.
STATUSES = {"next": {"scanning"}, "record": {"scanning"}, "finish": {"scanning", "ready", "blocked"}}


# ---------------------------------------------------------------------------------------------------- import


def import_files(event: Event, context: Any) -> dict[str, Any]:
    """One step of `import`: {"owner", "id"} brings files, with {"error"} gives up. Returns whether all is `done`."""
    answer = {"owner": event["owner"], "id": event["id"], "done": True}
    try:
        version = MODELS.get(event["owner"], event["id"])
    except NotFound:
        logger.info("deleted meanwhile", extra={"id": event["id"]})
        return answer
    if version.status != "uploading":
        return answer
    if "error" in event:
        imports.fail(version, event["error"])
        return answer
    return answer | {"done": imports.bring(version, lambda: context.get_remaining_time_in_millis() / 1000)}


# --------------------------------------------------------------------------------------------------- archive


def archive(event: Event, context: Any) -> None:
    """Make the ZIP of a version inside S3: {"owner", "id"}."""
    version = MODELS.get(event["owner"], event["id"])
    members = downloads.members(manifest.files_of(version))
    archives.make(variable("MODELS_BUCKET"), members, archives.archive_key(version.prefix, members))


# --------------------------------------------------------------------------------------------------- recover


def recover(event: Event, context: Any) -> None:
    """Bring versions that are under way into the state they should be in.

    Takes an EventBridge event: "Step Functions Execution Status Change" names one version, the schedule means all.
    """
    named = "mdl-"
    if event.get("source") == "aws.states":
        workflows.broke(event)
        named = event["detail"]["name"][: len("mdl-") + 19]
    waits.reconcile_all(named, reconcile)


def reconcile(owner: str, id: str) -> None:
    """Finish, start again or give up one version that is under way, whatever it got stuck in."""
    try:
        version = MODELS.get(owner, id)
    except NotFound:
        logger.warning("a wait without a version", extra={"id": id})
        return
    if version.status == "deleting":
        deletion.finish(version)
    elif version.status == "uploading":
        reconcile_upload(version)
    elif version.status == "scanning":
        reconcile_scan(version)


def reconcile_upload(version: ModelVersion) -> None:
    """Fail an upload that nobody goes on with; take away what a request or a job left when it died."""
    planned = upload.read_plan(version)
    if planned and version.source:
        imports.reconcile(version)
        return
    patience = timedelta(days=UPLOAD_DAYS) if planned or version.job_id else upload.REQUEST_TIME
    if version.age < patience:
        return
    if not planned:
        deletion.finish(deletion.begin(version))
        return
    upload.abort(version)
    manifest.store(version, waits.closing(version.id), status="failed", reason=NOT_UPLOADED)


def reconcile_scan(version: ModelVersion) -> None:
    """Start a scan that never began; fail a version whose scan ended without saying how."""
    execution = workflows.execution("SCAN_WORKFLOW_ARN", version.id)
    if execution["status"] == "ABSENT":
        workflows.start("SCAN_WORKFLOW_ARN", version.owner, version.id)
    elif execution["status"] != "RUNNING":
        manifest.store(version, waits.closing(version.id), status="failed", reason=INTERRUPTED)


# --------------------------------------------------------------------------------------------------- rebuild


def rebuild(event: Event, context: Any) -> dict[str, Any]:
    """Restore the next versions from their manifests: {"cursor": null or the last answer's}."""
    return restore_page(event.get("cursor"))

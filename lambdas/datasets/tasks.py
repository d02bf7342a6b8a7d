"""What happens to datasets off-stage: the workflow's `process` step, and the reconciliation of what got stuck."""

from datetime import timedelta
from typing import Any

from lambdas.common import uploads, waits, workflows
from lambdas.common.environment import variable
from lambdas.common.errors import NotFound
from lambdas.common.observability import logger
from lambdas.datasets import csv_file, service, storage
from lambdas.datasets.csv_file import InvalidFile
from lambdas.datasets.profile import profile
from lambdas.datasets.schemas import ColumnSummary, Dataset, Manifest, Preview, Profile, Summary

UPLOAD_DAYS = 7  # the bucket's lifecycle gives up an unfinished upload after as many
INTERRUPTED = "Processing was interrupted; delete this dataset and upload the file again."
TOO_SLOW = "Processing took too long; delete this dataset and upload the file in smaller pieces, as one dataset each."
NOT_UPLOADED = f"The upload was not completed within {UPLOAD_DAYS} days; create a dataset anew to try again."


def process(event: dict[str, str], context: Any) -> dict[str, str]:
    """Check and profile a dataset's file: `processing` becomes `ready`, or `failed` with what to change.

    Event: {"owner", "id"}. Doing it again, or for a dataset that is gone, does no harm. Raises for what a retry may
    cure, such as a broken connection.
    """
    owner, id = event["owner"], event["id"]
    try:
        dataset = service.DATASETS.get(owner, id)
    except NotFound:
        logger.info("deleted meanwhile", extra={"id": id})
        return event
    if dataset.status != "processing":
        return event
    try:
        manifest, preview = examine(dataset)
    except InvalidFile as error:
        service.settle(owner, id, since="processing", status="failed", reason=str(error))
        logger.info("dataset refused", extra={"id": id})
        return event
    # Beside the file before the record says ready: never ready without them.
    folder = service.folder(owner, id)
    storage.write_json(folder + storage.PREVIEW, preview.model_dump_json())
    storage.write_json(folder + storage.MANIFEST, manifest.model_dump_json())
    service.settle(
        owner, id, since="processing", status="ready", sha256=manifest.sha256, profile=summary(manifest.profile)
    )
    logger.info("dataset ready", extra={"id": id, "rows": manifest.profile.rows})
    return event


def examine(dataset: Dataset) -> tuple[Manifest, Preview]:
    """Read the file once, and a second time only if late bytes show that it is not UTF-8; raises InvalidFile."""
    try:
        return examine_as(dataset, encoding=None)
    except UnicodeDecodeError:
        pass
    try:
        return examine_as(dataset, encoding="cp1252")
    except UnicodeDecodeError as error:
        raise InvalidFile("The file is not text in UTF-8, UTF-16 or Latin-1: save it as CSV in UTF-8.") from error


def examine_as(dataset: Dataset, encoding: str | None) -> tuple[Manifest, Preview]:
    """Return manifest and first rows of a file in an encoding; raises InvalidFile, UnicodeDecodeError."""
    raw, stream = storage.open_file(dataset.key)
    dialect = csv_file.sniff(stream.peek(), encoding)
    count, columns, preview = profile(csv_file.rows(stream, dialect))
    found = Profile(rows=count, encoding=dialect.encoding, delimiter=dialect.delimiter, columns=columns)
    fields = dataset.model_dump(include=set(Manifest.model_fields) - {"schema_version", "sha256", "profile"})
    return Manifest(**fields, sha256=raw.sha256(), profile=found), preview


def summary(found: Profile) -> Summary:
    """Return what the record keeps of a profile."""
    columns = [ColumnSummary.model_validate(column.model_dump()) for column in found.columns]
    return Summary(rows=found.rows, columns=columns)


def recover(event: dict[str, Any], context: Any) -> None:
    """Bring datasets that are under way into the state they should be in.

    Takes an EventBridge event: "Step Functions Execution Status Change" of `process` names one dataset, the schedule
    means all. Nothing depends on the first arriving.
    """
    waits.reconcile_all(event["detail"]["name"] if event.get("source") == "aws.states" else "ds-", reconcile)


def reconcile(owner: str, id: str) -> None:
    """Finish, start again or give up one dataset that is under way, whatever it got stuck in."""
    try:
        dataset = service.DATASETS.get(owner, id)
    except NotFound:
        service.sweep(owner, id)
        return
    if dataset.status == "uploading" and dataset.age > timedelta(days=UPLOAD_DAYS):
        uploads.abort(variable("DATASETS_BUCKET"), dataset.key, dataset.upload_id)
        service.settle(owner, id, since="uploading", status="failed", reason=NOT_UPLOADED)
    if dataset.status == "processing":
        reconcile_processing(owner, id)


def reconcile_processing(owner: str, id: str) -> None:
    """Start processing that never began; fail a dataset whose execution ended without saying how."""
    execution = workflows.execution("PROCESS_WORKFLOW_ARN", id)
    if execution["status"] == "ABSENT":
        workflows.start("PROCESS_WORKFLOW_ARN", owner, id)
    elif execution["status"] != "RUNNING":
        reason = TOO_SLOW if execution.get("error") == "States.Timeout" else INTERRUPTED
        service.settle(owner, id, since="processing", status="failed", reason=reason)

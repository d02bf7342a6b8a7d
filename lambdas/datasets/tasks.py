"""What happens to datasets off-stage: the workflow's steps, and the reconciliation of what got stuck.

What processing reads is strangers' bytes: it runs apart, with no access to records (`lambdas/processing`), and the
steps here only believe what its report may say.
"""

import json
from datetime import timedelta
from typing import Any

from lambdas.common import aws, waits, workflows
from lambdas.common.environment import optional, variable
from lambdas.common.errors import NotFound
from lambdas.common.observability import logger
from lambdas.datasets import files, imports, processing_request, report, service, versions
from lambdas.datasets.processing_request import REQUEST, Deployment
from lambdas.datasets.records import DATASETS, VERSIONS
from lambdas.datasets.schemas import Version

Event = dict[str, Any]
UPLOAD_DAYS = 7  # the bucket's lifecycle gives up an unfinished upload after as many
REQUEST_TIME = timedelta(minutes=15)  # far more than a request lives: half a minute
NOT_UPLOADED = f"The upload was not completed within {UPLOAD_DAYS} days; begin a new version to try again."
NOT_BEGUN = "The request that began this version was interrupted; begin a new one."
OVER = {"Completed", "Failed", "Stopped"}
JOB_ENDED = "ProcessingJob"  # and its status: what the workflow is told as the error of a job that did not complete


# --------------------------------------------------------------------------------------------------- process


def process(event: Event, context: Any) -> Event:
    """A step of the workflow: {"step": "prepare" | "finish", "owner", "id"}, and for `finish` the `error`, if any."""
    answer = {"owner": event["owner"], "id": event["id"], "way": "none"}
    try:
        version = VERSIONS.get(event["owner"], event["id"])
    except NotFound:
        logger.info("deleted meanwhile", extra={"id": event["id"]})
        return answer
    if version.status != "processing":
        return answer
    if event["step"] == "prepare":
        return answer | prepare(version)
    finish(version, event.get("error"))
    return answer


def prepare(version: Version) -> Event:
    """Store what processing is asked, and say which way it goes: copied first, read by a function, or by a job."""
    stored, bucket = files.listed(version), variable("DATASETS_BUCKET")
    if version.source and version.source.mode == "copy" and any(file.bucket != bucket for file in stored):
        stored = imports.targets(version, stored)
        if not imports.are_copied(version, stored):
            return {"way": "copy"}
        files.write_list(version, stored)
    request = processing_request.request(version, stored)
    files.write(version.prefix + REQUEST, request.model_dump_json().encode())
    way = "function" if version.size <= int(variable("PROCESSING_FUNCTION_BYTES")) else "job"
    VERSIONS.settle(version, unless=lambda version: version.status != "processing", processed_by=way)
    return {"way": way, "bucket": bucket, "request": version.prefix + REQUEST}


def finish(version: Version, error: dict[str, Any] | None = None) -> None:
    """Store how processing ended: by its report where it left one, else by the workflow's error."""
    found = report.outcome(version)
    if found["status"] == "failed" and found["reason"] == report.NO_REPORT and error:
        found["reason"] = reason_of(error)
    versions.settle(version, since="processing", ends=True, **found)
    logger.info("processed", extra={"id": version.id, "status": found["status"]})


def reason_of(error: dict[str, Any]) -> str:
    """Return what a workflow's error means to the dataset's owner."""
    if error.get("Error") == "SourceChanged":
        return json.loads(error["Cause"])["errorMessage"]
    if error.get("Error") in {"States.Timeout", "Sandbox.Timedout"} or "timed out" in str(error.get("Cause")):
        return "Processing took too long; split the data into several datasets, or a version of fewer files."
    if "memory" in str(error.get("Cause")).lower() or error.get("Error") == "Runtime.OutOfMemory":
        return "Processing ran out of memory on these files; split them into smaller ones."
    if str(error.get("Error")).startswith(JOB_ENDED):
        return f"Processing failed: {error['Cause']}"[:1000]
    return report.NO_REPORT


def copy(event: Event, context: Any) -> None:
    """Copy a version's files from the bucket that they were found in: {"owner", "id"}; raises SourceChanged."""
    version = VERSIONS.get(event["owner"], event["id"])
    imports.copy(version, files.listed(version))


# ------------------------------------------------------------------------------------------------------- job


def submit(event: Event, context: Any) -> None:
    """Start the SageMaker job of a large version: {"owner", "id", "token"}; the workflow waits for the token.

    A job of that name that runs already is the one that an earlier try started.
    """
    version = VERSIONS.get(event["owner"], event["id"])
    waits.keep_token(version.id, event["token"])
    if version.source and version.source.mode == "reference":
        uri = version.source.s3_uri
    else:
        uri = f"s3://{variable('DATASETS_BUCKET')}/{version.prefix}{files.FILES}"
    request = processing_request.create_processing_job(version, uri, deployment())
    try:
        aws.client("sagemaker").create_processing_job(**request)
    except Exception as error:
        if aws.error_code(error) != "ResourceInUse":
            raise


def deployment() -> Deployment:
    """Return what this stage gives every processing job."""
    vpc = optional("VPC_CONFIG")
    return Deployment(
        stage=variable("STAGE"),
        bucket=variable("DATASETS_BUCKET"),
        role_arn=variable("PROCESSING_ROLE_ARN"),
        image=variable("PROCESSING_IMAGE"),
        instance_type=variable("PROCESSING_INSTANCE_TYPE"),
        vpc=json.loads(vpc) if vpc else None,
        kms_key_arn=optional("KMS_KEY_ARN"),
    )


# --------------------------------------------------------------------------------------------------- recover


def recover(event: Event, context: Any) -> None:
    """Bring datasets that are under way into the state they should be in.

    Takes an EventBridge event: "Step Functions Execution Status Change" and "SageMaker Processing Job State Change"
    name one version, the schedule means all. Nothing depends on the first two arriving.
    """
    detail, source = event.get("detail", {}), event.get("source")
    if source == "aws.states":
        workflows.broke(event)
    named = {"aws.states": detail.get("name"), "aws.sagemaker": detail.get("ProcessingJobName")}.get(source or "")
    waits.reconcile_all(named or "ds", reconcile)


def reconcile(owner: str, id: str) -> None:
    """Finish, start again or give up what is under way: a version, or the deletion of a dataset."""
    if id.startswith("ds-"):
        reconcile_deletion(owner, id)
        return
    try:
        version = VERSIONS.get(owner, id)
        DATASETS.get(owner, version.dataset_id)
    except NotFound:
        logger.info("its dataset is being deleted", extra={"id": id})
        return
    if version.status == "uploading":
        reconcile_upload(version)
    elif version.status == "processing":
        reconcile_processing(version)


def reconcile_deletion(owner: str, id: str) -> None:
    """Remove what a deleted dataset left."""
    try:
        DATASETS.get(owner, id)
    except NotFound:
        versions.sweep(owner, id)


def reconcile_upload(version: Version) -> None:
    """Go on with data that is in S3 already; fail an upload that nobody began or goes on with."""
    stored = files.listed(version)
    if stored and version.source:
        service.submit(version)
        return
    if version.age < (timedelta(days=UPLOAD_DAYS) if stored else REQUEST_TIME):
        return
    files.abort_uploads(stored)
    reason = NOT_UPLOADED if stored else NOT_BEGUN
    versions.settle(
        version,
        since="uploading",
        ends=True,
        release=version.stored_bytes,
        status="failed",
        reason=reason,
        stored_bytes=0,
    )


def reconcile_processing(version: Version) -> None:
    """Start processing that never began; answer the workflow for a job that is over; end what nobody works on."""
    execution = workflows.execution(service.PROCESS, version.id)
    if execution["status"] == "ABSENT":
        workflows.start(service.PROCESS, version.owner, version.id)
    elif execution["status"] == "RUNNING":
        if version.processed_by == "job":
            watch_job(version)
    else:
        finish(version, {"Error": execution.get("error"), "Cause": execution.get("cause")})


def watch_job(version: Version) -> None:
    """Tell the workflow that waits for a version's job how that stands; there may be none yet."""
    sagemaker = aws.client("sagemaker")
    try:
        job = sagemaker.describe_processing_job(ProcessingJobName=version.id)
    except Exception as error:
        if aws.error_code(error) not in {"ValidationException", "ResourceNotFound"}:
            raise
        return
    status = job["ProcessingJobStatus"]
    if status == "Completed":
        waits.succeed(version.id, {"status": status})
    elif status in OVER:
        waits.fail(version.id, f"{JOB_ENDED}{status}", job.get("ExitMessage") or job.get("FailureReason") or status)
    else:
        waits.heartbeat(version.id)

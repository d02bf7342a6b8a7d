"""What datasets go through. The tasks are invoked as their workflow and their events would."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests

from lambdas.common.ids import new_id
from lambdas.common.items import to_item
from lambdas.datasets.files import FILES, LIST, LISTED, MANIFEST
from lambdas.datasets.processing_request import REQUEST, request
from lambdas.datasets.records import version_id
from lambdas.datasets.report import REPORT
from lambdas.datasets.schemas import Dataset, Manifest, Shape, StoredFile, Version
from tests.journeys.checks.world import NO_TOKEN, CheckFailed, World, expect, unless, until

CONTENT = b"x,y\n1,2\n3,4\n"
FILENAME = "rows.csv"
NEW = {"name": "Check", "type": "tabular", "format": "csv"}
IMPORTS = "slipway-imports"  # the bucket that the stage `local` allows
LARGE = 2 * 1024**3  # bytes; more than a function reads
PART = 8 * 1024 * 1024  # larger objects are copied in parts
LONG_AGO = "2020-01-01T00:00:00.000Z"
AT_ONCE = "ml.m5.2xlarge"  # a machine that there is


# ---------------------------------------------------------------------------------------------- what is there


def imported(world: World, content: bytes = CONTENT) -> StoredFile:
    """Store a file in the bucket that others' data comes from, and return it as it is found there."""
    if IMPORTS not in [bucket["Name"] for bucket in world.s3.list_buckets()["Buckets"]]:
        world.s3.create_bucket(Bucket=IMPORTS)
    key = f"{secrets.token_hex(8)}/{FILENAME}"
    etag = world.s3.put_object(Bucket=IMPORTS, Key=key, Body=content)["ETag"]
    return StoredFile(filename=FILENAME, size=len(content), bucket=IMPORTS, key=key, etag=etag)


def source_of(file: StoredFile, mode: str) -> dict[str, str]:
    """Return what a version says of the file in another bucket that it was made of."""
    return {"s3_uri": f"s3://{file.bucket}/{file.key}", "mode": mode}


@contextmanager
def version(
    world: World, status: str, found: StoredFile | None = None, mode: str = "copy", **fields: Any
) -> Iterator[Version]:
    """A version of one file under way, here or `found` elsewhere, and its dataset; nothing of them is left behind."""
    made = new_version(world, status=status, source=source_of(found, mode) if found else None, **fields)
    file = found or own_file(world, made)
    if not found:
        put(world, file.key, CONTENT)
    put(world, made.prefix + LIST, LISTED.dump_json([file]))
    put(world, made.prefix + REQUEST, request(made, [file]).model_dump_json().encode())
    named = {"owner": made.owner, "id": made.dataset_id, "name": "Check", "type": made.type, "format": made.format}
    dataset = Dataset.model_validate(named | made.model_dump(include=set(Shape.model_fields)))
    for record in (dataset, made):
        world.records.restore("datasets", to_item(record))
    world.records.open_wait(made.owner, made.id)
    try:
        yield made
    finally:
        forget(world, made)


def new_version(world: World, **fields: Any) -> Version:
    """Return the first version of a dataset of the owner's that is stored nowhere yet."""
    dataset = new_id("ds")
    named = {"owner": world.user_id, "id": version_id(dataset, 1), "dataset_id": dataset, "version": 1}
    kind = {"type": "tabular", "format": "csv", "size": len(CONTENT), "stored_bytes": 0, "file_count": 1}
    return Version.model_validate(named | kind | fields)


def own_file(world: World, version: Version) -> StoredFile:
    """Return the file of a version at its own place."""
    key = f"{version.prefix}{FILES}{FILENAME}"
    return StoredFile(filename=FILENAME, size=len(CONTENT), bucket=world.datasets_bucket, key=key)


def put(world: World, key: str, content: bytes) -> None:
    world.s3.put_object(Bucket=world.datasets_bucket, Key=key, Body=content)


def put_report(world: World, version: Version) -> None:
    """Store what processing reports: of the world's dataset, whose file has the same name."""
    home = f"{world.user_id}/{world.dataset['id']}/v0001/"
    source = {"Bucket": world.datasets_bucket, "Key": home + REPORT}
    world.s3.copy_object(Bucket=world.datasets_bucket, Key=version.prefix + REPORT, CopySource=source)


def put_manifest(world: World, version: Version, file: StoredFile) -> None:
    """Store the manifest that a ready version has: that of the world's dataset, of another file."""
    home = f"{world.user_id}/{world.dataset['id']}/v0001/"
    stored = world.s3.get_object(Bucket=world.datasets_bucket, Key=home + MANIFEST)["Body"].read()
    manifest = Manifest.model_validate_json(stored).model_copy(update={"files": [file], "source": version.source})
    put(world, version.prefix + MANIFEST, manifest.model_dump_json().encode())


def forget(world: World, version: Version) -> None:
    """Remove a version: its job, its records, its waits, its execution."""
    if job_status(world, version.id) == "InProgress":
        world.sagemaker.stop_processing_job(ProcessingJobName=version.id)
    token = world.records.token_of(version.id)
    for id in (version.id, version.dataset_id):
        world.records.delete("datasets", version.owner, id)
        world.records.close_wait(id)
    execution = world.execution("Process", version.id)
    if execution and execution["status"] == "RUNNING" and token:
        with unless("not found"):  # not aborted: the emulator tries a task that waits again after that
            world.stepfunctions.send_task_failure(taskToken=token, error="ProcessingJobStopped", cause="Over.")
    else:
        world.abort("Process", version.id)


def job_status(world: World, name: str) -> str | None:
    """Return what SageMaker says of a processing job, or None when there is none."""
    found = world.sagemaker.list_processing_jobs(NameContains=name)["ProcessingJobSummaries"]
    return found[0]["ProcessingJobStatus"] if found else None


def status_of(world: World, version: Version) -> str:
    return world.record("datasets", version.id)["status"]


def uploads_of(world: World, version: Version) -> list[dict[str, Any]]:
    """Return the uploads of a version's files that are neither completed nor given up."""
    left = world.s3.list_multipart_uploads(Bucket=world.datasets_bucket).get("Uploads", [])
    return [upload for upload in left if upload["Key"].startswith(version.prefix)]


# ---------------------------------------------------------------------------------------------------- the API


def dataset_lifecycle(world: World) -> None:
    """A dataset is uploaded, processed, read, changed and deleted; another's upload is given up."""
    api = world.owner
    id = api.upload(CONTENT, FILENAME, name="Check")["id"]
    path = f"/datasets/{id}"
    until(lambda: api.call("GET", path)["status"] == "ready", "the dataset is ready", seconds=30)
    expect(id in [found["id"] for found in api.call("GET", "/datasets")["items"]], "it is listed")
    api.call("PATCH", path, {"description": "Changed."})
    expect(world.admin.call("GET", path)["description"] == "Changed.", "an admin reads the change")
    expect(api.call("GET", f"{path}/preview")["rows"] != [], "it has a preview")
    url = api.call("GET", f"{path}/download")["files"][0]["url"]
    expect(requests.get(url, timeout=10).content == CONTENT, "its file is downloaded")
    api.call("DELETE", path)
    expect(world.keys(world.datasets_bucket, f"{world.user_id}/{id}/") == [], "its files are gone")
    unfinished = api.call("POST", "/datasets", NEW | {"files": [{"filename": FILENAME, "size": len(CONTENT)}]})
    api.upload_parts(CONTENT, unfinished["uploads"][FILENAME])
    api.call("DELETE", f"/datasets/{unfinished['id']}")


def dataset_by_reference(world: World) -> None:
    """A dataset is found in another bucket, and its file downloaded from there."""
    api, found = world.owner, imported(world)
    id = api.call("POST", "/datasets", NEW | {"source": source_of(found, "reference")})["id"]
    (file,) = api.call("GET", f"/datasets/{id}/download")["files"]
    expect(requests.get(file["url"], timeout=10).content == CONTENT, "its file is downloaded")
    until(lambda: api.call("GET", f"/datasets/{id}")["status"] == "ready", "the dataset is ready", seconds=30)
    api.call("DELETE", f"/datasets/{id}")


# --------------------------------------------------------------------------------------------------- the steps


def dataset_processing(world: World) -> None:
    """The steps of the workflow ask for the reading of what was copied, store what it says, and end the wait."""
    with version(world, "processing", imported(world)) as made:
        steps = [{"step": "prepare"}, {"step": "finish"}]
        prepare, finish = (world.event(made.id) | step for step in steps)
        expect(world.invoke("datasets_process", prepare)["way"] == "copy", "it is to be copied")
        put(world, own_file(world, made).key, CONTENT)
        expect(world.invoke("datasets_process", prepare)["way"] == "function", "it is to be read")
        put_report(world, made)
        world.invoke("datasets_process", finish)
        expect(status_of(world, made) == "ready", "the version is ready")
        expect(made.prefix + MANIFEST in world.keys(world.datasets_bucket, made.prefix), "its manifest is stored")
        expect(not world.records.waits_for(made.id), "nobody waits for it any more")


def dataset_import(world: World) -> None:
    """A file is copied from another bucket."""
    with version(world, "processing", imported(world)) as made:
        world.invoke("datasets_import", world.event(made.id))
        expect(own_file(world, made).key in world.keys(world.datasets_bucket, made.prefix), "the file is copied")


def import_given_up(world: World) -> None:
    """A large file whose copy fails half way leaves no parts behind."""
    with version(world, "processing", imported(world, bytes(2 * PART))) as made:
        why = ""
        try:  # the first call begins the copy, the next ones are its parts
            with world.failing(service="s3", operation="PutObject", error="AccessDenied", status=403, calls=[2, 3, 4]):
                world.invoke("datasets_import", world.event(made.id))
        except CheckFailed as error:
            why = str(error)
        left = uploads_of(world, made)
        for upload in left:
            world.s3.abort_multipart_upload(
                Bucket=world.datasets_bucket, Key=upload["Key"], UploadId=upload["UploadId"]
            )
        expect("Planted fault" in why, f"the copy fails because of the fault, not because: {why}")
        expect(left == [], "no upload is left")


def dataset_profiling(world: World) -> None:
    """A file is read here and in another bucket, and the report written beside what it is of."""
    for found in (None, imported(world)):
        with version(world, "processing", found, "reference") as made:
            place = {"bucket": world.datasets_bucket, "request": made.prefix + REQUEST}
            expect(world.invoke("datasets_profile", place)["refused"] is False, "the file is read")
            expect(made.prefix + REPORT in world.keys(world.datasets_bucket, made.prefix), "the report is there")


def dataset_submission(world: World) -> None:
    """A large version becomes a job at SageMaker; the next try takes that for its own."""
    with version(world, "processing", size=LARGE) as made:
        for _ in range(2):
            world.invoke("datasets_submit", world.event(made.id) | {"token": NO_TOKEN})
        expect(job_status(world, made.id) == "InProgress", "SageMaker has the job")


# ------------------------------------------------------------------------------------------------ the recovery


def recover(world: World, *ids: str) -> None:
    """Let what is under way be brought into the state it should be in."""
    for id in ids:
        world.invoke("datasets_recover", {"source": "aws.states", "detail": {"name": id}})


def dataset_recovery(world: World) -> None:
    """A deletion is finished, an old upload given up, processing that never began started, one that is over read."""
    bucket = world.datasets_bucket
    with (
        version(world, "ready") as deleted,
        version(world, "uploading", created_at=LONG_AGO) as old,
        version(world, "processing") as unstarted,
        version(world, "processing") as over,
    ):
        world.records.delete("datasets", deleted.owner, deleted.dataset_id)
        world.records.open_wait(deleted.owner, deleted.dataset_id)
        file = own_file(world, old)
        file.upload_id = world.s3.create_multipart_upload(Bucket=bucket, Key=file.key)["UploadId"]
        put(world, old.prefix + LIST, LISTED.dump_json([file]))
        put_report(world, over)
        world.start("Process", over.id, world.event(new_id("ds")))  # which ends, as of one that was deleted
        until(lambda: (world.execution("Process", over.id) or {}).get("status") == "SUCCEEDED", "it is over")
        recover(world, deleted.dataset_id, old.id, unstarted.id, over.id)
        expect(world.keys(bucket, deleted.prefix) == [], "the files of the deleted dataset are gone")
        expect(world.record("datasets", deleted.id) == {}, "the record of its version is gone")
        expect(not world.records.waits_for(deleted.dataset_id), "the deletion is over")
        expect(status_of(world, old) == "failed", "the old upload has failed")
        expect(uploads_of(world, old) == [], "the old upload is given up")
        expect(world.execution("Process", unstarted.id) is not None, "processing has started")
        expect(status_of(world, over) == "ready", "the version whose processing is over is ready")


def job_recovery(world: World) -> None:
    """A workflow is told that its job is in progress, that it was stopped, and that it is completed."""
    with version(world, "processing", size=LARGE) as stopped, version(world, "processing", size=LARGE) as completed:
        complete_job(world, completed.id)
        for made in (stopped, completed):
            world.start("Process", made.id, world.event(made.id))
        for made in (stopped, completed):
            until(lambda id=made.id: is_submitted(world, id), "the job is submitted", seconds=30)
        put_report(world, completed)
        recover(world, stopped.id, completed.id)
        until(lambda: status_of(world, completed) == "ready", "the version whose job is completed is ready", seconds=30)
        world.sagemaker.stop_processing_job(ProcessingJobName=stopped.id)
        until(lambda: job_status(world, stopped.id) == "Stopped", "the job is stopped", seconds=30)
        recover(world, stopped.id)
        until(lambda: status_of(world, stopped) == "failed", "the version whose job was stopped has failed", seconds=30)


def is_submitted(world: World, id: str) -> bool:
    """Return whether SageMaker has the job of a version, and the version the token of the workflow that waits."""
    return job_status(world, id) is not None and world.records.token_of(id) is not None


def complete_job(world: World, name: str) -> None:
    """Let a processing job of that name, which does nothing, run and be completed."""
    given = world.functions["datasets_submit"]["Environment"]["Variables"]
    cluster = {"InstanceCount": 1, "InstanceType": AT_ONCE, "VolumeSizeInGB": 1}
    world.sagemaker.create_processing_job(
        ProcessingJobName=name,
        AppSpecification={"ImageUri": given["PROCESSING_IMAGE"], "ContainerEntrypoint": ["true"]},
        RoleArn=given["PROCESSING_ROLE_ARN"],
        ProcessingResources={"ClusterConfig": cluster},
    )
    until(lambda: job_status(world, name) == "Completed", "the job is completed", seconds=60)

"""What jobs go through. The tasks are invoked as their workflow and their events would."""

import itertools
import json
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import requests

from lambdas.common.ids import new_id
from lambdas.common.store import now
from lambdas.jobs import history, limits
from lambdas.jobs.logs import LOG_GROUP
from tests.api.metrics import delivery
from tests.journeys.checks import datasets
from tests.journeys.checks.models import begin_segment, give_up_uploads
from tests.journeys.checks.world import NO_TOKEN, CheckFailed, World, expect, until
from tests.journeys.conftest import PARAMETERS, upload
from tests.script_zips import packed

UNSUBMITTED: dict[str, Any] = {
    "status": "pending",
    "stage": "queued",
    "batch_job_id": None,
    "client_token": None,
    "batch_priority": None,
    "attempts": None,
    "artefact": None,
    "log_stream": None,
    "ended_at": None,
}
STOPPED: dict[str, Any] = UNSUBMITTED | {"stop_requested_at": now()}
PART = 8 * 1024 * 1024  # larger objects are copied in parts
HIGH = 100  # what Batch is told of the priority `high`
SEQUENCE = itertools.count(1000, history.BLOCK)  # each in a block of its own


def running(world: World, token: str | None = None) -> str:
    """Return a job whose container has ended well, and whose record does not know yet."""
    model = {"id": new_id("mdl"), "model_id": f"check-{secrets.token_hex(4)}"}
    changes: dict[str, Any] = {"status": "running", "stage": "training", "ended_at": None, "model": model}
    return world.copy("jobs", world.job["id"], token=token, **changes)


@contextmanager
def queued(world: World, token: str = NO_TOKEN) -> Iterator[tuple[str, str]]:
    """A submitted job without a machine, and its Batch job; neither is left behind."""
    id = world.copy("jobs", world.job["id"], **UNSUBMITTED)
    try:
        world.invoke("jobs_submit", world.event(id) | {"token": token})
        yield id, world.record("jobs", id)["batch_job_id"]
    finally:
        forget(world, id)


@contextmanager
def waiting(world: World) -> Iterator[tuple[str, str]]:
    """A job that Batch keeps waiting behind those that have the places there are, and its Batch job."""
    with queued(world), queued(world), queued(world) as last:
        yield last


def forget(world: World, id: str) -> None:
    """Remove a job: at Batch, its record, its wait, its execution, and the count of those under way."""
    for queue in world.batch.describe_job_queues()["jobQueues"]:
        filters = [{"name": "JOB_NAME", "values": [id]}]
        found = world.batch.list_service_jobs(jobQueue=queue["jobQueueArn"], filters=filters)["jobSummaryList"]
        for job in found:
            world.batch.terminate_service_job(jobId=job["jobId"], reason="The check is over")
    world.abort("Train", id)
    world.records.delete("jobs", world.user_id, id)
    world.records.delete("jobs", world.user_id, limits.AT_ONCE)
    world.records.close_wait(id)


def is_terminated(world: World, batch_job: str) -> bool:
    found = world.batch.describe_service_job(jobId=batch_job)
    return found["status"] == "FAILED" or found.get("isTerminated", False)


def prioritised(world: World, id: str) -> None:
    """Give a job a priority that Batch was not told."""
    world.records.change("jobs", world.user_id, id, priority="high")


def priority_at_batch(world: World, batch_job: str) -> int:
    return world.batch.describe_service_job(jobId=batch_job)["schedulingPriority"]


def leftovers(world: World) -> str:
    """Leave what a deletion that did not finish leaves of a job: a wait, a file, a metric point; return its id."""
    id = world.id_of_deleted("jobs")
    world.s3.put_object(Bucket=world.jobs_bucket, Key=f"{world.user_id}/{id}/config/config.json", Body=b"{}")
    point = {"sequence": 1, "time": now(), "percent": 1}
    block = {"id": history.block_id(id, 0, 0), "points": {"1": point}}
    world.records.write("jobs", owner=world.user_id, revision=1, **block)
    return id


def expect_swept(world: World, id: str) -> None:
    expect(world.keys(world.jobs_bucket, f"{world.user_id}/{id}/") == [], "the files are gone")
    expect(world.record("jobs", history.block_id(id, 0, 0)) == {}, "the metrics are gone")
    expect(not world.records.waits_for(id), "the deletion is over")


def job_requests(world: World) -> None:
    """A job on another's shared data set is started, read and stopped; one that goes on from a model is held, and ends
    at once; a running one shows what it uses, an ended one its capsule and its log, in pages and as a file, and is
    deleted; the queues are shown."""
    request = {"name": "Check", "dataset_id": world.shared["id"], "parameters": PARAMETERS}
    id = world.owner.call("POST", "/jobs", request)["id"]
    try:
        expect(world.execution("Train", id) is not None, "its workflow has started")
        expect(id in [found["id"] for found in world.owner.call("GET", "/jobs")["items"]], "it is listed")
        expect(world.admin.call("GET", f"/jobs/{id}")["id"] == id, "an admin reads it")
        world.owner.call("POST", f"/jobs/{id}/stop")
    finally:
        forget(world, id)
    texts = upload(world.owner, [{"text": f"The {number}. sentence"} for number in range(10)])
    base = {"model_id": world.job["model"]["model_id"]}
    request = {"name": "Check", "dataset_id": texts["id"], "training_type": "llm", "base_model": base, "hold": True}
    held = world.owner.call("POST", "/jobs", request)["id"]
    expect(held in world.record("models", world.job["model"]["id"])["holds"], "its base model is held")
    expect(world.owner.call("POST", f"/jobs/{held}/stop")["status"] == "cancelled", "a held job ends at once")
    expect(world.owner.call("GET", "/jobs/queue")["items"][0]["instances"] > 0, "the queues are shown")
    capsule = world.owner.call("GET", f"/jobs/{world.job['id']}/capsule")
    expect(capsule["versions"] is not None, "the capsule is the one that was stored")
    ended = world.copy("jobs", world.job["id"], under_way=False, log_stream=None)
    expect(world.owner.call("GET", f"/jobs/{ended}/logs")["items"] != [], "its log is read")
    key = f"{world.user_id}/{ended}/logs/{ended}.log.gz"
    world.s3.put_object(Bucket=world.jobs_bucket, Key=key, Body=b"log")
    made = {"key": key, "bytes": 3, "made_at": now()}
    world.records.change("jobs", world.user_id, ended, log_file=made, status="running")
    expect(world.owner.call("GET", f"/jobs/{ended}")["heartbeat_age_seconds"] is not None, "it is measured")
    world.records.change("jobs", world.user_id, ended, status="completed")
    url = world.owner.call("GET", f"/jobs/{ended}/logs/download")["url"]
    expect(requests.get(url, timeout=10).content == b"log", "its log is downloaded")
    world.owner.call("DELETE", f"/jobs/{ended}")


def job_on_a_reference(world: World) -> None:
    """A job on a data set whose file lies in another bucket is started when that is what it was."""
    found = datasets.imported(world)
    with datasets.version(world, "ready", found, "reference") as version:
        datasets.put_manifest(world, version, found)
        request = {"name": "Check", "dataset_id": version.dataset_id, "parameters": PARAMETERS}
        id = world.owner.call("POST", "/jobs", request)["id"]
        try:
            expect(world.execution("Train", id) is not None, "its workflow has started")
        finally:
            forget(world, id)


def script_upload(world: World) -> None:
    """A script is uploaded, judged and deleted."""
    archive = packed({"train.py": "print()"})
    script = world.owner.call("POST", "/jobs/scripts", {"name": "Check", "size": len(archive)})
    world.owner.upload_parts(archive, script["upload"])
    done = world.owner.call("POST", f"/jobs/scripts/{script['id']}/complete")
    expect(done["status"] == "ready", "it can be used")
    world.owner.call("DELETE", f"/jobs/scripts/{script['id']}")
    prefix = f"{world.user_id}/{script['id']}/"
    until(lambda: not world.keys(world.jobs_bucket, prefix), "its file is gone")


def job_submission(world: World) -> None:
    """A job goes to Batch with its configuration; a stopped one does not, and lets its workflow go on."""
    with queued(world) as (id, batch_job):
        expect(world.batch.describe_service_job(jobId=batch_job)["jobName"] == id, "Batch has the job")
        expect(world.keys(world.jobs_bucket, f"{world.user_id}/{id}/config/") != [], "its configuration is stored")
    stopped = world.copy("jobs", world.job["id"], **STOPPED)
    world.invoke("jobs_submit", world.event(stopped) | {"token": NO_TOKEN})
    forget(world, stopped)


def stop_during_submission(world: World) -> None:
    """A job that is stopped while it is submitted is terminated at Batch, which knows the priority it got meanwhile."""
    with queued(world), queued(world):  # they have the places there are
        stop_while_submitted(world)


def stop_while_submitted(world: World) -> None:
    """Submit a job, and stop it and change its priority at that moment."""
    id = world.copy("jobs", world.job["id"], **UNSUBMITTED)
    # The function tries again, a moment later each time.
    throttled = {"service": "batch", "operation": "ListServiceJobs", "error": "ThrottlingException", "calls": [1, 2]}
    with world.failing(**throttled), ThreadPoolExecutor() as pool:
        submission = pool.submit(world.invoke, "jobs_submit", world.event(id) | {"token": NO_TOKEN})
        until(lambda: world.keys(world.jobs_bucket, f"{world.user_id}/{id}/config/"), "the job is being submitted")
        revision = world.record("jobs", id)["revision"] + 1
        changes = {"stop_requested_at": now(), "priority": "high"}
        world.records.change("jobs", world.user_id, id, revision=revision, **changes)
    try:
        submission.result()
        batch_job = world.record("jobs", id)["batch_job_id"]
        expect(is_terminated(world, batch_job), "Batch has terminated the job")
        expect(priority_at_batch(world, batch_job) == HIGH, "Batch knows its priority")
    finally:
        forget(world, id)


def job_registration(world: World) -> None:
    """A job whose container ended well becomes a version in the registry."""
    begin_segment(world)
    id = running(world)
    world.invoke("jobs_register", world.event(id))
    job = world.record("jobs", id)
    expect(job["status"] == "completed", "the job is completed")
    expect(world.record("models", job["model"]["id"])["status"] == "ready", "its model is ready")
    expect(not world.records.waits_for(id), "nobody waits for it any more")


def copy_given_up(world: World) -> None:
    """A large model whose copy fails half way leaves no parts behind."""
    give_up_uploads(world)
    artefact = {"Bucket": world.jobs_bucket, "Key": world.record("jobs", world.job["id"])["artefact"].split("/", 3)[3]}
    kept = world.s3.get_object(**artefact)["Body"].read()
    world.s3.put_object(**artefact, Body=bytes(2 * PART))
    id, why = running(world), ""
    try:  # the first call stores the capsule, the second begins the copy, the next ones are its parts
        with world.failing(service="s3", operation="PutObject", error="AccessDenied", status=403, calls=[3, 4, 5]):
            world.invoke("jobs_register", world.event(id))
    except CheckFailed as error:
        why = str(error)
    finally:
        world.s3.put_object(**artefact, Body=kept)
        forget(world, id)
    expect("Planted fault" in why, f"the copy fails because of the fault, not because: {why}")
    expect(give_up_uploads(world) == [], "no upload is left")


def broken_workflow(world: World) -> None:
    """A job whose workflow breaks is terminated at Batch and says why it failed."""
    with queued(world) as (id, batch_job):
        world.invoke("jobs_register", world.event(id) | {"error": {"Cause": "The workflow broke."}})
        expect(is_terminated(world, batch_job), "Batch has terminated the job")
        expect(world.record("jobs", id)["reason"] == "The workflow broke.", "the job says why")


def job_control(world: World) -> None:
    """The control task changes a job's priority, stops it, writes its log to a file, and removes what one left."""
    with waiting(world) as (id, batch_job):
        prioritised(world, id)
        world.invoke("jobs_control", world.event(id) | {"action": "prioritise"})
        expect(priority_at_batch(world, batch_job) == HIGH, "Batch knows its priority")
        expect(world.record("jobs", id)["batch_priority"] == "high", "and the job that Batch does")
        world.invoke("jobs_control", world.event(id) | {"action": "stop"})
        expect(is_terminated(world, batch_job), "Batch has terminated the job")
    logged = world.copy("jobs", world.job["id"], under_way=False)
    world.invoke("jobs_control", world.event(logged) | {"action": "log"})
    expect(world.record("jobs", logged)["log_file"]["bytes"] > 100, "the log is a file")
    deleted = leftovers(world)
    world.invoke("jobs_control", world.event(deleted) | {"action": "delete"})
    expect_swept(world, deleted)


def job_watching(world: World) -> None:
    """The schedule sweeps a deleted job, ends one that ended unseen, starts one, tells Batch the priority of one, looks
    into the log of a silent one; an event finds its own."""
    deleted, ended = leftovers(world), running(world, NO_TOKEN)
    unstarted = world.copy("jobs", world.job["id"], **STOPPED)
    try:
        with waiting(world) as (behind, batch_job), queued(world) as (silent, _), queued(world) as (heard, _):
            prioritised(world, behind)
            still: dict[str, Any] = {"status": "running", "stage": "training", "progress": {"sequence": 0}}
            still |= {"started_at": "2026-01-01T00:00:00Z"}
            attempts = world.record("jobs", world.job["id"])["attempts"]  # its stream is to be found
            world.records.change("jobs", world.user_id, silent, **still, log_stream=None, attempts=attempts)
            world.records.change("jobs", world.user_id, heard, **still, log_stream=log_stream(world))
            world.invoke("jobs_watch", {"detail-type": "Scheduled Event"})
            expect(priority_at_batch(world, batch_job) == HIGH, "Batch knows its priority")
            world.invoke("jobs_watch", {"detail-type": "Batch Service Job State Change", "detail": {"jobName": behind}})
        expect_swept(world, deleted)
        expect(world.execution("Train", unstarted) is not None, "its workflow has started")
        until(lambda: world.record("jobs", ended)["status"] == "completed", "the job is completed", seconds=20)
    finally:
        for id in (deleted, unstarted, ended):
            forget(world, id)


def log_stream(world: World) -> str:
    """Return the stream that the completed job's container printed to."""
    prefix = f"{world.record('jobs', world.job['id'])['attempts'][-1]['training_job_name']}/"
    found = world.platform.client("logs").describe_log_streams(logGroupName=LOG_GROUP, logStreamNamePrefix=prefix)
    return found["logStreams"][0]["logStreamName"]


def progress_history(world: World) -> None:
    """The log subscription keeps a progress line and brings the running job up to date."""
    id = world.job["id"]
    kept = world.records.read("jobs", world.user_id, id)
    assert kept
    sequence = next(SEQUENCE)
    world.records.change("jobs", world.user_id, id, status="running", progress={"sequence": 0}, log_stream=None)
    line = {"slipway": "local", "job_id": id, "sequence": sequence, "time": now(), "percent": 50}
    stream = f"{world.record('jobs', id)['attempts'][-1]['training_job_name']}/algo-1-1"
    try:
        answer = world.invoke("jobs_progress", delivery([json.dumps(line)], stream=stream))
        expect(answer == {"kept": 1}, "the line is kept")
        expect(world.record("jobs", id)["progress"]["sequence"] == sequence, "the job is up to date")
    finally:
        world.records.restore("jobs", kept)

"""Where jobs stand in AWS Batch's queues, and in one sentence why each waits: what Batch says, and no guess.

Batch shows the first 100 of a queue in the order in which they would start now. Fair share changes that order with
every start and end, so a position is a fact of this moment and no promise.
"""

from dataclasses import dataclass

from lambdas.common import aws
from lambdas.common.environment import mapping
from lambdas.common.identity import Caller
from lambdas.jobs.answers import Queue, QueuedJob
from lambdas.jobs.schemas import Job, JobPublic
from lambdas.jobs.training_request import share_identifier

SHOWN = 100  # jobs in a snapshot


@dataclass(frozen=True)
class Snapshot:
    """A queue at this moment: Batch's ids of the jobs at its front, in order, and the instances in use."""

    front: list[str]
    in_use: float

    def position(self, batch_job_id: str) -> int | None:
        """Return a job's place, 1 for the next to start, or None when it is not among those shown."""
        return self.front.index(batch_job_id) + 1 if batch_job_id in self.front else None


def snapshot(instance_type: str) -> Snapshot:
    """Ask Batch for the queue of an instance type."""
    found = aws.client("batch").get_job_queue_snapshot(jobQueue=mapping("QUEUES")[instance_type])
    front = [job["jobArn"].rpartition("/")[2] for job in found.get("frontOfQueue", {}).get("jobs", [])]
    used = found.get("queueUtilization", {}).get("totalCapacityUsage", [])
    return Snapshot(front, sum(usage["quantity"] for usage in used))


def shown(job: Job) -> JobPublic:
    """Return a job as it is shown; one that waits says where it stands, and why it waits."""
    if job.stage == "held":
        return JobPublic.of(job, reason=why_held(job))
    if job.stage != "queued":
        return JobPublic.of(job)
    if job.batch_job_id is None or job.instance_type not in mapping("QUEUES"):
        return JobPublic.of(job, reason="It is being submitted to its queue.")
    found = snapshot(job.instance_type)
    return JobPublic.of(job, position=found.position(job.batch_job_id), reason=why_queued(job, found))


def why_held(job: Job) -> str:
    """Say in one sentence what a job that is not submitted waits for."""
    if job.not_before:
        return f"It starts at {job.not_before}, or up to five minutes later; POST /jobs/{job.id}/start starts it now."
    return f"It is held: POST /jobs/{job.id}/start starts it."


def why_queued(job: Job, found: Snapshot) -> str:
    """Say in one sentence why a submitted job does not run yet, as far as Batch tells."""
    place, instances = found.position(job.batch_job_id or ""), mapping("INSTANCE_TYPES")[job.instance_type]
    queue = f"the queue of {job.instance_type}, of which {found.in_use:g} of {instances} are in use"
    if place is None and len(found.front) >= SHOWN:
        return f"It is behind the first {SHOWN} in {queue}; AWS Batch shows no more."
    if place is None:
        return "AWS Batch is about to queue or to start it."
    said = f"; AWS Batch says: {job.reason}" if job.reason else ""
    if place == 1:
        return f"It is next in {queue}{said}."
    return f"It is number {place} in {queue}: users take turns, and priority orders your own jobs{said}."


def queues(caller: Caller) -> list[Queue]:
    """Return the stage's queues, each with the caller's own jobs that wait in it."""
    return [queue(caller, instance_type) for instance_type in mapping("QUEUES")]


def queue(caller: Caller, instance_type: str) -> Queue:
    """Return the queue of an instance type; Batch knows a user's jobs by their share."""
    found = snapshot(instance_type)
    own = aws.client("batch").list_service_jobs(
        jobQueue=mapping("QUEUES")[instance_type],
        jobStatus="RUNNABLE",
        filters=[{"name": "SHARE_IDENTIFIER", "values": [share_identifier(caller.username)]}],
    )["jobSummaryList"]
    yours = [QueuedJob(job_id=job["jobName"], position=found.position(job["jobId"])) for job in own]
    return Queue(
        instance_type=instance_type,
        instances=mapping("INSTANCE_TYPES")[instance_type],
        in_use=found.in_use,
        waiting=len(found.front),
        yours=sorted(yours, key=lambda job: (job.position or SHOWN + 1, job.job_id)),
    )

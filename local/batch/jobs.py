"""Service jobs: submitted, queued in fair order, started when they fit, terminated."""

import asyncio
import time
from collections.abc import Iterable
from typing import Any

from local.batch import limits, scheduling
from local.batch.attempts import Attempts
from local.batch.limits import refused
from local.batch.records import ENDED, JobRecords, instance_count
from local.batch.resources import Resources, new_id
from local.cloud import Cloud
from local.sagemaker.events import EventSender, milliseconds
from local.sagemaker.service import SageMaker
from local.sagemaker.store import Record, Store

TOO_LARGE = "MISCONFIGURATION:SERVICE_ENVIRONMENT_MAX_RESOURCE"
WAITING = ("SUBMITTED", "PENDING", "RUNNABLE")


class ServiceJobs:
    """Everything runs on one event loop; `schedule` starts whatever may start now."""

    def __init__(self, cloud: Cloud, sagemaker: SageMaker, resources: Resources, events: EventSender) -> None:
        self._prefix = f"arn:aws:batch:{cloud.region}:{cloud.account}:service-job"
        self._resources = resources
        self._records = JobRecords(cloud, events)
        self._attempts = Attempts(cloud, sagemaker, self._records, self._schedule_soon)
        self._rate = limits.SubmissionRate(time.monotonic)
        self._positions: dict[str, tuple[int, int]] = {}
        self._blocking: dict[str, asyncio.TimerHandle | None] = {}
        self._closed = False

    def start(self) -> None:
        """Catches up with the training jobs that a stopped platform left, then schedules."""
        self._attempts.recover()
        self.schedule()

    def close(self) -> None:
        """No job changes any more."""
        self._closed = True
        self._attempts.close()
        for job_id in list(self._blocking):
            self._unblock(job_id)

    def submit(self, request: Record) -> Record:
        self._rate.check()
        queue = self._resources.queue(request["jobQueue"])
        limits.check_submission(request, self._resources.fair_share(queue) is not None)
        if queue["state"] != "ENABLED":
            raise refused(f"The job queue {queue['jobQueueName']} is not ENABLED.")
        self._check_shares(queue, request.get("shareIdentifier"))
        token = request.pop("clientToken", None)
        if token is not None and any(record["token"] == token for record in self._records.store):
            raise refused(f"A service job with the client token {token} was already submitted.")
        job_id = new_id()
        description = {
            "retryStrategy": {"attempts": 1},
            "schedulingPriority": 0,
            **request,
            "jobQueue": queue["jobQueueArn"],
            "jobId": job_id,
            "jobArn": f"{self._prefix}/{job_id}",
            "status": "SUBMITTED",
            "createdAt": milliseconds(time.time()),
            "attempts": [],
        }
        self._records.save(
            {
                "description": description,
                "token": token,
                "order": time.time_ns(),
                "capacity": instance_count(request["serviceRequestPayload"]),
                "training": None,
                "uses": [],
            }
        )
        self._schedule_soon()
        return {member: description[member] for member in ("jobArn", "jobName", "jobId")}

    def describe(self, request: Record) -> Record:
        return self._records.find(request["jobId"])["description"]

    def update(self, request: Record) -> Record:
        limits.check_priority(request["schedulingPriority"])
        record = self._records.find(request["jobId"])
        description = record["description"]
        if description["status"] not in WAITING:
            raise refused(f"The priority of a service job in status {description['status']} cannot be changed.")
        description["schedulingPriority"] = request["schedulingPriority"]
        self._records.save(record)
        self._schedule_soon()
        return description

    def terminate(self, request: Record) -> Record:
        """Waiting jobs end at once; a running one when its training job has stopped. An ended one stays as it is."""
        record = self._records.find(request["jobId"])
        description = record["description"]
        if description["status"] in ENDED:
            return {}
        description |= {"isTerminated": True, "statusReason": request["reason"]}
        if record["training"] is None:
            self._records.move(record, "FAILED")
            self._schedule_soon()
        else:
            self._records.save(record)
            self._attempts.stop(record)
        return {}

    def select(self, request: Record) -> list[Record]:
        """ListServiceJobs, newest first: without status or filter only RUNNING jobs, as on AWS."""
        if "jobQueue" not in request:
            raise refused("jobQueue must be specified.")
        filters = request.get("filters", [])
        if len(filters) > 1:
            raise refused("Only one filter can be used at a time.")
        status = request.get("jobStatus", None if filters else "RUNNING")
        if filters and filters[0].get("name") != "SHARE_IDENTIFIER":
            status = None
        records = self._records.of(self._resources.queue(request["jobQueue"]))
        found = [r["description"] for r in sorted(records, key=lambda r: -r["order"])]
        return [d for d in found if status in (None, d["status"]) and all(_passes(d, f) for f in filters)]

    def waiting(self, queue: Record) -> list[tuple[Record, int]]:
        """RUNNABLE jobs in the order they would start, each with the time (ms) it reached its place."""
        now = milliseconds(time.time())
        ordered = [record["description"] for record in self._ordered(queue)]
        for place, description in enumerate(ordered):
            if self._positions.get(description["jobId"], (-1, 0))[0] != place:
                self._positions[description["jobId"]] = place, now
        return [(description, self._positions[description["jobId"]][1]) for description in ordered]

    def capacity_by_share(self, queue: Record) -> dict[str, int]:
        return self._records.capacity_by_share(queue)

    def busy(self, queue: Record) -> bool:
        return any(record["description"]["status"] not in ENDED for record in self._records.of(queue))

    def tagged(self, arn: str) -> tuple[Store, str, Record] | None:
        """Where a job's tags are kept: (store, name, record)."""
        record = self._records.store.get(arn.rpartition("/")[2])
        return (self._records.store, record["description"]["jobId"], record) if record else None

    def schedule(self) -> None:
        """Makes submitted jobs RUNNABLE and starts those at the head of their queues that fit."""
        if self._closed:
            return
        for record in self._records.store:
            if record["description"]["status"] == "SUBMITTED":
                self._records.move(record, "RUNNABLE")
        for environment in self._resources.environments:
            if environment["state"] == "ENABLED":
                self._fill(environment)

    def _schedule_soon(self) -> None:
        """After what is being done now, so that callers finish their own change first."""
        asyncio.get_running_loop().call_soon(self.schedule)

    def _fill(self, environment: Record) -> None:
        queues = self._resources.queues_of(environment)
        limit = environment["capacityLimits"][0]["maxCapacity"]
        for queue in queues:
            while ordered := self._ordered(queue):
                head = ordered[0]
                free = limit - sum(sum(self.capacity_by_share(q).values()) for q in queues)
                if head["capacity"] > limit:
                    self._blocked(head, queue, limit)
                if queue["state"] != "ENABLED" or head["capacity"] > free:
                    break
                self._unblock(head["description"]["jobId"])
                self._positions.pop(head["description"]["jobId"], None)
                self._attempts.begin(head)
            self.waiting(queue)

    def _ordered(self, queue: Record) -> list[Record]:
        records = {r["description"]["jobId"]: r for r in self._records.waiting(queue)}
        policy = self._resources.fair_share(queue)
        if policy is None or not records:
            return [records[job.id] for job in scheduling.dispatch_order(_waiting(records), {}, None)]
        window = policy.get("shareDecaySeconds") or scheduling.DEFAULT_WINDOW
        used = scheduling.usage(self._uses(queue), time.time(), window)
        distribution = policy.get("shareDistribution", [])
        return [records[job.id] for job in scheduling.dispatch_order(_waiting(records), used, distribution)]

    def _uses(self, queue: Record) -> Iterable[scheduling.Use]:
        for record in self._records.of(queue):
            share = record["description"].get("shareIdentifier", "")
            for start, stop in record["uses"]:
                yield scheduling.Use(share, record["capacity"], start, stop)

    def _blocked(self, head: Record, queue: Record, limit: int) -> None:
        """A job larger than its environment blocks the queue until someone, or the queue's action, terminates it."""
        job_id = head["description"]["jobId"]
        if job_id in self._blocking:
            return
        self._blocking[job_id] = None
        needs = f"the job needs {head['capacity']} instances, the service environment has at most {limit}"
        self._records.blocked(head, f"{TOO_LARGE} - {needs}")
        for action in queue.get("jobStateTimeLimitActions", []):
            if action["reason"] == TOO_LARGE:
                self._blocking[job_id] = asyncio.get_running_loop().call_later(
                    action["maxTimeSeconds"], self.terminate, {"jobId": job_id, "reason": TOO_LARGE}
                )

    def _unblock(self, job_id: str) -> None:
        if timer := self._blocking.pop(job_id, None):
            timer.cancel()

    def _check_shares(self, queue: Record, share: str | None) -> None:
        records = [r["description"] for r in self._records.of(queue) if r["description"]["status"] not in ENDED]
        active = {description.get("shareIdentifier") for description in records}
        if share not in active and len(active) >= limits.ACTIVE_SHARES:
            raise refused(f"The job queue already has {limits.ACTIVE_SHARES} active share identifiers.")


def _waiting(records: dict[str, Record]) -> list[scheduling.Waiting]:
    return [
        scheduling.Waiting(
            id=job_id,
            share=record["description"].get("shareIdentifier", ""),
            priority=record["description"]["schedulingPriority"],
            created=record["order"],
            capacity=record["capacity"],
        )
        for job_id, record in records.items()
    ]


def _passes(description: Record, condition: dict[str, Any]) -> bool:
    name, values = condition.get("name"), condition.get("values", [])
    if name == "JOB_NAME":
        job = description["jobName"].lower()
        return any(job.startswith(v[:-1].lower()) if v.endswith("*") else job == v.lower() for v in values)
    if name == "SHARE_IDENTIFIER":
        return description.get("shareIdentifier") in values
    if name == "BEFORE_CREATED_AT":
        return all(description["createdAt"] < int(value) for value in values)
    if name == "AFTER_CREATED_AT":
        return all(description["createdAt"] > int(value) for value in values)
    raise refused(f"Unknown filter {name}.")

"""Service jobs: submitted, queued, handed to SageMaker, followed to their end."""

import asyncio
import json
import logging
import secrets
import time
from collections.abc import Iterable
from typing import Any

from local.batch import limits, scheduling
from local.batch.limits import refused
from local.batch.resources import Resources, new_id
from local.cloud import Cloud
from local.sagemaker.events import Event, EventSender, milliseconds
from local.sagemaker.protocol import ServiceError
from local.sagemaker.service import SageMaker
from local.sagemaker.store import Record, Store

logger = logging.getLogger(__name__)
ENDED = ("SUCCEEDED", "FAILED")
STATUS_OF = {  # SageMaker's secondary status -> ours
    "Pending": "SCHEDULED", "Starting": "SCHEDULED", "Downloading": "STARTING", "Training": "RUNNING",
    "Uploading": "RUNNING",
}  # fmt: skip
PREFIX, NAME_LENGTH = "AWSBatch", 63
REASON = "Received status from SageMaker: "
TIMED_OUT = "Job attempt duration exceeded timeout"
TOO_LARGE = "MISCONFIGURATION:SERVICE_ENVIRONMENT_MAX_RESOURCE"
NOT_IN_EVENTS = ("tags", "serviceRequestPayload")


class ServiceJobs:
    """Everything runs on one event loop; `schedule` starts whatever may start now."""

    def __init__(self, cloud: Cloud, sagemaker: SageMaker, resources: Resources, events: EventSender) -> None:
        self._prefix = f"arn:aws:batch:{cloud.region}:{cloud.account}:service-job"
        self._training_prefix = f"arn:aws:sagemaker:{cloud.region}:{cloud.account}:training-job"
        self._sagemaker, self._resources, self._events = sagemaker, resources, events
        self._store = Store(cloud.home / "state/service-jobs")
        self._rate = limits.SubmissionRate(time.monotonic)
        self._positions: dict[str, tuple[int, int]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._closed = False
        sagemaker.training.subscribe(self._training_changed)

    def start(self) -> None:
        """Catches up with the training jobs that a stopped platform left, then schedules."""
        for record in self._store:
            description = record["description"]
            if description["status"] in ENDED or not record.get("training"):
                continue
            training = self._sagemaker.training.store.get(record["training"])
            if training is None:
                record["training"] = None
            elif description["status"] == "RUNNABLE":
                self._scheduled(record)
                self._follow(record, training["description"])
            else:
                self._follow(record, training["description"])
        self.schedule()

    def close(self) -> None:
        """No job changes any more; what SageMaker does while the platform goes down is seen by the next start."""
        self._closed = True
        for timer in self._timers.values():
            timer.cancel()

    def submit(self, request: Record) -> Record:
        self._rate.check()
        queue = self._resources.queue(request["jobQueue"])
        policy = self._resources.fair_share(queue)
        limits.check_submission(request, policy is not None)
        if queue["state"] != "ENABLED":
            raise refused(f"The job queue {queue['jobQueueName']} is not ENABLED.")
        token = request.pop("clientToken", None)
        if token is not None and any(record["token"] == token for record in self._store):
            raise refused(f"A service job with the client token {token} was already submitted.")
        job_id = new_id()
        description = {
            **request,
            "jobQueue": queue["jobQueueArn"],
            "jobId": job_id,
            "jobArn": f"{self._prefix}/{job_id}",
            "status": "SUBMITTED",
            "createdAt": milliseconds(time.time()),
            "attempts": [],
        }
        description.setdefault("retryStrategy", {"attempts": 1})
        description.setdefault("schedulingPriority", 0)
        record = {
            "description": description,
            "token": token,
            "order": time.time_ns(),
            "capacity": instance_count(request["serviceRequestPayload"]),
            "training": None,
            "uses": [],
        }
        self._save(record)
        asyncio.get_running_loop().call_soon(self.schedule)
        return {member: description[member] for member in ("jobArn", "jobName", "jobId")}

    def describe(self, request: Record) -> Record:
        return self._find(request["jobId"])["description"]

    def update(self, request: Record) -> Record:
        limits.check_priority(request["schedulingPriority"])
        record = self._find(request["jobId"])
        description = record["description"]
        if description["status"] not in ("SUBMITTED", "PENDING", "RUNNABLE"):
            raise refused(f"The priority of a service job in status {description['status']} cannot be changed.")
        description["schedulingPriority"] = request["schedulingPriority"]
        self._save(record)
        self.schedule()
        return description

    async def terminate(self, request: Record) -> Record:
        """Waiting jobs end at once; a running one when its training job has stopped. An ended one stays as it is."""
        record = self._find(request["jobId"])
        description = record["description"]
        if description["status"] in ENDED:
            return {}
        description |= {"isTerminated": True, "statusReason": request["reason"]}
        if record["training"] is None:
            self._move(record, "FAILED")
            self.schedule()
        else:
            self._save(record)
            await self._stop(record)
        return {}

    def select(self, request: Record) -> list[Record]:
        """Newest first. Without status or filter only RUNNING jobs, as on AWS."""
        filters = request.get("filters", [])
        if len(filters) > 1:
            raise refused("Only one filter can be used at a time.")
        queue = self._resources.queue(request["jobQueue"]) if "jobQueue" in request else None
        if queue is None:
            raise refused("jobQueue must be specified.")
        status = request.get("jobStatus", None if filters else "RUNNING")
        if filters and filters[0].get("name") != "SHARE_IDENTIFIER":
            status = None
        found = [
            r for r in self._of(queue)
            if status in (None, r["description"]["status"]) and all(_passes(r["description"], f) for f in filters)
        ]  # fmt: skip
        return [r["description"] for r in sorted(found, key=lambda r: -r["order"])]

    def waiting(self, queue: Record) -> list[tuple[Record, int]]:
        """RUNNABLE jobs in the order they would start, each with the time (ms) it reached its place."""
        ordered = self._ordered(queue)
        now = milliseconds(time.time())
        for place, record in enumerate(ordered):
            job_id = record["description"]["jobId"]
            if self._positions.get(job_id, (-1, 0))[0] != place:
                self._positions[job_id] = place, now
        return [(r["description"], self._positions[r["description"]["jobId"]][1]) for r in ordered]

    def capacity_by_share(self, queue: Record) -> dict[str, int]:
        """Instances in use by the queue's jobs; jobs of a queue without shares count under ""."""
        used: dict[str, int] = {}
        for record in self._of(queue):
            if record["training"] is not None:
                share = record["description"].get("shareIdentifier", "")
                used[share] = used.get(share, 0) + record["capacity"]
        return used

    def tagged(self, arn: str) -> tuple[Store, str, Record] | None:
        """Where a job's tags are kept: (store, name, record)."""
        record = self._store.get(arn.rpartition("/")[2])
        return (self._store, record["description"]["jobId"], record) if record else None

    def busy(self, queue: Record) -> bool:
        return any(record["description"]["status"] not in ENDED for record in self._of(queue))

    def schedule(self) -> None:
        """Makes submitted jobs RUNNABLE and starts those at the head of their queues that fit."""
        if self._closed:
            return
        for record in self._store:
            if record["description"]["status"] == "SUBMITTED":
                self._move(record, "RUNNABLE")
        for environment in self._resources.environments:
            if environment["state"] == "ENABLED":
                self._fill(environment)

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
                self._dispatch(head)
            self.waiting(queue)

    def _ordered(self, queue: Record) -> list[Record]:
        policy = self._resources.fair_share(queue)
        records = {r["description"]["jobId"]: r for r in self._of(queue) if self._is_waiting(r)}
        if not records:
            return []
        used: dict[str, float] = {}
        if policy is not None:
            window = policy.get("shareDecaySeconds") or scheduling.DEFAULT_WINDOW
            used = scheduling.usage(self._uses(queue), time.time(), window)
        waiting = [
            scheduling.Waiting(
                job_id, r["description"].get("shareIdentifier", ""), r["description"]["schedulingPriority"],
                r["order"], r["capacity"],
            )
            for job_id, r in records.items()
        ]  # fmt: skip
        distribution = None if policy is None else policy.get("shareDistribution", [])
        return [records[job.id] for job in scheduling.dispatch_order(waiting, used, distribution)]

    def _uses(self, queue: Record) -> Iterable[scheduling.Use]:
        for record in self._of(queue):
            share = record["description"].get("shareIdentifier", "")
            for start, stop in record["uses"]:
                yield scheduling.Use(share, record["capacity"], start, stop)

    def _dispatch(self, record: Record) -> None:
        """Takes the capacity and gives the job to SageMaker; the name is stored first, so that no crash loses it."""
        payload = _payload(record["description"]["serviceRequestPayload"])
        record["training"] = training_name(str(payload.get("TrainingJobName", "")))
        record["uses"].append([time.time(), None])
        self._save(record)
        self._begin(self._create(record, {**payload, "TrainingJobName": record["training"]}))

    async def _create(self, record: Record, request: Record) -> None:
        try:
            await self._sagemaker.call("CreateTrainingJob", request)
        except ServiceError as error:  # refused at once: no attempt was made and none is left
            self._release(record)
            record["description"].setdefault("statusReason", f"{REASON}{error.message}")
            self._move(record, "FAILED")
            self.schedule()

    def _training_changed(self, training: Record) -> None:
        if self._closed:
            return
        for record in self._store:
            if record["training"] == training["TrainingJobName"]:
                if record["description"]["status"] == "RUNNABLE":
                    self._scheduled(record)
                self._follow(record, training)
                return

    def _scheduled(self, record: Record) -> None:
        """The training job exists: an attempt has begun."""
        arn = f"{self._training_prefix}/{record['training']}"
        resource = {"name": "TrainingJobArn", "value": arn}
        record["description"] |= {
            "latestAttempt": {"serviceResourceId": resource},
            "scheduledAt": milliseconds(time.time()),
        }
        record["description"]["attempts"].append({"serviceResourceId": resource})
        self._move(record, "SCHEDULED")
        if record["description"].get("isTerminated"):
            self._begin(self._stop(record))

    def _follow(self, record: Record, training: Record) -> None:
        """Brings the job to where its training job is."""
        description = record["description"]
        if training["TrainingJobStatus"] in ("Completed", "Failed", "Stopped"):
            return self._attempt_ended(record, training)
        status = STATUS_OF.get(training["SecondaryStatus"])
        if status is None or status == description["status"]:
            return
        if status != "SCHEDULED" and "startedAt" not in description["attempts"][-1]:
            description["startedAt"] = description["attempts"][-1]["startedAt"] = milliseconds(time.time())
            self._limit_time(record)
        self._move(record, status)

    def _attempt_ended(self, record: Record, training: Record) -> None:
        description = record["description"]
        message = training.get("FailureReason") or training["SecondaryStatusTransitions"][-1]["StatusMessage"]
        reason = f"{REASON}{message}"
        description["attempts"][-1] |= {"stoppedAt": milliseconds(time.time()), "statusReason": reason}
        self._release(record)
        if not description.get("isTerminated"):
            description["statusReason"] = TIMED_OUT if record.pop("timed_out", False) else reason
        if training["TrainingJobStatus"] == "Completed":
            self._move(record, "SUCCEEDED")
        elif training["TrainingJobStatus"] == "Failed" and not description.get("isTerminated") and retries(description):
            self._move(record, "RUNNABLE")
        else:
            self._move(record, "FAILED")
        asyncio.get_running_loop().call_soon(self.schedule)

    def _release(self, record: Record) -> None:
        record["training"] = None
        record["uses"][-1][1] = time.time()
        if timer := self._timers.pop(record["description"]["jobId"], None):
            timer.cancel()

    def _limit_time(self, record: Record) -> None:
        seconds = record["description"].get("timeoutConfig", {}).get("attemptDurationSeconds")

        def expire() -> None:
            record["timed_out"] = True
            self._begin(self._stop(record))

        if seconds:
            loop = asyncio.get_running_loop()
            self._timers[record["description"]["jobId"]] = loop.call_later(seconds, expire)

    def _blocked(self, head: Record, queue: Record, limit: int) -> None:
        """A job larger than its environment blocks the queue until someone, or the queue's action, terminates it."""
        if str(head["description"].get("statusReason", "")).startswith(TOO_LARGE):
            return
        head["description"]["statusReason"] = (
            f"{TOO_LARGE} - the job needs {head['capacity']} instances, the service environment has at most {limit}"
        )
        self._save(head)
        limits_of = [a["maxTimeSeconds"] for a in queue.get("jobStateTimeLimitActions", []) if a["reason"] == TOO_LARGE]
        request = {"jobId": head["description"]["jobId"], "reason": TOO_LARGE}
        for seconds in limits_of[:1]:
            loop = asyncio.get_running_loop()
            self._timers[request["jobId"]] = loop.call_later(seconds, lambda: self._begin(self.terminate(request)))

    async def _stop(self, record: Record) -> None:
        if record["training"] in self._sagemaker.training.store:
            try:
                await self._sagemaker.call("StopTrainingJob", {"TrainingJobName": record["training"]})
            except ServiceError as error:  # it ended meanwhile; its last status is on the way to us
                logger.info("%s: %s", record["training"], error.message)

    def _move(self, record: Record, status: str) -> None:
        """Moves a job to a status: stored first, then announced."""
        description = record["description"]
        description["status"] = status
        if status in ENDED:
            description["stoppedAt"] = milliseconds(time.time())
        self._save(record)
        detail = {k: v for k, v in description.items() if k not in NOT_IN_EVENTS}
        self._events.send(Event("aws.batch", "Batch Service Job State Change", detail, [description["jobArn"]]))

    def _is_waiting(self, record: Record) -> bool:
        return record["description"]["status"] == "RUNNABLE" and record["training"] is None

    def _of(self, queue: Record) -> list[Record]:
        return [r for r in self._store if r["description"]["jobQueue"] == queue["jobQueueArn"]]

    def _find(self, job_id: str) -> Record:
        record = self._store.get(job_id.rpartition("/")[2])
        if record is None:
            raise refused(f"Service job {job_id} does not exist.")
        return record

    def _save(self, record: Record) -> None:
        self._store.put(record["description"]["jobId"], record)

    def _begin(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def instance_count(payload: str) -> int:
    """How much of NUM_INSTANCES a payload needs; one when it does not say."""
    resources = _payload(payload).get("ResourceConfig")
    if not isinstance(resources, dict):
        return 1
    groups = resources.get("InstanceGroups") or [resources]
    return sum(int(group.get("InstanceCount", 1)) for group in groups)


def training_name(name: str) -> str:
    """A name of its own for each attempt, within SageMaker's 63 characters."""
    return f"{PREFIX}{name}"[: NAME_LENGTH - 32] + secrets.token_hex(16)


def retries(description: Record) -> bool:
    """Whether a failed attempt is followed by another: attempts are left, and no condition says EXIT first."""
    strategy = description["retryStrategy"]
    if len(description["attempts"]) >= strategy["attempts"]:
        return False
    for rule in strategy.get("evaluateOnExit", []):
        pattern = rule.get("onStatusReason", "*")
        reason = description["statusReason"]
        if reason == pattern or (pattern.endswith("*") and reason.startswith(pattern[:-1])):
            return rule.get("action") == "RETRY"
    return True


def _payload(text: str) -> Record:
    try:
        payload = json.loads(text)
    except ValueError:
        return {}
    return payload if isinstance(payload, dict) else {}


def _passes(description: Record, condition: Record) -> bool:
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

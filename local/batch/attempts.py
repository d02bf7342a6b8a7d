"""A service job's attempts: each is one training job, created, followed to its end, stopped or tried again."""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from typing import Any

from local.batch.records import ENDED, JobRecords, parse_payload
from local.cloud import Cloud
from local.sagemaker.events import milliseconds
from local.sagemaker.protocol import ServiceError
from local.sagemaker.service import SageMaker
from local.sagemaker.store import Record

logger = logging.getLogger(__name__)
STATUS_OF = {  # SageMaker's secondary status -> ours
    "Pending": "SCHEDULED", "Starting": "SCHEDULED", "Downloading": "STARTING", "Training": "RUNNING",
    "Uploading": "RUNNING",
}  # fmt: skip
PREFIX, NAME_LENGTH = "AWSBatch", 63
REASON = "Received status from SageMaker: "
TIMED_OUT = "Job attempt duration exceeded timeout"


class Attempts:
    """`freed` is called when an attempt has given its capacity back."""

    def __init__(self, cloud: Cloud, sagemaker: SageMaker, records: JobRecords, freed: Callable[[], None]) -> None:
        self._training_prefix = f"arn:aws:sagemaker:{cloud.region}:{cloud.account}:training-job"
        self._sagemaker, self._records, self._freed = sagemaker, records, freed
        self._tasks: set[asyncio.Task[None]] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._closed = False
        sagemaker.training.subscribe(self._training_changed)

    def recover(self) -> None:
        """Catches up with the training jobs of attempts that were under way when the platform stopped."""
        for record in self._records.store:
            if record["training"] is None or record["description"]["status"] in ENDED:
                continue
            training = self._sagemaker.training.store.get(record["training"])
            if training is None:  # stopped between taking the capacity and creating the training job
                self._release(record)
                self._records.save(record)
            else:
                self._training_changed(training["description"])

    def close(self) -> None:
        """What SageMaker does while the platform goes down is seen by the next start."""
        self._closed = True
        for timer in self._timers.values():
            timer.cancel()

    def begin(self, record: Record) -> None:
        """Takes the capacity and gives the job to SageMaker; the name is stored first, so that no crash loses it."""
        payload = parse_payload(record["description"]["serviceRequestPayload"])
        record["training"] = training_name(str(payload.get("TrainingJobName", "")))
        record["uses"].append([time.time(), None])
        self._records.save(record)
        self._spawn(self._create(record, {**payload, "TrainingJobName": record["training"]}))

    def stop(self, record: Record) -> None:
        """Stops the attempt's training job; one that is still being created is stopped when it exists."""
        self._spawn(self._stop(record))

    async def _create(self, record: Record, request: Record) -> None:
        try:
            await self._sagemaker.call("CreateTrainingJob", request)
        except ServiceError as error:  # refused at once: no attempt was made and none is left
            self._release(record)
            record["description"].setdefault("statusReason", f"{REASON}{error.message}")
            self._records.move(record, "FAILED")
            self._freed()

    async def _stop(self, record: Record) -> None:
        if record["training"] in self._sagemaker.training.store:
            try:
                await self._sagemaker.call("StopTrainingJob", {"TrainingJobName": record["training"]})
            except ServiceError as error:  # it ended meanwhile; its last status is on the way to us
                logger.info("%s: %s", record["training"], error.message)

    def _training_changed(self, training: Record) -> None:
        """Brings the job to where its training job is."""
        found = [r for r in self._records.store if r["training"] == training["TrainingJobName"]]
        if self._closed or not found:
            return
        record, description = found[0], found[0]["description"]
        if description["status"] == "RUNNABLE":
            self._begun(record)
        if training["TrainingJobStatus"] in ("Completed", "Failed", "Stopped"):
            return self._ended(record, training)
        status: str = STATUS_OF.get(training["SecondaryStatus"]) or description["status"]
        if status == description["status"]:
            return
        if status != "SCHEDULED" and "startedAt" not in description["attempts"][-1]:
            description["startedAt"] = description["attempts"][-1]["startedAt"] = milliseconds(time.time())
            self._limit_time(record)
        self._records.move(record, status)

    def _begun(self, record: Record) -> None:
        """The training job exists."""
        resource = {"name": "TrainingJobArn", "value": f"{self._training_prefix}/{record['training']}"}
        description = record["description"]
        description["latestAttempt"] = {"serviceResourceId": resource}
        description["scheduledAt"] = milliseconds(time.time())
        description["attempts"].append({"serviceResourceId": resource})
        self._records.move(record, "SCHEDULED")
        if description.get("isTerminated"):
            self.stop(record)

    def _ended(self, record: Record, training: Record) -> None:
        description = record["description"]
        message = training.get("FailureReason") or training["SecondaryStatusTransitions"][-1]["StatusMessage"]
        description["attempts"][-1] |= {"stoppedAt": milliseconds(time.time()), "statusReason": f"{REASON}{message}"}
        self._release(record)
        terminated = description.get("isTerminated", False)
        if not terminated:
            description["statusReason"] = TIMED_OUT if record.pop("timed_out", False) else f"{REASON}{message}"
        if training["TrainingJobStatus"] == "Completed":
            self._records.move(record, "SUCCEEDED")
        elif training["TrainingJobStatus"] == "Failed" and not terminated and retries(description):
            self._records.move(record, "RUNNABLE")
        else:
            self._records.move(record, "FAILED")
        self._freed()

    def _release(self, record: Record) -> None:
        record["training"] = None
        record["uses"][-1][1] = time.time()
        if timer := self._timers.pop(record["description"]["jobId"], None):
            timer.cancel()

    def _limit_time(self, record: Record) -> None:
        seconds = record["description"].get("timeoutConfig", {}).get("attemptDurationSeconds")

        def expire() -> None:
            record["timed_out"] = True
            self.stop(record)

        if seconds:
            loop = asyncio.get_running_loop()
            self._timers[record["description"]["jobId"]] = loop.call_later(seconds, expire)

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


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

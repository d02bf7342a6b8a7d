"""What training and processing jobs have in common: one record each, one life each, and names used once."""

import asyncio
import logging
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from local.cloud import Cloud
from local.sagemaker import listing, processes, storage
from local.sagemaker.events import EventSender
from local.sagemaker.job_run import PLATFORM_STOPPED, JobRun
from local.sagemaker.protocol import ServiceError, invalid
from local.sagemaker.store import Record, Store

logger = logging.getLogger(__name__)
SAVE_SECONDS = 5.0  # for the last checkpoints and log lines when the platform goes down
FINISHED = ("Completed", "Failed", "Stopped")


class Jobs(ABC):
    """Jobs of one kind run side by side; the account's quota is unlimited unless a fault sets one.

    `noun` is "Training" or "Processing", as the API's names begin.
    """

    noun: str

    def __init__(self, cloud: Cloud, events: EventSender, stop_grace: float) -> None:
        self.cloud = cloud
        self.stop_grace = stop_grace
        self.isolation = False
        self.store = Store(cloud.home / f"state/{self.noun.lower()}-jobs")
        self._name, self._status = f"{self.noun}JobName", f"{self.noun}JobStatus"
        self._events = events
        self._runs: dict[str, tuple[JobRun, asyncio.Task[None]]] = {}

    @abstractmethod
    def folder(self, name: str) -> Path:
        """What the program of the job `name` knows as /opt/ml."""

    @abstractmethod
    def instance_type(self, request: Record) -> str:
        """The instance type that a create request asks for."""

    @abstractmethod
    def stopping(self, record: Record) -> None:
        """Stores and announces that a job is being stopped."""

    @abstractmethod
    def finish(self, record: Record, outcome: Any) -> None:
        """Stores and announces how a job ended, which is what its run returned."""

    @abstractmethod
    def fail(self, record: Record, reason: str) -> None:
        """As `finish`, for a job that ended without its run."""

    async def start(self) -> None:
        """Ends the jobs that a stopped platform left in progress, and their processes."""
        self.isolation = await processes.network_isolation_available()
        for record in self.store:
            description = record["description"]
            if description[self._status] not in FINISHED:
                base = self.folder(description[self._name])
                processes.reap(**record.get("process", {"pid": 0, "started": ""}))
                processes.kill_all_in(base)
                storage.remove(base)
                self.fail(record, PLATFORM_STOPPED)

    async def shutdown(self, grace: float) -> None:
        """Interrupts every job and waits until they have ended; a job that cannot is found by the next start."""
        runs = list(self._runs.values())
        for run, _ in runs:
            run.interrupt(grace)
        if runs:
            await asyncio.wait([task for _, task in runs], timeout=grace + SAVE_SECONDS)

    def describe(self, request: Record) -> Record:
        return self._find(request)["description"]

    def list(self, request: Record) -> Record:
        found, token = listing.page(
            (r["description"] for r in self.store), request, f"{self.noun}Job", default_order="Ascending"
        )
        return {f"{self.noun}JobSummaries": found, "NextToken": token}

    def stop(self, request: Record) -> Record:
        record = self._find(request)
        status = record["description"][self._status]
        if status in FINISHED:
            raise invalid(f"The request was rejected because the {self.noun.lower()} job is in status {status}.")
        if status != "Stopping":
            self.stopping(record)
            self._runs[record["description"][self._name]][0].stop()
        return {}

    def delete(self, request: Record) -> Record:
        description = self._find(request)["description"]
        if description[self._status] not in FINISHED:
            arn = description[f"{self.noun}JobArn"]
            raise ServiceError("ResourceInUse", f"{self.noun} job {arn} is still in progress.")
        self.store.delete(description[self._name])
        return {}

    def save(self, record: Record) -> None:
        self.store.put(record["description"][self._name], record)

    def new_arn(self, name: str) -> str:
        """The ARN of a job that is about to be made. Raises ResourceInUse when there is one of this name."""
        arn = f"arn:aws:sagemaker:{self.cloud.region}:{self.cloud.account}:{self.noun.lower()}-job/{name}"
        if name in self.store:
            raise ServiceError(
                "ResourceInUse",
                f"{self.noun} job names must be unique within an AWS account and region, "
                f"and a {self.noun.lower()} job with this name already exists ({arn})",
            )
        return arn

    def check_quota(self, instance_type: str) -> None:
        """Raises ResourceLimitExceeded when a fault allows no further instance of this type."""
        limit = self.cloud.faults.quota.get(instance_type)
        if limit is None:
            return
        used = sum(
            r["description"][self._status] not in FINISHED and self.instance_type(r["request"]) == instance_type
            for r in self.store
        )
        if used + 1 > limit:
            raise ServiceError(
                "ResourceLimitExceeded",
                f"The account-level service limit '{instance_type} for {self.noun.lower()} job usage' is {limit} "
                f"Instances, with current utilization of {used} Instances and a request delta of 1 Instances. "
                "Please use AWS Service Quotas to request an increase for this quota.",
            )

    def capacity_wait(self, request: Record) -> float:
        """Seconds that a fault lets a job wait for its instance."""
        return self.cloud.faults.capacity_wait.get(self.instance_type(request), 0)

    def begin(self, run: JobRun) -> None:
        """Lets a new job live."""
        name = run.record["description"][self._name]
        self._runs[name] = run, asyncio.create_task(self._live(name, run))

    async def _live(self, name: str, run: JobRun) -> None:
        try:
            self.finish(run.record, await run.run())
        except Exception as error:  # our own fault; the job must still end
            logger.exception("%s job %s", self.noun.lower(), name)
            self.fail(run.record, f"InternalServerError: {error!r}")
        finally:
            self._runs.pop(name, None)

    def _find(self, request: Record) -> Record:
        record = self.store.get(request[self._name])
        if record is None:
            raise invalid("Requested resource not found.")
        return record

"""Training jobs: what the API says of them, and every change of their status."""

import asyncio
import logging
import time
from collections.abc import Callable

from local.cloud import Cloud
from local.sagemaker import listing, processes, storage
from local.sagemaker.events import EventSender, training_event
from local.sagemaker.protocol import ServiceError, invalid
from local.sagemaker.runner import PLATFORM_STOPPED, Outcome, TrainingRun
from local.sagemaker.store import Record, Store
from local.sagemaker.training_request import COPIED, check, output_folder

logger = logging.getLogger(__name__)
SAVE_SECONDS = 5.0  # for the last checkpoints and log lines when the platform goes down
FINISHED = ("Completed", "Failed", "Stopped")
MESSAGES = {
    "Pending": "Training job waiting for capacity",
    "Starting": "Starting the training job",
    "Downloading": "Downloading input data",
    "Training": "Training in-progress",
    "Uploading": "Uploading generated training model",
    "Stopping": "Stopping the training job",
    "Completed": "Training job completed",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
}


class TrainingJobs:
    """Jobs run side by side on this machine; the account's quota is unlimited unless a fault sets one."""

    def __init__(self, cloud: Cloud, events: EventSender, stop_grace: float) -> None:
        self.cloud = cloud
        self.stop_grace = stop_grace
        self.isolation = False
        self._store = Store(cloud.home / "state/training-jobs")
        self._events = events
        self._runs: dict[str, tuple[TrainingRun, asyncio.Task[None]]] = {}
        self._listeners: list[Callable[[Record], None]] = []

    def subscribe(self, listener: Callable[[Record], None]) -> None:
        """`listener(description)` is called on the event loop at every status change, after it was stored."""
        self._listeners.append(listener)

    async def start(self) -> None:
        """Ends the jobs that a stopped platform left in progress, and their processes."""
        self.isolation = await processes.network_isolation_available()
        for record in self._store:
            description = record["description"]
            if description["TrainingJobStatus"] not in FINISHED:
                base = self.cloud.home / "jobs" / description["TrainingJobName"]
                processes.reap(**record.get("process", {"pid": 0, "started": ""}))
                processes.kill_all_in(base)
                storage.remove(base)
                self.finish(record, Outcome("Failed", "Failed", PLATFORM_STOPPED))

    async def shutdown(self, grace: float) -> None:
        """Interrupts every job and waits until they have ended; a job that cannot is found by the next start."""
        runs = list(self._runs.values())
        for run, _ in runs:
            run.interrupt(grace)
        if runs:
            await asyncio.wait([task for _, task in runs], timeout=grace + SAVE_SECONDS)

    def create(self, request: Record) -> Record:
        check(request)
        name = request["TrainingJobName"]
        arn = self._arn(name)
        if name in self._store:
            raise ServiceError(
                "ResourceInUse",
                "Training job names must be unique within an AWS account and region, "
                f"and a training job with this name already exists ({arn})",
            )
        self._check_quota(request["ResourceConfig"]["InstanceType"])
        now = time.time()
        description = {
            **{member: request[member] for member in COPIED if member in request},
            "TrainingJobArn": arn,
            "ModelArtifacts": {"S3ModelArtifacts": f"{output_folder(request)}/model.tar.gz"},
            "TrainingJobStatus": "InProgress",
            "CreationTime": now,
            "SecondaryStatusTransitions": [],
        }
        record = {"description": description, "request": request, "tags": request.get("Tags", [])}
        waits = self.cloud.faults.capacity_wait.get(request["ResourceConfig"]["InstanceType"], 0)
        self.transition(record, "Pending" if waits else "Starting")
        run = TrainingRun(self, record, waits)
        self._runs[name] = run, asyncio.create_task(self._run(name, run))
        return {"TrainingJobArn": arn}

    def describe(self, request: Record) -> Record:
        return self._find(request)["description"]

    def list(self, request: Record) -> Record:
        found, token = listing.page((r["description"] for r in self._store), request, "TrainingJob", "Ascending")
        return {"TrainingJobSummaries": found, "NextToken": token}

    def stop(self, request: Record) -> Record:
        record = self._find(request)
        description = record["description"]
        if description["TrainingJobStatus"] in FINISHED:
            raise invalid(
                f"The request was rejected because the training job is in status {description['TrainingJobStatus']}."
            )
        if description["TrainingJobStatus"] != "Stopping":
            self.transition(record, "Stopping", status="Stopping")
            self._runs[description["TrainingJobName"]][0].stop()
        return {}

    def delete(self, request: Record) -> Record:
        description = self._find(request)["description"]
        if description["TrainingJobStatus"] not in FINISHED:
            raise ServiceError("ResourceInUse", f"Training job {description['TrainingJobArn']} is still in progress.")
        self._store.delete(description["TrainingJobName"])
        return {}

    @property
    def store(self) -> Store:
        return self._store

    def save(self, record: Record) -> None:
        self._store.put(record["description"]["TrainingJobName"], record)

    def transition(self, record: Record, secondary: str, status: str | None = None, message: str | None = None) -> None:
        """Moves a job to a secondary status: stored first, then announced."""
        now = time.time()
        description = record["description"]
        if status:
            description["TrainingJobStatus"] = status
        steps = description["SecondaryStatusTransitions"]
        if steps:
            steps[-1].setdefault("EndTime", now)
        steps.append({"Status": secondary, "StartTime": now, "StatusMessage": message or MESSAGES.get(secondary, "")})
        description |= {"SecondaryStatus": secondary, "LastModifiedTime": now}
        self.save(record)
        self._events.send(training_event(description, record["tags"]))
        for listener in self._listeners:
            listener(description)

    def finish(self, record: Record, outcome: Outcome) -> None:
        """The job's last transition."""
        now = time.time()
        description = record["description"]
        if outcome.reason:
            description["FailureReason"] = outcome.reason[:1024]
        if "TrainingStartTime" in description:
            seconds = round(now - description["TrainingStartTime"])
            description |= {"TrainingEndTime": now, "TrainingTimeInSeconds": seconds, "BillableTimeInSeconds": seconds}
        record.pop("process", None)
        self.transition(record, outcome.secondary, outcome.status, outcome.reason or None)
        description["SecondaryStatusTransitions"][-1]["EndTime"] = now
        self.save(record)

    async def _run(self, name: str, run: TrainingRun) -> None:
        try:
            self.finish(run.record, await run.run())
        except Exception as error:  # our own fault; the job must still end
            logger.exception("training job %s", name)
            self.finish(run.record, Outcome("Failed", "Failed", f"InternalServerError: {error!r}"))
        finally:
            self._runs.pop(name, None)

    def _find(self, request: Record) -> Record:
        record = self._store.get(request["TrainingJobName"])
        if record is None:
            raise invalid("Requested resource not found.")
        return record

    def _check_quota(self, instance_type: str) -> None:
        limit = self.cloud.faults.quota.get(instance_type)
        if limit is None:
            return
        used = sum(
            r["description"]["TrainingJobStatus"] not in FINISHED
            and r["request"]["ResourceConfig"]["InstanceType"] == instance_type
            for r in self._store
        )
        if used + 1 > limit:
            raise ServiceError(
                "ResourceLimitExceeded",
                f"The account-level service limit '{instance_type} for training job usage' is {limit} Instances, "
                f"with current utilization of {used} Instances and a request delta of 1 Instances. "
                "Please use AWS Service Quotas to request an increase for this quota.",
            )

    def _arn(self, name: str) -> str:
        return f"arn:aws:sagemaker:{self.cloud.region}:{self.cloud.account}:training-job/{name}"

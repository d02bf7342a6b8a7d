"""Training jobs: what the API says of them, and every change of their status."""

import time
from collections.abc import Callable
from pathlib import Path

from local.cloud import Cloud
from local.sagemaker.events import EventSender, training_event
from local.sagemaker.jobs import Jobs
from local.sagemaker.runner import Outcome, TrainingRun
from local.sagemaker.store import Record
from local.sagemaker.training_request import COPIED, check, output_folder

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


class TrainingJobs(Jobs):
    """The training jobs of this machine."""

    noun = "Training"

    def __init__(self, cloud: Cloud, events: EventSender, stop_grace: float) -> None:
        super().__init__(cloud, events, stop_grace)
        self._listeners: list[Callable[[Record], None]] = []

    def subscribe(self, listener: Callable[[Record], None]) -> None:
        """`listener(description)` is called on the event loop at every status change, after it was stored."""
        self._listeners.append(listener)

    def folder(self, name: str) -> Path:
        return self.cloud.home / "jobs" / name

    def instance_type(self, request: Record) -> str:
        return request["ResourceConfig"]["InstanceType"]

    def create(self, request: Record) -> Record:
        check(request)
        arn = self.new_arn(request["TrainingJobName"])
        self.check_quota(self.instance_type(request))
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
        self.transition(record, "Pending" if self.capacity_wait(request) else "Starting")
        self.begin(TrainingRun(self, record))
        return {"TrainingJobArn": arn}

    def stopping(self, record: Record) -> None:
        self.transition(record, "Stopping", status="Stopping")

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

    def fail(self, record: Record, reason: str) -> None:
        self.finish(record, Outcome("Failed", "Failed", reason))

"""Processing jobs: what the API says of them, and every change of their status."""

import time
from pathlib import Path

from local.sagemaker.events import processing_event
from local.sagemaker.jobs import Jobs
from local.sagemaker.processing_request import COPIED, check
from local.sagemaker.processing_run import Outcome, ProcessingRun
from local.sagemaker.store import Record


class ProcessingJobs(Jobs):
    """The processing jobs of this machine."""

    noun = "Processing"

    def folder(self, name: str) -> Path:
        return self.cloud.home / "processing" / name

    def instance_type(self, request: Record) -> str:
        return request["ProcessingResources"]["ClusterConfig"]["InstanceType"]

    def create(self, request: Record) -> Record:
        check(request)
        arn = self.new_arn(request["ProcessingJobName"])
        self.check_quota(self.instance_type(request))
        description = {
            **{member: request[member] for member in COPIED if member in request},
            "ProcessingJobArn": arn,
            "CreationTime": time.time(),
        }
        record = {"description": description, "request": request, "tags": request.get("Tags", [])}
        self._transition(record, "InProgress")
        self.begin(ProcessingRun(self, record))
        return {"ProcessingJobArn": arn}

    def stopping(self, record: Record) -> None:
        self._transition(record, "Stopping")

    def finish(self, record: Record, outcome: Outcome) -> None:
        description = record["description"]
        if outcome.reason:
            description["FailureReason"] = outcome.reason[:1024]
        if outcome.exit_message:
            description["ExitMessage"] = outcome.exit_message
        if "ProcessingStartTime" in description:
            description["ProcessingEndTime"] = time.time()
        record.pop("process", None)
        self._transition(record, outcome.status)

    def fail(self, record: Record, reason: str) -> None:
        self.finish(record, Outcome("Failed", reason))

    def _transition(self, record: Record, status: str) -> None:
        """Moves a job to a status: stored first, then announced."""
        description = record["description"]
        description |= {"ProcessingJobStatus": status, "LastModifiedTime": time.time()}
        self.save(record)
        self._events.send(processing_event(description))

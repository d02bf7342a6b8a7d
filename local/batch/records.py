"""Service jobs as stored: what DescribeServiceJob shows, and what the scheduler keeps beside it."""

import json
import time
from typing import Any

from local.batch.limits import refused
from local.cloud import Cloud
from local.sagemaker.events import Event, EventSender, milliseconds
from local.sagemaker.store import Record, Store

ENDED = ("SUCCEEDED", "FAILED")
NOT_IN_EVENTS = ("tags", "serviceRequestPayload")


class JobRecords:
    """A record holds `description`, `token`, `order`, `capacity`, `uses` (start and stop of each attempt's capacity)
    and `training`: the name of the training job of the attempt under way, or None."""

    def __init__(self, cloud: Cloud, events: EventSender) -> None:
        self.store = Store(cloud.home / "state/service-jobs")
        self._events = events

    def find(self, job_id: str) -> Record:
        """By id or ARN. Raises ClientException."""
        record = self.store.get(job_id.rpartition("/")[2])
        if record is None:
            raise refused(f"Service job {job_id} does not exist.")
        return record

    def of(self, queue: Record) -> list[Record]:
        return [r for r in self.store if r["description"]["jobQueue"] == queue["jobQueueArn"]]

    def waiting(self, queue: Record) -> list[Record]:
        """RUNNABLE jobs whose next attempt is not under way."""
        return [r for r in self.of(queue) if r["description"]["status"] == "RUNNABLE" and r["training"] is None]

    def capacity_by_share(self, queue: Record) -> dict[str, int]:
        """Instances in use by the queue's jobs; jobs of a queue without shares count under ""."""
        used: dict[str, int] = {}
        for record in self.of(queue):
            if record["training"] is not None:
                share = record["description"].get("shareIdentifier", "")
                used[share] = used.get(share, 0) + record["capacity"]
        return used

    def save(self, record: Record) -> None:
        self.store.put(record["description"]["jobId"], record)

    def move(self, record: Record, status: str) -> None:
        """Moves a job to a status: stored first, then announced."""
        description = record["description"]
        description["status"] = status
        if status in ENDED:
            description["stoppedAt"] = milliseconds(time.time())
        self.save(record)
        self._announce("Batch Service Job State Change", description)

    def blocked(self, record: Record, reason: str) -> None:
        """Says why a waiting job blocks its queue: stored first, then announced. AWS tells it in the same words."""
        record["description"]["statusReason"] = reason
        self.save(record)
        self._announce("Batch Service Job Queue Blocked", record["description"])

    def _announce(self, kind: str, description: Record) -> None:
        detail = {k: v for k, v in description.items() if k not in NOT_IN_EVENTS}
        self._events.send(Event("aws.batch", kind, detail, [description["jobArn"]]))


def parse_payload(text: str) -> Record:
    """The CreateTrainingJob request in a payload; an empty one when there is none, as Batch does not judge it."""
    try:
        payload = json.loads(text)
    except ValueError:
        return {}
    return payload if isinstance(payload, dict) else {}


def instance_count(payload: str) -> int:
    """How much of NUM_INSTANCES a payload needs; one when it does not say."""
    resources = parse_payload(payload).get("ResourceConfig")
    if not isinstance(resources, dict):
        return 1
    groups: list[Any] = resources.get("InstanceGroups") or [resources]
    counts = [group.get("InstanceCount", 1) for group in groups if isinstance(group, dict)]
    return sum(count for count in counts if isinstance(count, int)) or 1

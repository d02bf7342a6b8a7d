"""Events of our services: their shapes, and their way to EventBridge.

AWS may send an event twice, late or not at all; tests switch that on with `cloud.faults.events`.
"""

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

from local.cloud import Cloud
from local.sagemaker.concurrency import in_thread

logger = logging.getLogger(__name__)
OVERTAKING_TIME = 0.5  # seconds a held event waits for a successor

PROCESSING_TIMES = ("CreationTime", "ProcessingStartTime", "ProcessingEndTime", "LastModifiedTime")


@dataclass(frozen=True)
class Event:
    source: str
    detail_type: str
    detail: dict[str, Any]
    resources: list[str]


class Delivery:
    """Which events reach the bus, and when, under a fault mode ("" is a bus without faults)."""

    def __init__(self) -> None:
        self.held: list[Event] = []

    def deliver(self, event: Event, mode: str) -> list[Event]:
        """What reaches the bus once `event` has happened; "reorder" makes neighbours change places."""
        held = self.release()
        if mode == "drop":
            return held
        if mode == "duplicate":
            return [*held, event, event]
        if mode == "reorder" and not held:
            self.held = [event]
            return []
        return [event, *held] if mode == "reorder" else [*held, event]

    def release(self) -> list[Event]:
        """The held event, for when nothing came to overtake it."""
        held, self.held = self.held, []
        return held


class EventSender:
    """A queue in front of the bus, so that a state change never waits for its event's targets."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._delivery = Delivery()
        self._queue: asyncio.Queue[Event | None] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    def send(self, event: Event) -> None:
        """Queues the event; call it on the event loop."""
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        self._queue.put_nowait(event)

    async def close(self) -> None:
        """Sends what is queued, then ends."""
        if self._task is not None:
            self._queue.put_nowait(None)
            await self._task
            self._task = None

    async def _run(self) -> None:
        while True:
            try:
                event = await asyncio.wait_for(self._queue.get(), OVERTAKING_TIME if self._delivery.held else None)
            except TimeoutError:
                await self._emit(self._delivery.release())
                continue
            if event is None:
                return await self._emit(self._delivery.release())
            await self._emit(self._delivery.deliver(event, self._cloud.faults.events))

    async def _emit(self, events: list[Event]) -> None:
        for event in events:
            try:
                await in_thread(self._cloud.emit, event.source, event.detail_type, event.detail, event.resources)
            except Exception:  # the bus is best effort, as on AWS; the state it announces is already stored
                logger.exception("event not delivered: %s %s", event.detail_type, event.resources)


def milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def training_event(job: dict[str, Any], tags: list[dict[str, str]]) -> Event:
    """The detail that SageMaker sends: DescribeTrainingJob, times as strings of epoch milliseconds, tags as a map."""
    transitions = [_times(t, ("StartTime", "EndTime")) for t in job["SecondaryStatusTransitions"]]
    detail = {
        **_times(job, ("CreationTime", "TrainingStartTime", "TrainingEndTime", "LastModifiedTime")),
        "SecondaryStatusTransitions": transitions,
        "FinalMetricDataList": [_times(m, ("Timestamp",)) for m in job.get("FinalMetricDataList", [])],
        "Tags": {t["Key"]: t["Value"] for t in tags},
    }
    return Event("aws.sagemaker", "SageMaker Training Job State Change", detail, [job["TrainingJobArn"]])


def processing_event(job: dict[str, Any]) -> Event:
    """The detail that SageMaker sends: DescribeProcessingJob, times as epoch milliseconds."""
    times = {name: milliseconds(job[name]) for name in PROCESSING_TIMES if name in job}
    return Event("aws.sagemaker", "SageMaker Processing Job State Change", {**job, **times}, [job["ProcessingJobArn"]])


def endpoint_event(endpoint: dict[str, Any], tags: list[dict[str, str]]) -> Event:
    """The detail that SageMaker sends: the status in upper case with underscores, times as epoch milliseconds."""
    detail = {
        "EndpointName": endpoint["EndpointName"],
        "EndpointArn": endpoint["EndpointArn"],
        "EndpointConfigName": endpoint["EndpointConfigName"],
        "ProductionVariants": endpoint.get("ProductionVariants", []),
        "EndpointStatus": upper_snake(endpoint["EndpointStatus"]),
        "CreationTime": milliseconds(endpoint["CreationTime"]),
        "LastModifiedTime": milliseconds(endpoint["LastModifiedTime"]),
        "Tags": {t["Key"]: t["Value"] for t in tags},
    }
    if "FailureReason" in endpoint:
        detail["FailureReason"] = endpoint["FailureReason"]
    return Event("aws.sagemaker", "SageMaker Endpoint State Change", detail, [endpoint["EndpointArn"]])


def upper_snake(status: str) -> str:
    """InService -> IN_SERVICE."""
    return "".join(f"_{c}" if c.isupper() and i else c for i, c in enumerate(status)).upper()


def _times(record: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {k: str(milliseconds(v)) if k in names else v for k, v in record.items()}

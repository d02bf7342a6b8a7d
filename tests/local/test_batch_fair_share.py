"""The local AWS Batch against an independent model of the documented rule, on random loads.

The service decides for itself; only its clock and the training jobs' durations are the test's.
Run: python -m pytest tests/local/test_batch_fair_share.py
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from local.batch import Batch, attempts, jobs, records, service
from local.cloud import Cloud, Image
from local.faults import Faults

LOADS, SETTLED = 200, 12  # turns of the loop after which nothing is left to do


@dataclass
class Asked:
    """A job of a load; times in seconds."""

    name: str
    queue: str
    share: str
    priority: int
    instances: int
    arrives: float
    lasts: float
    changes: list[tuple[float, int | None]] = field(default_factory=list)  # at a time: another priority, or terminated


@dataclass
class Load:
    """What a seed asks for: environment -> instances, weights of shares, the decay's window, jobs."""

    capacity: dict[str, int]
    weights: dict[str, float]
    window: int
    jobs: list[Asked]


def load(seed: int) -> Load:
    """A load in which queues form: two environments, users of different weights, changes on the way."""
    dice = random.Random(seed)
    capacity = {"small": dice.randint(1, 2), "large": dice.randint(2, 5)}
    shares = dice.sample(["ada", "bob", "eve", "teamA", "teamB"], dice.randint(1, 4))
    asked = []
    for number in range(dice.randint(6, 20)):
        queue, arrives = dice.choice(["small", "large"]), dice.uniform(0, 1500)
        job = Asked(
            name=f"job{number}",
            queue=queue,
            share=dice.choice(shares),
            priority=dice.choice([0, 0, 10, 50]),
            instances=dice.randint(1, capacity[queue]),
            arrives=arrives,
            lasts=dice.expovariate(1 / 400),
        )
        if dice.random() < 0.25:
            job.changes.append((arrives + dice.uniform(0, 600), dice.choice([None, 0, 99])))
        asked.append(job)
    weights = {"eve": 0.125, "team*": 2.0} if dice.random() < 0.5 else {}
    return Load(capacity, weights, dice.choice([0, 900, 3600]), asked)


# ------------------------------------------------------------------------------------------------------- the model


def model(load: Load) -> list[tuple[float, str]]:
    """When each job starts, by Batch's documents: the share with the least usage times its weight is next (the older
    job's where they are equal); within a share priority, then age; the next one waits, with all behind it, for room.

    That recent usage counts more is documented, how much is not: in a straight line to nothing, and a minute at least
    for what runs, as local/batch/scheduling.py says too.
    """
    window = load.window or 600
    waiting, used, starts = [], {}, []  # used: job -> [job, start, end or None]
    events = events_of(load)
    jobs, priority = {job.name: job for job in load.jobs}, {job.name: job.priority for job in load.jobs}

    def debt(job: Asked, now: float) -> float:
        total = 0.0
        for other, start, end in used.values():
            first, last = max(start, now - window), now if end is None else end
            seconds = max(0.0, last - first) * (1 - (2 * now - first - last) / 2 / window)  # length times mean weight
            same = (other.share, other.queue) == (job.share, job.queue)
            total += same * other.instances * (max(seconds, 60.0) if end is None else seconds)
        return total * next((w for s, w in load.weights.items() if job.share.startswith(s.rstrip("*"))), 1.0)

    while events:
        now, _, name, what = heapq.heappop(events)
        job = jobs[name]
        if what == "arrives":
            waiting.append(job)
        elif isinstance(what, int) and job in waiting:
            priority[name] = what
        elif what is None and job in waiting:
            waiting.remove(job)
        elif what in ("ends", None) and name in used:
            used[name][2] = used[name][2] or now
        for queue, capacity in load.capacity.items():
            while queued := [job for job in waiting if job.queue == queue]:
                heads = {job.share: job for job in sorted(queued, key=lambda job: (priority[job.name], -job.arrives))}
                head = min(heads.values(), key=lambda job: (debt(job, now), job.arrives))
                busy = sum(job.instances for job, _, end in used.values() if job.queue == queue and end is None)
                if head.instances > capacity - busy:
                    break
                waiting.remove(head)
                used[head.name] = [head, now, None]
                starts.append((now, head.name))
                heapq.heappush(events, (now + head.lasts, 2, head.name, "ends"))
    return starts


def events_of(load: Load) -> list[tuple[float, int, str, Any]]:
    """What happens from outside, as a heap: (time, a number that orders one job's events, job, what)."""
    events: list[tuple[float, int, str, Any]] = [(job.arrives, 0, job.name, "arrives") for job in load.jobs]
    events += [(at, 1, job.name, to) for job in load.jobs for at, to in job.changes]
    heapq.heapify(events)
    return events


# ----------------------------------------------------------------------------------------------------- the service


class Clock:
    """The time that the service sees."""

    def __init__(self) -> None:
        self.now = 0.0
        self._order = itertools.count()

    def time(self) -> float:
        return self.now

    def time_ns(self) -> int:
        return next(self._order)  # the order of submissions

    def monotonic(self) -> float:
        return float(next(self._order))  # no limit on submissions


class Machines:
    """SageMaker as Batch sees it: training jobs that start at once and end when the test says."""

    def __init__(self, started: Callable[[str], None]) -> None:
        self.training, self.store, self._started = self, {}, started

    def attach(self, other: Any) -> None:
        pass

    def subscribe(self, listener: Callable[[dict[str, Any]], None]) -> None:
        self._listener = listener

    async def call(self, operation: str, request: dict[str, Any]) -> None:
        name = request["TrainingJobName"]
        if operation == "StopTrainingJob":
            return self.end(name, "Stopped")
        self.store[name] = {"TrainingJobName": name, "SecondaryStatusTransitions": [{"StatusMessage": "It ended"}]}
        self._moved(name, "InProgress", "Training")
        self._started(name)

    def end(self, name: str, status: str = "Completed") -> None:
        if self.store[name]["TrainingJobStatus"] == "InProgress":
            self._moved(name, status, status)

    def _moved(self, name: str, status: str, secondary: str) -> None:
        self.store[name] |= {"TrainingJobStatus": status, "SecondaryStatus": secondary}
        self._listener(self.store[name])


async def replay(load: Load, home: Path, clock: Clock) -> list[tuple[float, str]]:
    """When the service starts each job of a load."""
    starts, ids, running = [], {}, {}  # ids: job -> Batch's; running: job -> training job
    asked = {job.name: job for job in load.jobs}
    events = events_of(load)

    def started(training: str) -> None:
        name = training.removeprefix(attempts.PREFIX)[:-32]
        starts.append((clock.now, name))
        running[name] = training
        heapq.heappush(events, (clock.now + asked[name].lasts, 2, name, "ends"))

    cloud = Cloud(home, "us-east-1", "0" * 12, no_client, lambda *_: None, lambda *_: True, no_image, Faults())
    machines = Machines(started)
    batch = Batch(cloud, machines)  # pyright: ignore[reportArgumentType]  # all that it asks of SageMaker
    await prepare(batch, load)
    while events:
        clock.now, _, name, what = heapq.heappop(events)
        job = asked[name]
        if what == "arrives":
            ids[name] = (await batch.call("SubmitServiceJob", submission(job)))["jobId"]
        elif what == "ends":
            machines.end(running[name])
        elif what is None:
            await batch.call("TerminateServiceJob", {"jobId": ids[name], "reason": "changed my mind"})
        elif name not in running and not is_over(await batch.call("DescribeServiceJob", {"jobId": ids[name]})):
            await batch.call("UpdateServiceJob", {"jobId": ids[name], "schedulingPriority": what})
        for _ in range(SETTLED):
            await asyncio.sleep(0)
    await batch.shutdown()
    return starts


async def prepare(batch: Batch, load: Load) -> None:
    """Make the load's environments, each with its queue, under one policy."""
    distribution = [{"shareIdentifier": share, "weightFactor": weight} for share, weight in load.weights.items()]
    policy = {"shareDecaySeconds": load.window, "shareDistribution": distribution}
    made = await batch.call("CreateSchedulingPolicy", {"name": "fair", "fairsharePolicy": policy})
    for name, instances in load.capacity.items():
        limits = [{"maxCapacity": instances, "capacityUnit": "NUM_INSTANCES"}]
        kind = "SAGEMAKER_TRAINING"
        environment = {"serviceEnvironmentName": name, "serviceEnvironmentType": kind, "capacityLimits": limits}
        await batch.call("CreateServiceEnvironment", environment)
        queue = {"jobQueueName": name, "jobQueueType": kind, "priority": 1, "schedulingPolicyArn": made["arn"]}
        order = [{"order": 1, "serviceEnvironment": name}]
        await batch.call("CreateJobQueue", queue | {"serviceEnvironmentOrder": order})


def submission(job: Asked) -> dict[str, Any]:
    payload = {"TrainingJobName": job.name, "ResourceConfig": {"InstanceCount": job.instances}}
    return {
        "jobName": job.name,
        "jobQueue": job.queue,
        "serviceJobType": "SAGEMAKER_TRAINING",
        "serviceRequestPayload": json.dumps(payload),
        "shareIdentifier": job.share,
        "schedulingPriority": job.priority,
    }


def is_over(described: dict[str, Any]) -> bool:
    return described["status"] in records.ENDED


def no_client(*_: Any) -> Any:
    raise AssertionError("Batch calls no other service")


def no_image(uri: str) -> Image:
    raise AssertionError(f"Batch runs no image, not even {uri}")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (attempts, jobs, records, service):
        monkeypatch.setattr(module, "time", clock)
    return clock


def test_random_loads_start_as_the_documented_rule_says(clock: Clock, tmp_path: Path) -> None:
    started = waited = 0
    for seed in range(LOADS):
        asked = load(seed)
        found = asyncio.run(replay(asked, tmp_path / str(seed), clock))
        assert found == model(asked), f"load {seed}"
        arrived = {job.name: job.arrives for job in asked.jobs}
        started += len(found)
        waited += sum(at > arrived[name] for at, name in found)
    assert started > 2000 and waited > 1000, (started, waited)  # otherwise nothing was decided


def test_the_model_and_the_service_would_be_told_apart(clock: Clock, tmp_path: Path) -> None:
    """Were usage not counted, or priority, some load would end otherwise: the comparison above can fail."""
    for change in ({"share": "one"}, {"priority": 0}):
        differs = 0
        for seed in range(20):
            asked = load(seed)
            found = asyncio.run(replay(asked, tmp_path / f"{seed}{[*change]}", clock))
            for job in asked.jobs:
                for name, value in change.items():
                    setattr(job, name, value)
            differs += found != model(asked)
        assert differs > 5, change

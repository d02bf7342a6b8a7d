"""What is under way at this moment, as gauges; never a read of all that ever was.

A part that does not answer is left out, and `slipway_source_up` says so: a gauge that is missing is not one at zero.
CloudWatch's answers are billed, so each instance of the function asks at most once a minute; its figures are a minute
old in any case.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar, get_args

from lambdas.common import aws
from lambdas.common.environment import mapping, variable
from lambdas.common.errors import Unavailable
from lambdas.common.metric_data import metric_query
from lambdas.common.observability import logger
from lambdas.endpoints import service as endpoints
from lambdas.endpoints.schemas import Endpoint
from lambdas.endpoints.schemas import Status as EndpointStatus
from lambdas.jobs import service as jobs
from lambdas.jobs.schemas import Job
from lambdas.metrics.counting import Series
from lambdas.metrics.gpu import gpu_utilization

Answer = TypeVar("Answer")
Gauges = dict[Series, float]
CLOUDWATCH_SECONDS = 60
RECENT = timedelta(minutes=5)
_remembered: dict[str, tuple[float, Gauges]] = {}  # when it was asked on the process's own clock, and the answer


def gauges() -> Gauges:
    """Return all gauges whose source answers, and of each source whether it did."""
    up: Gauges = {}
    active = answered("jobs", up, lambda: jobs.active(None))
    awake = answered("endpoints", up, lambda: endpoints.awake_endpoints(None))
    cloudwatch = answered("cloudwatch", up, lambda: once_a_minute("cloudwatch", lambda: of_cloudwatch(active, awake)))
    now = datetime.now(UTC)
    return {
        **(of_jobs(active, now) if active is not None else {}),
        **(of_endpoints(awake) if awake is not None else {}),
        **(cloudwatch or {}),
        **up,
    }


def answered(source: str, up: Gauges, ask: Callable[[], Answer]) -> Answer | None:
    """Return what a source answers, None where it does not, which is logged; note in `up` which of the two it was."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        answer = ask()
    except (BotoCoreError, ClientError, Unavailable):
        logger.exception("gauges are missing", extra={"source": source})
        answer = None
    up["slipway_source_up", (source,)] = float(answer is not None)
    return answer


def once_a_minute(name: str, ask: Callable[[], Gauges]) -> Gauges:
    """Return what `ask` answers, or answered less than a minute ago to this process."""
    asked_at, answer = _remembered.get(name, (float("-inf"), {}))
    if time.monotonic() - asked_at >= CLOUDWATCH_SECONDS:
        answer = ask()
        _remembered[name] = time.monotonic(), answer
    return answer


def of_jobs(active: Sequence[Job], now: datetime) -> Gauges:
    """Return how many jobs wait and run, and of each instance type how many wait, and the longest for how long."""
    waiting: dict[str, list[Job]] = {instance_type: [] for instance_type in mapping("QUEUES")}
    for job in active:
        if job.stage == "queued":
            waiting.setdefault(job.instance_type, []).append(job)
    statuses = Counter(job.status for job in active)
    found: Gauges = {("jobs_active", (status,)): statuses[status] for status in ("pending", "running")}
    for instance_type, queued in waiting.items():
        found["queue_depth", (instance_type,)] = len(queued)
        oldest = max((waited(job, now) for job in queued), default=0)
        found["queue_oldest_seconds", (instance_type,)] = oldest
    return found


def waited(job: Job, now: datetime) -> float:
    """Return for how many seconds a job has waited: since it was made, or since the time that it waited for."""
    since = max(datetime.fromisoformat(at) for at in (job.created_at, job.not_before) if at)
    return max(0, (now - since).total_seconds())


def of_endpoints(awake: Sequence[Endpoint]) -> Gauges:
    """Return how many endpoints there are in each status."""
    statuses = Counter(endpoint.status for endpoint in awake)
    return {("endpoint_count", (status,)): statuses[status] for status in get_args(EndpointStatus)}


def of_cloudwatch(active: Sequence[Job] | None, awake: Sequence[Endpoint] | None) -> Gauges:
    """Return what only CloudWatch knows; without jobs or endpoints nothing of GPUs, which would be half the truth."""
    found: Gauges = {("active_requests", ()): active_requests(json.loads(variable("API_FUNCTIONS")))}
    if active is not None and awake is not None:
        busy = gpu_utilization([job for job in active if job.status == "running"], awake)
        if busy is not None:
            found["gpu_utilization_ratio", ()] = round(busy / 100, 3)
    return found


def active_requests(functions: Sequence[str]) -> float:
    """Return how many requests the API's functions were answering at once in the newest minute known, added up."""
    now = datetime.now(UTC)
    answer = aws.client("cloudwatch").get_metric_data(
        MetricDataQueries=[
            metric_query(f"f{number}", "AWS/Lambda", "ConcurrentExecutions", named(name), 60, "Maximum")
            for number, name in enumerate(functions)
        ],
        StartTime=now - RECENT,
        EndTime=now,
        ScanBy="TimestampDescending",
    )
    return sum(result["Values"][0] for result in answer["MetricDataResults"] if result["Values"])


def named(function: str) -> list[dict[str, str]]:
    """Return the dimensions of a function's metrics."""
    return [{"Name": "FunctionName", "Value": function}]

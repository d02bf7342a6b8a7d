"""The dashboard: counters, and what is under way at this moment; never a read of all that ever was.

Tables answer or the request fails. Batch and CloudWatch only add to the page: when one of them does not answer, its
part is null, the system's status says so, and the rest is there.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from lambdas.common.environment import variable
from lambdas.common.identity import Caller
from lambdas.common.instances import has_gpu
from lambdas.common.observability import logger
from lambdas.datasets import service as datasets
from lambdas.endpoints import service as endpoints
from lambdas.endpoints.schemas import Endpoint
from lambdas.jobs import service as jobs
from lambdas.jobs.schemas import Job
from lambdas.metrics import service as metrics
from lambdas.models import service as models
from lambdas.stats.schemas import (
    Activity,
    Dashboard,
    DatasetFigures,
    Gpus,
    Holder,
    ModelFigures,
    Part,
    QueueFigures,
    StorageFigures,
    SystemStatus,
    Trainings,
)

Answer = TypeVar("Answer")


def of(caller: Caller, days: int) -> Dashboard:
    """Return the caller's dashboard; an admin's has everybody's trainings, endpoints and activity."""
    owner = None if caller.is_admin else caller.username
    active, awake = jobs.active(owner), endpoints.awake_endpoints(owner)
    running = [job for job in active if job.status == "running"]
    held = datasets.held_by([caller.username]).get(caller.username, datasets.Held())
    missing: list[Part] = []
    queues = answered("queues", missing, lambda: queue_figures(caller))
    busy = answered("metrics", missing, lambda: metrics.gpu_utilization(running, awake))
    return Dashboard(
        scope="everybody" if caller.is_admin else "yours",
        datasets=DatasetFigures(total=held.datasets, bytes=held.bytes),
        models=model_figures(caller.username),
        trainings=Trainings(active=len(active), running=len(running), waiting=len(active) - len(running)),
        gpus=Gpus(instances=gpu_instances([*running, *awake]), utilization_percent=busy),
        storage=storage_figures(caller.username, held.bytes),
        holders=holders(running, awake),
        activity=[Activity(**day.model_dump()) for day in jobs.activity(owner, days)],
        queues=queues,
        system=SystemStatus(status="degraded" if missing else "ok", missing=missing),
    )


def storage_figures(username: str, dataset_bytes: int) -> StorageFigures:
    """Return what a user's files take: of models, one item more is read."""
    model_bytes = models.held_by([username]).get(username, 0)
    return StorageFigures(
        used_bytes=dataset_bytes + model_bytes,
        dataset_bytes=dataset_bytes,
        model_bytes=model_bytes,
        quota_bytes=int(variable("STORAGE_QUOTA_BYTES")),
    )


def model_figures(username: str) -> ModelFigures:
    """Return how many versions a user has, shares, and may read of others."""
    shared = models.count(username, shared_only=True)
    others = max(0, models.shared_by_all() - shared)
    return ModelFigures(yours=models.count(username), shared_by_you=shared, shared_with_you=others)


def holders(running: list[Job], awake: list[Endpoint]) -> list[Holder]:
    """Return who holds instances, the longest first."""
    same = {"id", "name", "status", "instance_type", "instance_count"}
    found = [
        Holder(user_id=job.owner, kind="job", since=job.started_at, **job.model_dump(include=same)) for job in running
    ]
    found += [
        Holder(user_id=endpoint.owner, kind="endpoint", since=endpoint.started_at, **endpoint.model_dump(include=same))
        for endpoint in awake
    ]
    return sorted(found, key=lambda holder: holder.since or "~")


def queue_figures(caller: Caller) -> list[QueueFigures]:
    """Return the stage's queues in figures."""
    return [
        QueueFigures(**queue.model_dump(exclude={"yours"}), yours=len(queue.yours)) for queue in jobs.queues(caller)
    ]


def gpu_instances(holding: list[Any]) -> int:
    """Return how many instances with GPUs jobs and endpoints hold."""
    return sum(each.instance_count for each in holding if has_gpu(each.instance_type or ""))


def answered(part: Part, missing: list[Part], ask: Callable[[], Answer]) -> Answer | None:
    """Return what a service answers; where it does not, note the part as missing, and log why."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return ask()
    except (BotoCoreError, ClientError):
        logger.exception("a part of the dashboard is missing", extra={"part": part})
        missing.append(part)
        return None

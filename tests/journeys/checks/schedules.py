"""What schedules of evaluations go through: what is due is found, makes a job, and its alarm is told of."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lambdas.common.store import now
from lambdas.jobs.schedules import DUE
from tests.journeys.checks import datasets
from tests.journeys.checks.jobs import forget, running
from tests.journeys.checks.world import World, expect, until

URL = "/jobs/evaluations/schedules"


@contextmanager
def due_schedule(world: World, dataset_id: str) -> Iterator[str]:
    """A schedule that is due now, of what an endpoint serves; neither it nor its job is left behind."""
    asked = {"endpoint_id": world.endpoint["id"], "dataset_id": dataset_id}
    request = {"name": "Check", "schedule": "rate(1 day)"} | asked
    id = world.owner.call("POST", URL, request)["id"]
    try:
        yield id
    finally:
        schedule = world.record("jobs", id)
        world.records.delete("jobs", DUE, f"{schedule['next_run_at']}#{id}")
        world.records.delete("jobs", world.user_id, id)
        if "last_job_id" in schedule:
            forget(world, schedule["last_job_id"])


def schedule_running(world: World) -> None:
    """A schedule that is due on another's shared data set makes a job whose workflow starts."""
    run(world, world.shared["id"])


def schedule_on_a_reference(world: World) -> None:
    """So does one on a data set whose file lies in another bucket and is what it was."""
    found = datasets.imported(world)
    with datasets.version(world, "ready", found, "reference") as version:
        datasets.put_manifest(world, version, found)
        run(world, version.dataset_id)


def run(world: World, dataset_id: str) -> None:
    """Wake the function for a schedule as the watcher does."""
    with due_schedule(world, dataset_id) as id:
        world.invoke("jobs_schedule", world.event(id) | {"time": now()})
        job = world.record("jobs", id).get("last_job_id")
        expect(job is not None, "it has made a job")
        expect(world.execution("Train", str(job)) is not None, "its workflow has started")


def evaluation_of_an_endpoint(world: World) -> None:
    """The version that an endpoint serves is asked about."""
    asked = {"name": "Check", "endpoint_id": world.endpoint["id"], "dataset_id": world.dataset["id"]}
    id = world.owner.call("POST", "/jobs/evaluations", asked)["id"]
    try:
        expect(world.record("jobs", id)["endpoint_id"] == world.endpoint["id"], "the job says which")
    finally:
        forget(world, id)


def schedule_waking(world: World) -> None:
    """The watcher has what is due run."""
    with due_schedule(world, world.dataset["id"]) as id:
        world.invoke("jobs_watch", {"detail-type": "Scheduled Event", "time": now()})
        until(lambda: "last_job_id" in world.record("jobs", id), "it has made a job")


def alarm_telling(world: World) -> None:
    """An evaluation whose figure is past its threshold ends with an alarm, which the bus is told of."""
    model = world.job["model"]
    base: dict[str, Any] = {"user_id": world.user_id, "model_id": model["model_id"], "version": model["version"]}
    id = running(world)
    evaluated = {"kind": "evaluation", "base_model": base, "base_model_id": model["id"], "model": model}
    world.records.change("jobs", world.user_id, id, threshold=2, **evaluated)
    try:
        world.invoke("jobs_register", world.event(id))
        expect(world.record("jobs", id)["alarm"], "it is an alarm")
    finally:
        forget(world, id)

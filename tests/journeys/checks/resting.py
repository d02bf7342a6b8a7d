"""What endpoints go through that are put to sleep, and what the statistics read."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from lambdas.common.store import iso
from tests.journeys.checks.endpoints import forget as forget_endpoint
from tests.journeys.checks.world import World, expect

LONG_AGO = iso(datetime.now(UTC) - timedelta(days=2))


@contextmanager
def endpoint(world: World, under_way: bool = False, **changes: Any) -> Iterator[str]:
    """Store an endpoint that SageMaker does not have; the sweep looks at it. Removed in the end."""
    id = world.copy("endpoints", world.endpoint["id"], under_way=under_way, wakes=0, **changes)
    world.records.change("endpoints", world.user_id, id, endpoint_name=f"slipway-local-{id}")
    awake = f"{id}#awake"
    world.records.write("endpoints", owner="awake#", id=awake, user=world.user_id, endpoint=id)
    try:
        yield id
    finally:
        world.records.delete("endpoints", "awake#", awake)
        world.abort("Sleep", f"{id}-sleep-0")
        forget_endpoint(world, id)


def expect_asleep(world: World, id: str) -> None:
    """An endpoint is being put to sleep."""
    expect(world.record("endpoints", id)["status"] == "sleeping", "it sleeps")
    expect(world.execution("Sleep", f"{id}-sleep-0") is not None, "its workflow has started")


def endpoint_watched_by_people(world: World) -> None:
    """An endpoint is put to sleep on request; another one's calls and log are read."""
    served = f"/endpoints/{world.endpoint['id']}"
    expect(world.owner.call("GET", f"{served}/metrics")["total"]["invocations"] >= 0, "its calls are counted")
    expect("items" in world.owner.call("GET", f"{served}/logs"), "its log is read")
    with endpoint(world) as id:
        world.owner.call("POST", f"/endpoints/{id}/sleep")
        expect_asleep(world, id)


def endpoint_sweeping(world: World) -> None:
    """The schedule puts to sleep whose lease has ended and who is idle, and goes on with one that was stuck."""
    lapsed: dict[str, Any] = {"lease_until": LONG_AGO}
    idle: dict[str, Any] = {"lease_until": None, "last_invoked_at": None, "in_service_since": LONG_AGO}
    stuck: dict[str, Any] = {"status": "sleeping", "stopped_at": None, "under_way": True}
    with endpoint(world, **lapsed) as first, endpoint(world, **idle) as second, endpoint(world, **stuck) as third:
        world.invoke("endpoints_watch", {"detail-type": "Scheduled Event", "time": iso(datetime.now(UTC))})
        for id in (first, second, third):
            expect_asleep(world, id)


def statistics(world: World) -> None:
    """Everything that the statistics answer is there, GPUs included, for a user and for an admin."""
    attempt = {"training_job_arn": "arn:aws:sagemaker:::training-job/x", "training_job_name": "x"}
    changes = {"status": "running", "ended_at": None, "instance_type": "ml.g5.xlarge", "attempts": [attempt]}
    id = world.copy("jobs", world.job["id"], **changes)
    try:
        expect(world.owner.call("GET", "/stats/models")["items"] != [], "models are counted")
        expect(len(world.owner.call("GET", "/stats/contributions")["items"]) == 1, "so is what they did")
        expect(len(world.admin.call("GET", "/stats/contributions?limit=2")["items"]) == 2, "everybody's, to an admin")
        for client in (world.owner, world.admin):
            page = client.call("GET", "/dashboard")
            expect(page["system"] == {"status": "ok", "missing": []}, f"every part answers: {page['system']}")
            expect(page["gpus"]["instances"] >= 1 and page["datasets"]["total"] >= 0, "what is there is counted")
            expect(world.endpoint["id"] in [holder["id"] for holder in page["holders"]], "it says who holds what")
    finally:
        world.records.delete("jobs", world.user_id, id)
        world.records.close_wait(id)

"""The workflows by themselves: each on a record that gives it little to do."""

from collections.abc import Callable

from lambdas.common.ids import new_id
from tests.journeys.checks import datasets, endpoints, models
from tests.journeys.checks.jobs import STOPPED, forget
from tests.journeys.checks.world import World, expect, until

FAILED = {"TaskFailed", "LambdaFunctionFailed", "ExecutionFailed"}


def follow(
    world: World, workflow: str, name: str, entered: str | None = None, made: Callable[[], bool] | None = None
) -> None:
    """Wait until an execution succeeds, enters a state or has made what it is to make.

    Raises CheckFailed at the first task that fails.
    """
    arn = world.execution_arn(workflow, name)

    def over() -> bool:
        events = world.stepfunctions.get_execution_history(executionArn=arn)["events"]
        failed = [event for event in events if event["type"] in FAILED]
        expect(not failed, f"{workflow}: {failed[:1]}")
        states = {event["stateEnteredEventDetails"]["name"] for event in events if "stateEnteredEventDetails" in event}
        succeeded = any(event["type"] == "ExecutionSucceeded" for event in events)
        return entered in states or succeeded or (made is not None and made())

    until(over, f"{workflow} is over")


def process_workflow(world: World) -> None:
    """A version's file is copied and read, and the version is ready; a large one goes to SageMaker."""
    with (
        datasets.version(world, "processing", datasets.imported(world)) as small,
        datasets.version(world, "processing", size=datasets.LARGE) as large,
    ):
        for version in (small, large):
            world.start("Process", version.id, world.event(version.id))
        follow(world, "Process", small.id)
        expect(datasets.status_of(world, small) == "ready", "the version is ready")
        follow(world, "Process", large.id, made=lambda: datasets.is_submitted(world, large.id))
        expect(datasets.is_submitted(world, large.id), "the job is at SageMaker")


def scan_workflow(world: World) -> None:
    """A version's file is scanned, and the version is ready."""
    version = models.put_version(world, status="scanning")
    world.start("Scan", version.id, world.event(version.id))
    try:
        follow(world, "Scan", version.id)
        expect(world.record("models", version.id)["status"] == "ready", "the version is ready")
    finally:
        world.abort("Scan", version.id)


def import_workflow(world: World) -> None:
    """A version's file is brought from the Hub, and the version is scanned."""
    version, _ = models.put_import(world)
    world.start("Import", version.id, world.event(version.id))
    try:
        follow(world, "Import", version.id)
        expect(world.record("models", version.id)["status"] != "uploading", "all files are here")
    finally:
        world.abort("Import", version.id)


def archive_workflow(world: World) -> None:
    """The archive of a version is made."""
    version = models.put_version(world, status="ready")
    world.start("Archive", version.id, world.event(version.id))
    try:
        follow(world, "Archive", version.id)
    finally:
        world.abort("Archive", version.id)
    expect(len(world.keys(world.models_bucket, f"{version.prefix}.slipway/archive-")) == 1, "the archive is there")


def train_workflow(world: World) -> None:
    """A job that is stopped before it is submitted is cancelled; a completed one gets the endpoint it asked for."""
    stopped, completed = world.copy("jobs", world.job["id"], **STOPPED), endpoints.completed_job(world)
    try:
        for id in (stopped, completed):
            world.start("Train", id, world.event(id))
            follow(world, "Train", id)
        expect(world.record("jobs", stopped)["status"] == "cancelled", "the job is cancelled")
        endpoints.expect_followed(world, completed)
    finally:
        forget(world, stopped)
        endpoints.forget_followed(world, completed)


def deploy_workflow(world: World) -> None:
    """Deployment goes on to its second step, although the endpoint was deleted meanwhile."""
    id = new_id("ep")
    world.start("Deploy", id, world.event(id))
    try:
        follow(world, "Deploy", id, entered="CreateEndpoint")
    finally:
        world.abort("Deploy", id)


def update_workflow(world: World) -> None:
    """An update goes through, although the endpoint is gone."""
    id = new_id("ep")
    world.start("Update", f"{id}-update-2", world.event(id))
    follow(world, "Update", f"{id}-update-2")


def teardown_workflow(world: World) -> None:
    """Teardown goes through, although the endpoint is gone."""
    id = new_id("ep")
    world.start("Teardown", f"{id}-delete", world.event(id))
    follow(world, "Teardown", f"{id}-delete")


def sleep_workflow(world: World) -> None:
    """Sleep goes through, although the endpoint is gone."""
    id = new_id("ep")
    world.start("Sleep", f"{id}-sleep-0", world.event(id))
    follow(world, "Sleep", f"{id}-sleep-0")

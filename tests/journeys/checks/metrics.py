"""What counts requests and what shows the counts."""

import secrets
from typing import Any

from tests.api.metrics import delivery, line, requests_of
from tests.journeys.checks.world import World, expect
from tests.journeys.conftest import configured
from tests.journeys.requests_sent import access_token, metrics


def metrics_page(world: World) -> None:
    """The page is there with every part of it, GPUs included."""
    attempt = {"training_job_arn": "arn:aws:sagemaker:::training-job/x", "training_job_name": "x"}
    changes: dict[str, Any] = {"status": "running", "ended_at": None, "instance_type": "ml.g5.xlarge"}
    id = world.copy("jobs", world.job["id"], attempts=[attempt], **changes)
    try:
        # A new process, which has not asked CloudWatch within this minute.
        with configured(world.platform, "metrics", ASKED="again"):
            found = page(world)
    finally:
        world.records.delete("jobs", world.user_id, id)
        world.records.close_wait(id)
    for source in ("jobs", "endpoints", "cloudwatch"):
        expect(found["slipway_source_up", ("source", source)] == 1, f"{source} answers")
    expect(found["jobs_active", ("status", "running")] >= 1, "the running job is there")
    expect(found["endpoint_count", ("status", "in_service")] >= 1, "so is the endpoint")


def page(world: World) -> Any:
    """Return the samples of the page."""
    return metrics(world.platform, access_token(world.platform))


def request_counting(world: World) -> None:
    """A delivered line is counted."""
    route = f"/things/{secrets.token_hex(4)}"
    answer = world.invoke("metrics_count", delivery([line(secrets.token_hex(8), route)]))
    expect(answer == {"lines": 1, "counted": 1}, "the line is counted")
    counted = requests_of(page(world))
    expect(counted.get(("GET", route, "2xx")) == 1, "and shown")

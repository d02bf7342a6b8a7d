"""The jobs that wait or run at this moment, read from what is under way and not from all that ever ran."""

from lambdas.common import waits
from lambdas.common.environment import variable
from lambdas.common.items import from_item, key, read_items
from lambdas.jobs.schemas import Job


def active(owner: str | None) -> list[Job]:
    """Return a user's (None: everybody's) jobs that are queued or running, the oldest first."""
    keys = [key(who, id) for who, id in waits.under_way("job-") if owner in (None, who)]
    found = [Job.model_validate(from_item(item)) for item in read_items(variable("JOBS_TABLE"), keys)]
    return sorted((job for job in found if not job.ended), key=lambda job: job.id)

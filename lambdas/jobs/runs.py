"""How often a model was trained, by whom and on which day: counters that change with the jobs that they count.

Three items of the jobs table per begin and end, all of the job's own user, so that users never wait for each other:
one per model beside the user's jobs, one for the user, and one per user and day in a partition of its own.
Deleting a job takes nothing back: it was run.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

from pydantic import BaseModel, Field

from lambdas.common import aws
from lambdas.common.environment import variable
from lambdas.common.items import from_item, key, read_items
from lambdas.common.store import now
from lambdas.common.transactions import Write
from lambdas.jobs.limits import used_seconds
from lambdas.jobs.outcome import Outcome
from lambdas.jobs.schemas import Job, TrainingType

OF_MODEL, OF_USER = "runs#", "contribution#"
ACTIVITY = "activity#"  # a partition; its sort keys are `2026-11-21#ada`
HOUR = 3600


class RunCounts(BaseModel):
    """Training jobs by what became of them."""

    total: int = 0
    active: int = Field(default=0, description="Held, waiting or running.")
    completed: int = 0
    failed: int = 0
    cancelled: int = 0


class Runs(RunCounts):
    """The training jobs of a model or a user, deleted ones included."""

    instance_hours: float = Field(default=0, description="Of those that have ended.")
    last_run_at: str | None = Field(default=None, description="When the last one was created.")
    last_job_id: str | None = None
    last_training_type: TrainingType | None = None


class Day(BaseModel):
    """What happened on a day, in UTC: jobs created, and jobs that ended."""

    day: str
    created: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0


def begun(job: Job) -> list[Write]:
    """Return the writes that count a job which is created now."""
    last = {"last_run_at": job.created_at, "last_job_id": job.id, "last_training_type": job.training_type}
    return counting(job, {"total": 1}, {"created": 1}, last)


def ended(job: Job, outcome: Outcome) -> list[Write]:
    """Return the writes that count how a job ends now; they belong in a transaction that happens once."""
    seconds = used_seconds(job, datetime.now(UTC))
    return counting(job, {outcome: 1, "instance_seconds": seconds}, {outcome: 1}, {})


def counting(job: Job, added: dict[str, int], added_today: dict[str, int], last: dict[str, str]) -> list[Write]:
    """Return the writes that add to the counters of a job's model, user and day."""
    return [
        adding(key(job.owner, f"{OF_MODEL}{job.model.model_id}"), added, last),
        adding(key(job.owner, OF_USER), added, last),
        adding(key(ACTIVITY, f"{now()[:10]}#{job.owner}"), added_today, {}),
    ]


def adding(at: dict[str, Any], added: dict[str, int], last: dict[str, str]) -> Write:
    """Return the write that adds to one item's counters and sets what was last."""
    names = [*added, *last]
    sets = "SET " + ", ".join(f"#{name} = :{name}" for name in last) if last else ""
    update = {
        "TableName": variable("JOBS_TABLE"),
        "Key": at,
        "UpdateExpression": f"{sets} ADD " + ", ".join(f"#{name} :{name}" for name in added),
        "ExpressionAttributeNames": {f"#{name}": name for name in names},
        "ExpressionAttributeValues": {f":{name}": {"N": str(count)} for name, count in added.items()}
        | {f":{name}": {"S": value} for name, value in last.items()},
    }
    return Write("Update", update)


# ------------------------------------------------------------------------------------------------------- reads


def runs_of_models(owner: str, model_ids: Iterable[str]) -> dict[str, Runs]:
    """Return how often each of a user's models was trained: one item per model."""
    items = read_items(variable("JOBS_TABLE"), [key(owner, f"{OF_MODEL}{id}") for id in dict.fromkeys(model_ids)])
    return {item["id"]["S"].removeprefix(OF_MODEL): runs_in(item) for item in items}


def runs_of_users(owners: Iterable[str]) -> dict[str, Runs]:
    """Return what each user has run: one item per user."""
    items = read_items(variable("JOBS_TABLE"), [key(owner, OF_USER) for owner in dict.fromkeys(owners)])
    return {item["owner"]["S"]: runs_in(item) for item in items}


def runs_in(item: dict[str, Any]) -> Runs:
    """Return the counts in an item."""
    values = from_item(item)
    ended = sum(values.get(outcome, 0) for outcome in ("completed", "failed", "cancelled"))
    hours = round(values.get("instance_seconds", 0) / HOUR, 2)
    return Runs(**values, active=max(0, values.get("total", 0) - ended), instance_hours=hours)


def activity(owner: str | None, days: int, until: date | None = None) -> list[Day]:
    """Return what a user (None: everybody) ran on each of the last days, the oldest first.

    One item is read per day for a user, one per day and user who did something for everybody.
    """
    last = until or datetime.now(UTC).date()
    found = {f"{last - timedelta(days=back)}": Day(day=f"{last - timedelta(days=back)}") for back in range(days)}
    for item in items_of_days(sorted(found), owner):
        values = from_item(item)
        day = found[values["id"][:10]]
        for name in ("created", "completed", "failed", "cancelled"):
            setattr(day, name, getattr(day, name) + values.get(name, 0))
    return [found[day] for day in sorted(found)]


def items_of_days(days: list[str], owner: str | None) -> list[dict[str, Any]]:
    """Return the items of those days, of one user or of all."""
    if owner is not None:
        return read_items(variable("JOBS_TABLE"), [key(ACTIVITY, f"{day}#{owner}") for day in days])
    pages = (
        aws.client("dynamodb")
        .get_paginator("query")
        .paginate(
            TableName=variable("JOBS_TABLE"),
            KeyConditionExpression="#owner = :activity AND id BETWEEN :first AND :last",
            ExpressionAttributeNames={"#owner": "owner"},
            ExpressionAttributeValues={
                ":activity": {"S": ACTIVITY},
                ":first": {"S": days[0]},
                ":last": {"S": f"{days[-1]}~"},  # after every user's name
            },
        )
    )
    return [item for page in pages for item in page["Items"]]

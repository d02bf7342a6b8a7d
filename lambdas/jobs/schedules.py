"""Schedules: an evaluation that is repeated, on whatever its dataset's newest version is by then.

Beside each active schedule lies a pointer in a partition of its own, `due#`, whose key begins with the time at which it
is due: what is due is found by one keyed query. A run moves the pointer in the transaction that makes its job, so each
due time has one job, under an id that is made from both. A schedule acts as its owner, without an admin's rights.
"""

from datetime import UTC, datetime
from typing import Any

from lambdas.common import aws
from lambdas.common.errors import BadRequest, Conflict, NotFound, Stale, TooManyRequests
from lambdas.common.identity import Caller
from lambdas.common.ids import derived_id, new_id
from lambdas.common.instances import allowed_instance_type
from lambdas.common.items import key
from lambdas.common.observability import logger
from lambdas.common.pages import Page
from lambdas.common.store import iso
from lambdas.common.transactions import Write
from lambdas.jobs import evaluations, recurrence
from lambdas.jobs.alarms import SCHEDULES
from lambdas.jobs.evaluation_schemas import EvaluationCreate, Schedule, ScheduleCreate, ScheduleUpdate

PREFIX = "sch-"
DUE = "due#"  # a partition; its sort keys are `2026-11-21T06:00:00.000Z#sch-...`
ENDED = "The expression has no further time in the next ten years."
# What a run is asked for with, as it was asked for.
AS_ASKED = set(EvaluationCreate.model_fields)


def create(caller: Caller, new: ScheduleCreate) -> Schedule:
    """Store a schedule; raises what an evaluation raises that cannot be made now."""
    owner = as_owner(caller.username)
    evaluations.checked(owner, new)
    first = recurrence.parsed(new.schedule).first(datetime.now(UTC))
    asked = new.model_dump() | {
        "model": new.model and new.model.model_copy(update={"user_id": new.model.user_id or caller.username}),
        "instance_type": allowed_instance_type(new.instance_type, caller),
    }
    schedule = Schedule(owner=caller.username, id=new_id("sch"), **asked, next_run_at=first and iso(first))
    return SCHEDULES.create(schedule, *pointing(schedule, schedule.next_run_at))


def as_owner(username: str) -> Caller:
    """Return in whose name a schedule acts."""
    return Caller(username=username, role="member")


def owned(caller: Caller, id: str) -> Schedule:
    """Return a schedule that the caller may change: their own, or any for an admin; raises NotFound."""
    if not id.startswith(PREFIX):  # jobs are kept in the same table
        raise NotFound(f"There is no schedule {id}.")
    return SCHEDULES.find(id) if caller.is_admin else SCHEDULES.get(caller.username, id)


def list_schedules(caller: Caller, limit: int, cursor: str | None) -> Page[Schedule]:
    """Return a page of the caller's schedules, newest first."""
    return SCHEDULES.list(caller.username, PREFIX, limit, cursor)


def update(schedule: Schedule, changes: ScheduleUpdate) -> Schedule:
    """Store what was sent of the changes; another expression counts from now on. Raises BadRequest, Stale."""
    sent = changes.model_dump(exclude_unset=True)
    if sent.get("name", "") is None or sent.get("schedule", "") is None:
        raise BadRequest("name and schedule may be changed, not removed.")
    if "schedule" in sent and schedule.status == "active":
        return due_at(schedule, first_of(sent["schedule"]), **sent)
    return SCHEDULES.update(schedule, **sent)


def pause(schedule: Schedule, reason: str = "Paused on request.") -> Schedule:
    """Let no further job be made; one that waits or runs goes on. Again is no error."""
    return due_at(schedule, None, status="paused", reason=reason) if schedule.status == "active" else schedule


def resume(schedule: Schedule) -> Schedule:
    """Go on, as if the schedule were made now; again is no error. Raises Conflict where it is due no more."""
    if schedule.status == "active":
        return schedule
    if (first := first_of(schedule.schedule)) is None:
        raise Conflict(f"{ENDED} PATCH the schedule {schedule.id} with another one.")
    return due_at(schedule, first, status="active", reason=None)


def delete(schedule: Schedule) -> None:
    """Delete a schedule; its jobs stay. Raises Conflict naming the job that waits or runs."""
    SCHEDULES.delete(schedule, *no_longer_pointing(schedule))


# ------------------------------------------------------------------------------------------- what is due when


def first_of(expression: str) -> datetime | None:
    """Return when an expression is due for the first time from now on."""
    return recurrence.parsed(expression).first(datetime.now(UTC))


def due_at(schedule: Schedule, time: datetime | None, /, **changes: Any) -> Schedule:
    """Store when a schedule is due next, and other changes with it; raises Stale."""
    next_run_at = time and iso(time)
    moved = moving(schedule, next_run_at)
    return SCHEDULES.update(schedule, *moved, next_run_at=next_run_at, **changes)


def moving(schedule: Schedule, next_run_at: str | None) -> list[Write]:
    """Return the writes that make a schedule due at another time, beside the change of the schedule itself."""
    if next_run_at == schedule.next_run_at:
        return []
    return [*no_longer_pointing(schedule), *pointing(schedule, next_run_at)]


def pointing(schedule: Schedule, next_run_at: str | None) -> list[Write]:
    """Return the write by which a schedule is found when it is due; none for one that is never."""
    if next_run_at is None:
        return []
    item = {"owner": DUE, "id": f"{next_run_at}#{schedule.id}", "schedule_owner": schedule.owner}
    return [Write.put(SCHEDULES.table, item, Stale(f"The schedule {schedule.id} was changed meanwhile."))]


def no_longer_pointing(schedule: Schedule) -> list[Write]:
    """Return the write by which a schedule is not found at the time that it is due now."""
    if schedule.next_run_at is None:
        return []
    delete = {"TableName": SCHEDULES.table, "Key": key(DUE, f"{schedule.next_run_at}#{schedule.id}")}
    return [Write("Delete", delete)]


def due(now: datetime) -> list[tuple[str, str]]:
    """Return (owner, id) of every schedule that is due."""
    pages = (
        aws.client("dynamodb")
        .get_paginator("query")
        .paginate(
            TableName=SCHEDULES.table,
            KeyConditionExpression="#owner = :due AND id < :after",
            ExpressionAttributeNames={"#owner": "owner"},
            ExpressionAttributeValues={":due": {"S": DUE}, ":after": {"S": f"{iso(now)}~"}},
        )
    )
    return [
        (item["schedule_owner"]["S"], item["id"]["S"].partition("#")[2]) for page in pages for item in page["Items"]
    ]


# --------------------------------------------------------------------------------------------------- a run


def run(owner: str, id: str, now: datetime) -> None:
    """Make the job of a schedule that is due, and say when it is due next. Safe to repeat.

    While its job before has not ended, this time is left out. One whose model or dataset cannot be evaluated any more
    is paused with the reason; one whose owner is past a limit stays due.
    """
    try:
        schedule = SCHEDULES.get(owner, id)
    except NotFound:
        return  # deleted since it was found
    if schedule.next_run_at is None or schedule.next_run_at > iso(now):
        return  # somebody else has run or changed it
    due = datetime.fromisoformat(schedule.next_run_at)
    following = recurrence.parsed(schedule.schedule).following(due, now)
    last = {} if following else {"status": "paused"}
    if schedule.holds:
        reason = ENDED if last else f"{schedule.last_job_id} had not ended when it was due at {schedule.next_run_at}."
        due_at(schedule, following, reason=reason, **last)
        return
    try:
        evaluate(schedule, due, following, reason=ENDED if last else None, **last)
    except TooManyRequests as error:
        SCHEDULES.update(schedule, reason=f"It waits: {error.detail}")
    except Stale:
        logger.info("schedule changed meanwhile; it is looked at again", extra={"id": id})
    except (NotFound, Conflict, BadRequest) as error:
        pause(schedule, f"It cannot be evaluated: {error.detail}")


def evaluate(schedule: Schedule, due: datetime, following: datetime | None, **changes: Any) -> None:
    """Make the job of a due time, and move the schedule on, together or not at all."""
    assert schedule.next_run_at
    job_id = derived_id("job", int(due.timestamp() * 1000), f"{schedule.id}#{schedule.next_run_at}")
    next_run_at = following and iso(following)
    changes |= {"last_job_id": job_id, "last_run_at": schedule.next_run_at, "next_run_at": next_run_at}
    moved = SCHEDULES.change(schedule, holds={job_id}, **changes)
    evaluations.begin(
        as_owner(schedule.owner),
        EvaluationCreate(**schedule.model_dump(include=AS_ASKED)),
        schedule.instance_type,
        job_id,
        moved,
        *moving(schedule, next_run_at),
        schedule_id=schedule.id,
    )

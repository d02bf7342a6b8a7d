"""Evaluations that are repeated, over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Depends

from lambdas.common.dependencies import Caller, Writer
from lambdas.common.pages import Cursor, Limit, Page
from lambdas.jobs import schedules
from lambdas.jobs.evaluation_schemas import Schedule, ScheduleCreate, SchedulePublic, ScheduleUpdate

router = APIRouter(prefix="/jobs/evaluations/schedules", tags=["jobs"])


def readable_schedule(caller: Caller, id: str) -> Schedule:
    """Return the caller's schedule (any for an admin); raises NotFound."""
    return schedules.owned(caller, id)


def writable_schedule(caller: Writer, id: str) -> Schedule:
    """Return the caller's schedule to change it; raises NotFound, or Forbidden for a viewer."""
    return schedules.owned(caller, id)


ReadableSchedule = Annotated[Schedule, Depends(readable_schedule)]
WritableSchedule = Annotated[Schedule, Depends(writable_schedule)]


@router.post("", status_code=201)
def create_schedule(caller: Writer, request: ScheduleCreate) -> SchedulePublic:
    """Evaluate a model again and again, and raise an alarm when its primary metric is past a threshold."""
    return SchedulePublic.of(schedules.create(caller, request))


@router.get("")
def list_schedules(caller: Caller, limit: Limit = 50, cursor: Cursor = None) -> Page[SchedulePublic]:
    """List your schedules, newest first."""
    page = schedules.list_schedules(caller, limit, cursor)
    return Page(items=[SchedulePublic.of(schedule) for schedule in page.items], next_cursor=page.next_cursor)


@router.get("/{id}")
def get_schedule(schedule: ReadableSchedule) -> SchedulePublic:
    """Return a schedule: when it is due, what its newest job came to, and whether that raises its alarm."""
    return SchedulePublic.of(schedule)


@router.patch("/{id}")
def update_schedule(schedule: WritableSchedule, changes: ScheduleUpdate) -> SchedulePublic:
    """Change name, description, expression or threshold."""
    return SchedulePublic.of(schedules.update(schedule, changes))


@router.post("/{id}/pause")
def pause_schedule(schedule: WritableSchedule) -> SchedulePublic:
    """Make no further job; one that waits or runs goes on."""
    return SchedulePublic.of(schedules.pause(schedule))


@router.post("/{id}/resume")
def resume_schedule(schedule: WritableSchedule) -> SchedulePublic:
    """Go on as if the schedule were made now."""
    return SchedulePublic.of(schedules.resume(schedule))


@router.delete("/{id}", status_code=204)
def delete_schedule(schedule: WritableSchedule) -> None:
    """Delete a schedule that has no job under way. The jobs that it made stay, and so do their figures."""
    schedules.delete(schedule)

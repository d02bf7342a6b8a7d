"""When an evaluation's primary metric is past its threshold: what is stored of it, and who is told.

The alarm is kept with the job and with the schedule that made it. When a schedule's alarm begins or ends, an event goes
to the account's default bus, where a rule may send it on; no CloudWatch alarm stands for it.
"""

import json
from typing import Any, Literal

from lambdas.common import aws
from lambdas.common.environment import variable
from lambdas.common.store import EntityStore, now
from lambdas.common.transactions import Write
from lambdas.jobs.evaluation_schemas import Schedule
from lambdas.jobs.outcome import Outcome
from lambdas.jobs.schemas import Job
from lambdas.models.schemas import PrimaryMetric

SCHEDULES = EntityStore("JOBS_TABLE", Schedule, "schedule")
DETAIL_TYPE = "Evaluation Alarm State Change"
State = Literal["ALARM", "OK"]


def past(metric: PrimaryMetric | None, threshold: float | None) -> str | None:
    """Return in words that a metric is past its threshold, None where it is not."""
    if metric is None or threshold is None:
        return None
    good = metric.value >= threshold if metric.direction == "max" else metric.value <= threshold
    side = "below" if metric.direction == "max" else "above"
    return None if good else f"{metric.name} is {metric.value:.6g}, {side} the threshold of {threshold:.6g}."


def tell(job: Job, metric: PrimaryMetric | None, reason: str | None) -> None:
    """Send an event when this job's figure begins or ends an alarm; a step that is repeated may send it twice.

    A schedule's alarm begins and ends; a job without one is told of once, if at all.
    """
    before = SCHEDULES.get(job.owner, job.schedule_id).alarm if job.schedule_id else False
    if before == (reason is not None) or metric is None:
        return
    answer = aws.client("events").put_events(Entries=[entry(job, metric, "ALARM" if reason else "OK", reason)])
    if answer["FailedEntryCount"]:
        raise RuntimeError(f"The alarm of {job.id} could not be told of: {answer['Entries'][0]['ErrorMessage']}")


def entry(job: Job, metric: PrimaryMetric, state: State, reason: str | None) -> dict[str, Any]:
    """Return the event that says how an alarm stands now."""
    detail = {
        "state": state,
        "reason": reason or f"{metric.name} is {metric.value:.6g}, past no threshold any more.",
        "user_id": job.owner,
        "schedule_id": job.schedule_id,
        "job_id": job.id,
        "model": job.base_reference,
        "dataset_id": job.dataset_id,
        "dataset_version": job.dataset_version,
        "metric": json.loads(metric.model_dump_json()),  # a value that is no number is null: the bus takes JSON alone
        "threshold": job.threshold,
    }
    return {"Source": f"slipway.{variable('STAGE')}", "DetailType": DETAIL_TYPE, "Detail": json.dumps(detail)}


def ended(job: Job, outcome: Outcome, changes: dict[str, Any]) -> list[Write]:
    """Return the write that tells a job's schedule how the job ends, and lets go of it; none for any other job.

    It fails with Stale when the schedule was changed since: ask again.
    """
    if job.schedule_id is None:
        return []
    schedule = SCHEDULES.get(job.owner, job.schedule_id)  # which is there as long as the job holds it
    known: dict[str, Any] = {"last_status": outcome, "last_reason": changes.get("reason")}
    if outcome == "completed":
        reason = changes.get("alarm_reason")
        known |= {
            "last_metric": changes.get("primary_metric"),
            "alarm": reason is not None,
            "alarm_reason": reason,
            "alarm_since": (schedule.alarm_since or now()) if reason else None,
        }
    return [SCHEDULES.change(schedule, holds=schedule.holds - {job.id}, **known)]

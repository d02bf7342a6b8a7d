"""A job as it is shown by itself: its record, and what its log, its figures and its history say of it now."""

from datetime import UTC, datetime, timedelta

from lambdas.jobs import hints, history, logs, progress, queues, utilization, watchdog
from lambdas.jobs.schemas import Job, JobDetails
from lambdas.jobs.training_types import TRAINING_TYPES
from lambdas.jobs.watched import Utilization

PLOTTED = 100  # points of each metric that hints are drawn from
FIRST_PERCENT = 1.0  # before it there is nothing to estimate from


def of(job: Job) -> JobDetails:
    """Return a job with what is measured of it; of a running one as fresh as its log. Nothing of it is stored."""
    now, running = datetime.now(UTC), job.status == "running"
    tail = logs.tail(job) if running else logs.Tail()
    seen = progress.newest(tail.messages, job.id)
    if seen is not None and seen.sequence > job.progress.sequence:
        job = job.model_copy(update={"progress": seen})
    spoke = max((at for at in (tail.spoke_at, watchdog.last_sign(job)) if at is not None), default=None)
    used = utilization.read(job) if running else job.utilization
    left = time_left(job, now)
    return JobDetails(
        **queues.shown(job).model_dump(),
        heartbeat_age_seconds=max(0, round((now - spoke).total_seconds())) if running and spoke else None,
        time_left_seconds=None if left is None else round(left.total_seconds()),
        utilization=used,
        hints=hints.hints(signals(job, used, left, now)) if job.started_at else [],
    )


def time_left(job: Job, now: datetime) -> timedelta | None:
    """Return how long a job will still train, if it goes on as it did; None where nothing tells."""
    done, at = job.progress.percent, job.progress.time
    if job.status != "running" or job.started_at is None or at is None or done < FIRST_PERCENT:
        return None
    seen = datetime.fromisoformat(at)
    needed = (seen - datetime.fromisoformat(job.started_at)) * ((100 - done) / done)
    return max(timedelta(0), needed - (now - seen))


def signals(job: Job, used: Utilization | None, left: timedelta | None, now: datetime) -> hints.Signals:
    """Return what hints are drawn from."""
    runtime = None
    if left is not None and job.started_at is not None:
        runtime = job.max_runtime_seconds - round((now - datetime.fromisoformat(job.started_at)).total_seconds())
    return hints.Signals(
        instance_type=job.instance_type,
        parameters=TRAINING_TYPES[job.training_type].parameters.model_construct(**job.parameters).model_dump(),
        utilization=used,
        metrics=history.series(job, PLOTTED).series,
        time_left_seconds=None if left is None else round(left.total_seconds()),
        runtime_left_seconds=runtime,
    )

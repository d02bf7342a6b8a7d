"""The watchdog: a job that runs and prints nothing for long is marked, and no longer once it speaks again.

It is not stopped: some programs are silent for good reasons, and max_runtime_seconds bounds them all.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from lambdas.common.environment import variable
from lambdas.jobs import logs
from lambdas.jobs.schemas import Job


def look(job: Job, now: datetime | None = None) -> dict[str, Any]:
    """Return what changes on a job by how long it has been silent; its log is read only where its record is old."""
    limit, now = timedelta(minutes=int(variable("STALLED_AFTER_MINUTES"))), now or datetime.now(UTC)
    if job.status != "running" or job.stage != "training":
        return verdict(job, None, now, limit)
    spoke = last_sign(job)
    if spoke is None or now - spoke >= limit:
        in_log = logs.tail(job).spoke_at
        spoke = max((at for at in (spoke, in_log) if at is not None), default=None)
    return verdict(job, spoke, now, limit)


def last_sign(job: Job) -> datetime | None:
    """Return the last sign of life on the record: the newest progress line, or the start before there is one."""
    signs = [datetime.fromisoformat(at) for at in (job.progress.time, job.started_at) if at]
    return max(signs, default=None)


def verdict(job: Job, spoke: datetime | None, now: datetime, limit: timedelta) -> dict[str, Any]:
    """Return the changes: a warning when the last sign of life is older than the limit, none once it is not."""
    if spoke is not None and now - spoke >= limit:
        since = spoke.isoformat(timespec="seconds").replace("+00:00", "Z")
        if since == job.stalled_since:
            return {}
        minutes = int(limit.total_seconds() // 60)
        warning = (
            f"It has printed nothing for more than {minutes} minutes, since {since}: "
            "look at the end of its log, and stop it if it hangs."
        )
        return {"stalled_since": since, "warning": warning}
    return {"stalled_since": None, "warning": None} if job.stalled_since else {}

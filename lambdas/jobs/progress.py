"""Progress lines: what a container prints, read from its log as it runs and kept as history."""

import base64
import gzip
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from lambdas.common import aws
from lambdas.common.environment import variable
from lambdas.common.errors import Conflict, NotFound
from lambdas.common.observability import logger
from lambdas.common.pages import Page, decode_cursor, encode_cursor
from lambdas.common.store import Entity, EntityStore
from lambdas.jobs.schemas import Job, LogLine, MetricPoint, Progress
from lambdas.jobs.service import JOBS

LOG_GROUP = "/aws/sagemaker/TrainingJobs"  # SageMaker's, one for the whole account
TAIL = 50  # lines read of a running job: progress lines are frequent, and the newest one is enough


class ProgressLine(Progress):
    """One line as the container prints it. Anything may print such a line: it is checked, never trusted."""

    job_id: str
    time: str
    event: str = "progress"


class HistoryItem(MetricPoint, Entity):
    """A progress line as it is kept, keyed by job and sequence, so a line delivered twice is one item."""


HISTORY = EntityStore("JOBS_TABLE", HistoryItem, "metric point")


def parse(message: str) -> ProgressLine | None:
    """Return the progress line in a log message, or None when it is something else."""
    if not message.startswith('{"slipway"'):
        return None
    try:
        return ProgressLine.model_validate_json(message)
    except ValidationError:
        return None


def newest(lines: Iterable[str], job_id: str) -> Progress | None:
    """Return the newest progress of a job among log messages, or None."""
    own = [line for line in map(parse, lines) if line is not None and line.job_id == job_id]
    latest = max(own, key=lambda line: line.sequence, default=None)
    return Progress(**latest.model_dump(include=set(Progress.model_fields))) if latest else None


def live(job: Job) -> Job:
    """Return the job with the progress at the end of its log, when it runs; it is not stored."""
    stream = _stream(job) if job.status == "running" else None
    if stream is None:
        return job
    events = aws.client("logs").get_log_events(
        logGroupName=LOG_GROUP, logStreamName=stream, limit=TAIL, startFromHead=False
    )["events"]
    seen = newest((event["message"] for event in events), job.id)
    if seen is None or seen.sequence <= job.progress.sequence:
        return job
    return job.model_copy(update={"progress": seen})


def log_lines(job: Job, limit: int, cursor: str | None) -> Page[LogLine]:
    """Return a page of what the container printed, oldest first. A running job's last page has a cursor too:
    ask again with it for what was printed since."""
    stream = _stream(job)
    if stream is None:
        return Page(items=[], next_cursor=None)
    token = {"nextToken": decode_cursor(cursor)} if cursor else {}
    answer = aws.client("logs").get_log_events(
        logGroupName=LOG_GROUP, logStreamName=stream, limit=limit, startFromHead=True, **token
    )
    items = [LogLine(time=_iso(event["timestamp"]), message=event["message"]) for event in answer["events"]]
    at_end = not items and job.ended
    return Page(items=items, next_cursor=None if at_end else encode_cursor(answer["nextForwardToken"]))


def history(job: Job, limit: int, cursor: str | None) -> Page[HistoryItem]:
    """Return a page of the job's metric points, newest first."""
    return HISTORY.list(job.owner, f"metric#{job.id}#", limit, cursor)


def keep(event: dict[str, Any]) -> int:
    """Keep the progress lines of one CloudWatch Logs subscription event; return how many were new.

    The subscription delivers at least once, and user code can print any line: a line counts only if its
    stream belongs to the training job that was made for the job it names.
    """
    payload = json.loads(gzip.decompress(base64.b64decode(event["awslogs"]["data"])))
    if payload.get("messageType") == "CONTROL_MESSAGE":
        return 0
    lines = [line for line in (parse(entry["message"].strip()) for entry in payload["logEvents"]) if line is not None]
    if not lines:
        return 0
    training_job = payload["logStream"].split("/")[0]
    described = aws.client("sagemaker").describe_training_job(TrainingJobName=training_job)
    job_id = described.get("Environment", {}).get("SLIPWAY_JOB_ID")
    own = [line for line in lines if line.job_id == job_id]
    if len(own) < len(lines):
        logger.warning("progress lines of another job", extra={"stream": payload["logStream"], "job_id": job_id})
    if not own or described.get("Environment", {}).get("SLIPWAY_STAGE") != variable("STAGE"):
        return 0
    try:
        job = JOBS.find(job_id)
    except NotFound:  # deleted meanwhile
        return 0
    kept = sum(_keep_point(job, line) for line in own)
    _advance(job, max(own, key=lambda line: line.sequence), payload["logStream"])
    return kept


def _keep_point(job: Job, line: ProgressLine) -> bool:
    point = HistoryItem(
        owner=job.owner,
        id=f"metric#{job.id}#{line.sequence:08d}",
        **line.model_dump(include=set(MetricPoint.model_fields)),
    )
    try:
        HISTORY.create(point)
    except Conflict:  # delivered before
        return False
    return True


def _advance(job: Job, line: ProgressLine, stream: str) -> None:
    """Store the newest progress on the job; whoever changed the job meanwhile is respected."""
    progress = Progress(**line.model_dump(include=set(Progress.model_fields)))
    JOBS.settle(
        job,
        unless=lambda job: job.ended or job.progress.sequence >= progress.sequence,
        progress=progress,
        log_stream=stream,
    )


def _stream(job: Job) -> str | None:
    if job.log_stream or not job.attempts:
        return job.log_stream
    prefix = f"{job.attempts[-1].training_job_name}/"
    streams = aws.client("logs").describe_log_streams(logGroupName=LOG_GROUP, logStreamNamePrefix=prefix, limit=1)
    return streams["logStreams"][0]["logStreamName"] if streams["logStreams"] else None


def _iso(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

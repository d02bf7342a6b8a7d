"""A job's log: its newest lines, pages of it as it grows, and the whole of it as one file."""

import gzip
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from lambdas.common import aws, objects
from lambdas.common.environment import variable
from lambdas.common.errors import BadRequest, NotFound
from lambdas.common.pages import Page, decode_cursor, encode_cursor
from lambdas.common.store import now
from lambdas.jobs.schemas import Job, LogLine
from lambdas.jobs.service import JOBS, control
from lambdas.jobs.watched import LogDownload, LogFile

LOG_GROUP = "/aws/sagemaker/TrainingJobs"  # SageMaker's, one for the whole account
TAIL = 50  # lines read of a running job: progress lines are frequent, and the newest one is enough
PAGE = 10_000  # the most lines that GetLogEvents returns; it stops at 1 MB before
URL_SECONDS = 3600
SETTLED = timedelta(minutes=2)  # CloudWatch has a job's last lines this long after its end
FRESH = timedelta(minutes=10)  # how old the file of a running job's log may be
GIVEN_UP = timedelta(minutes=15)  # the control task's time: a file asked for longer ago is not coming
RETRY_SECONDS = 3


@dataclass(frozen=True)
class Tail:
    """The newest lines of a job, and when the last one was printed."""

    messages: list[str] = field(default_factory=list)
    spoke_at: datetime | None = None


def tail(job: Job) -> Tail:
    """Return the newest lines that the job's first instance printed."""
    stream = job.log_stream or next(reversed(streams(job, "algo-1-")), None)
    if stream is None:
        return Tail()
    events = aws.client("logs").get_log_events(
        logGroupName=LOG_GROUP, logStreamName=stream, limit=TAIL, startFromHead=False
    )["events"]
    spoke_at = max((event["timestamp"] for event in events), default=None)
    return Tail([event["message"] for event in events], None if spoke_at is None else _time(spoke_at))


def lines(job: Job, limit: int, cursor: str | None) -> Page[LogLine]:
    """Return a page of what the job's first instance printed, oldest first. A running job's last page has a cursor
    too: ask again with it for what was printed since."""
    stream, token = _position(job, cursor) if cursor else (_next_stream(job, ""), "")
    if stream is None:
        return Page(items=[], next_cursor=None)
    client, page = aws.client("logs"), {"nextToken": token} if token else {}
    try:
        answer = client.get_log_events(
            logGroupName=LOG_GROUP, logStreamName=stream, limit=limit, startFromHead=True, **page
        )
    except (client.exceptions.InvalidParameterException, client.exceptions.ResourceNotFoundException) as error:
        if cursor is None:
            raise
        raise _no_cursor() from error
    items = [LogLine(time=_iso(event["timestamp"]), message=event["message"]) for event in answer["events"]]
    following = f"{stream} {answer['nextForwardToken']}"
    if not items and token == answer["nextForwardToken"]:
        if later := _next_stream(job, stream):  # an interrupted job goes on in another stream
            following = f"{later} "
        elif job.ended:
            return Page(items=[], next_cursor=None)
    return Page(items=items, next_cursor=encode_cursor(following))


def _position(job: Job, cursor: str) -> tuple[str, str]:
    """Return the stream and the token of a cursor; raises BadRequest unless the stream is the job's own."""
    stream, _, token = decode_cursor(cursor).partition(" ")
    if not any(stream.startswith(f"{attempt.training_job_name}/") for attempt in job.attempts):
        raise _no_cursor()
    return stream, token


def _no_cursor() -> BadRequest:
    wrong = "The cursor is not one of this job's log; start again without it."
    return BadRequest(wrong, errors=[{"field": "cursor", "message": "not a cursor of this log"}])


def _next_stream(job: Job, after: str) -> str | None:
    """Return the first instance's stream that follows another, or None."""
    return next((stream for stream in streams(job, "algo-1-") if stream > after), None)


# -------------------------------------------------------------------------------------------------- the file


def download(job: Job) -> LogDownload:
    """Return where the whole log is; have it made when there is none, or none that is new enough."""
    made = job.log_file
    if made is not None and usable(job, made, datetime.now(UTC)):
        url = aws.s3_presigner().generate_presigned_url(
            "get_object",
            Params={
                "Bucket": variable("JOBS_BUCKET"),
                "Key": made.key,
                "ResponseContentDisposition": f'attachment; filename="{job.id}.log.gz"',
            },
            ExpiresIn=URL_SECONDS,
        )
        return LogDownload(
            status="ready", url=url, bytes=made.bytes, made_at=made.made_at, expires_in_seconds=URL_SECONDS
        )
    if not _is_asked_for(job):
        asked = now()
        job = JOBS.settle(job, unless=_is_asked_for, log_asked_for_at=asked)
        if job.log_asked_for_at == asked:  # and nobody else at the same moment
            control("log", job)
    return LogDownload(status="preparing", retry_after_seconds=RETRY_SECONDS)


def usable(job: Job, made: LogFile, at: datetime) -> bool:
    """Return whether a file holds the job's whole log, or is new enough for a log that still grows."""
    made_at = datetime.fromisoformat(made.made_at)
    if job.ended_at and made_at >= datetime.fromisoformat(job.ended_at) + SETTLED:
        return True
    return at - made_at < FRESH


def make_file(job: Job) -> Job:
    """Write the log of every instance to one file in S3, and the file to the job. Memory does not grow with it."""
    made_at, bucket, key = now(), variable("JOBS_BUCKET"), f"{job.owner}/{job.id}/logs/{job.id}.log.gz"
    with tempfile.TemporaryFile() as file:
        with gzip.open(file, "wt", encoding="utf-8") as text:
            for stream in streams(job):
                text.write(f"==> {stream} <==\n")
                for event in events_of(stream):
                    text.write(f"{_iso(event['timestamp'])} {event['message']}\n")
        size = file.tell()
        file.seek(0)
        aws.client("s3").put_object(Bucket=bucket, Key=key, Body=file, ContentType="application/gzip")
    try:
        return JOBS.settle(job, log_file=LogFile(key=key, bytes=size, made_at=made_at), log_asked_for_at=None)
    except NotFound:  # deleted meanwhile: nobody else would take the file away
        objects.delete_prefix(bucket, key)
        raise


def streams(job: Job, instance: str = "") -> list[str]:
    """Return the streams of the training jobs that were made for the job, in the order in which they were begun.

    `instance` names one instance, such as `algo-1-`; a job that was interrupted has several streams of it.
    """
    paginator = aws.client("logs").get_paginator("describe_log_streams")
    return [
        stream["logStreamName"]
        for attempt in job.attempts
        for page in paginator.paginate(
            logGroupName=LOG_GROUP, logStreamNamePrefix=f"{attempt.training_job_name}/{instance}"
        )
        for stream in page["logStreams"]
    ]


def events_of(stream: str) -> Iterator[dict[str, Any]]:
    """Yield a stream's events, oldest first. A page may be empty before the end: the end is a repeated token."""
    token: dict[str, str] = {}
    while True:
        answer = aws.client("logs").get_log_events(
            logGroupName=LOG_GROUP, logStreamName=stream, limit=PAGE, startFromHead=True, **token
        )
        yield from answer["events"]
        if token.get("nextToken") == answer["nextForwardToken"]:
            return
        token = {"nextToken": answer["nextForwardToken"]}


def _is_asked_for(job: Job) -> bool:
    asked = job.log_asked_for_at
    return asked is not None and datetime.now(UTC) - datetime.fromisoformat(asked) < GIVEN_UP


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _iso(milliseconds: int) -> str:
    return _time(milliseconds).isoformat(timespec="milliseconds").replace("+00:00", "Z")

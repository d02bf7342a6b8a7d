"""Progress lines: what a container prints, read from its log as it runs and kept as history."""

import base64
import gzip
import json
import math
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

from lambdas.common import aws
from lambdas.common.environment import variable
from lambdas.common.errors import NotFound
from lambdas.common.observability import logger
from lambdas.jobs import history
from lambdas.jobs.schemas import Job, MetricPoint, Progress
from lambdas.jobs.service import JOBS

LONGEST_NAME = 64  # characters


def _timestamp(text: str) -> str:
    if datetime.fromisoformat(text).tzinfo is None:
        raise ValueError("the time has no zone")
    return text


def _bounded(metrics: Any) -> Any:
    """Return the metrics that are kept: finite ones of a short name, as many as a block of history holds."""
    if not isinstance(metrics, dict):
        return metrics
    fit = {n: v for n, v in metrics.items() if len(n) <= LONGEST_NAME and isinstance(v, int | float)}
    finite = {name: float(value) for name, value in fit.items() if abs(value) < math.inf}
    return dict(sorted(finite.items())[: history.MAX_NAMES])


class ProgressLine(Progress):
    """One line as the container prints it. Anything may print such a line: it is checked, never trusted."""

    job_id: str
    sequence: int = Field(ge=0, le=99_999_999)
    time: Annotated[str, Field(max_length=40), AfterValidator(_timestamp)]  # pyright: ignore  # here it must be given
    event: str = "progress"
    metrics: Annotated[dict[str, float], BeforeValidator(_bounded)] = Field(default_factory=dict)


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
    kept = history.keep(job, [MetricPoint(**line.model_dump(include=set(MetricPoint.model_fields))) for line in own])
    _advance(job, max(own, key=lambda line: line.sequence), payload["logStream"])
    return kept


def _advance(job: Job, line: ProgressLine, stream: str) -> None:
    """Store the newest progress on the job; whoever changed the job meanwhile is respected."""
    progress = Progress(**line.model_dump(include=set(Progress.model_fields)))
    JOBS.settle(
        job,
        unless=lambda job: job.ended or job.progress.sequence >= progress.sequence,
        progress=progress,
        log_stream=stream,
    )

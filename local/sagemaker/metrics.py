"""MetricDefinitions: figures read from a job's log lines, into FinalMetricDataList and CloudWatch."""

import asyncio
import logging
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local.sagemaker.concurrency import in_thread, set_within

logger = logging.getLogger(__name__)
NAMESPACE = "/aws/sagemaker/TrainingJobs"
INTERVAL = 1.0  # seconds between PutMetricData calls
CALL_LIMIT = 1_000  # metrics per PutMetricData call


class Metrics:
    """`read` takes every log line; `close` returns when CloudWatch has the figures."""

    def __init__(self, job: str, request: dict[str, Any], client: Callable[[], Any]) -> None:
        definitions = request["AlgorithmSpecification"].get("MetricDefinitions", [])
        self._patterns = [(d["Name"], re.compile(d["Regex"])) for d in definitions]
        self._dimensions = [{"Name": "TrainingJobName", "Value": job}]
        self._connect = client
        self._client: Any = None
        self._last: dict[str, tuple[float, float]] = {}
        self._pending: list[dict[str, Any]] = []
        self._closed = asyncio.Event()
        self._task = asyncio.create_task(self._run()) if definitions else None

    def read(self, line: str) -> None:
        for name, pattern in self._patterns:
            value = _figure(pattern.search(line))
            if value is None:
                continue
            now = time.time()
            self._last[name] = value, now
            self._pending.append(
                {
                    "MetricName": name,
                    "Dimensions": self._dimensions,
                    "Timestamp": datetime.fromtimestamp(now, UTC),
                    "Value": value,
                }
            )

    def final(self) -> list[dict[str, Any]]:
        """The last value of each metric, as DescribeTrainingJob shows it."""
        return [{"MetricName": n, "Value": value, "Timestamp": at} for n, (value, at) in self._last.items()]

    async def close(self) -> None:
        if self._task:
            self._closed.set()
            await self._task

    async def _run(self) -> None:
        while not await set_within(self._closed, INTERVAL):
            await self._flush()
        await self._flush()

    async def _flush(self) -> None:
        while self._pending:
            batch, self._pending = self._pending[:CALL_LIMIT], self._pending[CALL_LIMIT:]
            try:
                await in_thread(self._put, batch)
            except (ClientError, BotoCoreError) as error:  # as on AWS, the job goes on without its graphs
                logger.warning("metrics of %s not stored: %s", self._dimensions[0]["Value"], error)

    def _put(self, batch: list[dict[str, Any]]) -> None:
        if self._client is None:
            self._client = self._connect()
        self._client.put_metric_data(Namespace=NAMESPACE, MetricData=batch)


def _figure(match: re.Match[str] | None) -> float | None:
    """The first group as a number; a line whose text is no number is not a measurement."""
    if match is None or not match.groups():
        return None
    try:
        return float(match[1])
    except (TypeError, ValueError):
        return None

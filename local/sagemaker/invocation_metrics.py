"""What SageMaker counts of the calls of an endpoint, in CloudWatch: AWS's names, units and dimensions."""

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local.sagemaker.concurrency import in_thread

logger = logging.getLogger(__name__)
NAMESPACE = "AWS/SageMaker"
INTERVAL = 0.5  # seconds in which calls are gathered; AWS publishes once a minute
CALL_LIMIT = 1_000  # metrics per PutMetricData call


class InvocationMetrics:
    """`count` takes a call that reached a container; what is counted is in CloudWatch a moment later."""

    def __init__(self, client: Callable[[str], Any]) -> None:
        self._connect = client
        self._client: Any = None
        self._pending: list[dict[str, Any]] = []
        self._task: asyncio.Task[None] | None = None

    def count(
        self, endpoint: str, variant: str, component: str | None, status: int, model: float, overhead: float
    ) -> None:
        """Count one call: the container's HTTP status (0 for none), and the seconds it and we took; on the loop.

        AWS sends a 0 where there was no error, so that the average is the rate of errors.
        """
        counted_by = [{"EndpointName": endpoint, "VariantName": variant}]
        counted_by += [{"InferenceComponentName": component}] if component else []
        figures = [
            ("Invocations", 1, "None"),
            ("InvocationsPerInstance", 1, "None"),
            ("Invocation4XXErrors", int(400 <= status < 500), "None"),
            ("Invocation5XXErrors", int(status >= 500), "None"),
            ("InvocationModelErrors", int(not 200 <= status < 300), "None"),
            ("ModelLatency", round(model * 1e6), "Microseconds"),
            ("OverheadLatency", round(overhead * 1e6), "Microseconds"),
        ]
        for dimensions in counted_by:
            self._put_later(figures, dimensions)

    def without_capacity(self, component: str) -> None:
        """Count one call of an inference component that had no copy to answer it."""
        self._put_later([("NoCapacityInvocationFailures", 1, "None")], {"InferenceComponentName": component})

    def _put_later(self, figures: list[tuple[str, int, str]], dimensions: dict[str, str]) -> None:
        named = [{"Name": name, "Value": value} for name, value in dimensions.items()]
        at = datetime.fromtimestamp(time.time(), UTC)
        self._pending += [
            {"MetricName": name, "Dimensions": named, "Timestamp": at, "Value": value, "Unit": unit}
            for name, value, unit in figures
        ]
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._publish())

    async def close(self) -> None:
        """Return when CloudWatch has what was counted."""
        if self._task:
            await self._task

    async def _publish(self) -> None:
        await asyncio.sleep(INTERVAL)
        while self._pending:
            batch, self._pending = self._pending[:CALL_LIMIT], self._pending[CALL_LIMIT:]
            try:
                await in_thread(self._put, batch)
            except (ClientError, BotoCoreError) as error:  # as on AWS, calls are answered without being counted
                logger.warning("%d figures of calls not stored: %s", len(batch), error)

    def _put(self, batch: list[dict[str, Any]]) -> None:
        if self._client is None:
            self._client = self._connect("cloudwatch")
        self._client.put_metric_data(Namespace=NAMESPACE, MetricData=batch)

"""One CloudWatch log stream, written promptly: a line waits at most for the batch before it."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local.sagemaker.concurrency import in_thread

logger = logging.getLogger(__name__)
BATCH_EVENTS = 1_000
BATCH_BYTES = 1_000_000  # PutLogEvents allows 1,048,576 bytes, 26 of them per event besides its text
PAUSE = 0.1  # seconds between batches, so that a chatty program costs ten calls a second


class LogStream:
    """`write` is called on the event loop; `close` returns when everything is delivered.

    As on AWS, a role that may not write logs loses them and nothing else: the platform's own log says so once.
    """

    def __init__(self, client: Callable[[], Any], group: str, stream: str) -> None:
        self.group, self.stream = group, stream
        self.tail: deque[str] = deque(maxlen=10)
        self._client = client
        self._pending: deque[tuple[int, str]] = deque()
        self._wake = asyncio.Event()
        self._closed = False
        self._task = asyncio.create_task(self._run())

    def write(self, line: str) -> None:
        self.tail.append(line)
        if self._task.done():
            return
        self._pending.append((round(time.time() * 1000), line or " "))  # CloudWatch refuses empty messages
        self._wake.set()

    async def close(self) -> None:
        self._closed = True
        self._wake.set()
        await self._task

    async def _run(self) -> None:
        try:
            logs = await in_thread(self._open)
            while self._pending or not self._closed:
                await self._wake.wait()
                self._wake.clear()
                while self._pending:
                    await in_thread(self._put, logs, self._take())
                    if not self._closed:
                        await asyncio.sleep(PAUSE)
        except (ClientError, BotoCoreError) as error:
            logger.warning("no logs in %s/%s: %s", self.group, self.stream, error)

    def _open(self) -> Any:
        logs = self._client()
        for create, names in (
            (logs.create_log_group, {"logGroupName": self.group}),
            (logs.create_log_stream, {"logGroupName": self.group, "logStreamName": self.stream}),
        ):
            try:
                create(**names)
            except logs.exceptions.ResourceAlreadyExistsException:
                continue
        return logs

    def _take(self) -> list[dict[str, Any]]:
        batch: list[dict[str, Any]] = []
        size = 0
        while self._pending and len(batch) < BATCH_EVENTS:
            at, line = self._pending[0]
            size += len(line.encode()) + 26
            if batch and size > BATCH_BYTES:
                break
            self._pending.popleft()
            batch.append({"timestamp": at, "message": line})
        return batch

    def _put(self, logs: Any, batch: list[dict[str, Any]]) -> None:
        logs.put_log_events(logGroupName=self.group, logStreamName=self.stream, logEvents=batch)

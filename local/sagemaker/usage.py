"""What a job's program uses, read from /proc and put into CloudWatch as SageMaker does for its instances.

SageMaker puts a figure a minute, as itself; here it is one every few seconds, since jobs on one machine are short.
Where there is no /proc, and of GPUs, there are no figures.
"""

import asyncio
import logging
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local.sagemaker.concurrency import in_thread, set_within
from local.sagemaker.metrics import NAMESPACE

logger = logging.getLogger(__name__)
PROC = Path("/proc")
FIRST, INTERVAL = 1.0, 5.0  # seconds until the first figures, and between them
UTIME, RSS, SESSION = 11, 21, 3  # fields of /proc/<pid>/stat after the program's name: proc(5), less 3


@dataclass(frozen=True)
class Sample:
    """What the processes of a session have used until `at`: seconds of CPU, and bytes of memory now."""

    at: float
    cpu_seconds: float
    memory_bytes: int


def sample(session: int) -> Sample:
    """Return what a session's processes use: a program's own process leads the session of all that it starts."""
    ticks, pages = 0, 0
    for stat in PROC.glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):  # ended since it was listed
            continue
        if int(fields[SESSION]) == session:
            ticks += sum(map(int, fields[UTIME : UTIME + 4]))  # its own and its ended children's, user and system
            pages += int(fields[RSS])
    return Sample(time.monotonic(), ticks / os.sysconf("SC_CLK_TCK"), pages * os.sysconf("SC_PAGE_SIZE"))


def figures(before: Sample, after: Sample, folder: Path) -> dict[str, float]:
    """Return SageMaker's metrics, in percent: of one CPU, of the machine's memory, of the disk of a job's folder."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    disk = shutil.disk_usage(folder)
    busy = max(0.0, after.cpu_seconds - before.cpu_seconds) / max(after.at - before.at, 0.01)
    return {
        "CPUUtilization": 100 * busy,
        "MemoryUtilization": min(100.0, 100 * after.memory_bytes / memory),
        "DiskUtilization": 100 * disk.used / disk.total,
    }


class Usage:
    """Puts figures while a program runs; `close` returns once no more are on their way."""

    def __init__(self, host: str, session: int, folder: Path, client: Callable[[], Any]) -> None:
        self._dimensions = [{"Name": "Host", "Value": host}]
        self._session, self._folder, self._connect = session, folder, client
        self._closed = asyncio.Event()
        self._task = asyncio.create_task(self._run()) if (PROC / "self/stat").exists() else None

    async def close(self) -> None:
        self._closed.set()
        if self._task:
            await self._task

    async def _run(self) -> None:
        try:
            cloudwatch, before = None, await in_thread(sample, self._session)
            while not await set_within(self._closed, INTERVAL if cloudwatch else FIRST):
                after = await in_thread(sample, self._session)
                cloudwatch = cloudwatch or await in_thread(self._connect)
                await in_thread(self._put, cloudwatch, await in_thread(figures, before, after, self._folder))
                before = after
        except (ClientError, BotoCoreError) as error:  # as on AWS, the job goes on without its graphs
            logger.warning("what %s uses is not known: %s", self._dimensions[0]["Value"], error)

    def _put(self, cloudwatch: Any, figures: dict[str, float]) -> None:
        at = datetime.now(UTC)
        cloudwatch.put_metric_data(
            Namespace=NAMESPACE,
            MetricData=[
                {"MetricName": name, "Dimensions": self._dimensions, "Timestamp": at, "Value": value, "Unit": "Percent"}
                for name, value in figures.items()
            ],
        )

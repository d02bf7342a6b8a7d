"""What the lives of training and processing jobs have in common: the role, the image, the program and its end."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from local.cloud import Image, ImageNotFound
from local.sagemaker import processes, storage
from local.sagemaker.concurrency import in_thread
from local.sagemaker.logs import LogStream
from local.sagemaker.opt_ml import HOST

if TYPE_CHECKING:
    from local.sagemaker.jobs import Jobs

REASON_LENGTH = 1024  # characters of a FailureReason
PLATFORM_STOPPED = "InternalServerError: the platform stopped while the job was running"


class JobFailed(Exception):
    """The job cannot go on; the message is its FailureReason."""


class JobRun(ABC):
    """Runs once. `stop` and `interrupt` may be called at any time and take effect at once."""

    def __init__(self, jobs: Jobs, record: dict[str, Any], name: str) -> None:
        self.record = record
        self._cloud = jobs.cloud
        self._request: dict[str, Any] = record["request"]
        self._name = name
        self._base = jobs.folder(name)
        self._isolation = jobs.isolation
        self._capacity_wait = jobs.capacity_wait(self._request)
        self._stop = asyncio.Event()
        self._interrupted = False
        self._grace = jobs.stop_grace

    @abstractmethod
    async def run(self) -> Any:
        """How the job ended; only a fault of this platform raises."""

    def stop(self) -> None:
        """The API's stop: SIGTERM, the grace period, SIGKILL."""
        self._stop.set()

    def interrupt(self, grace: float) -> None:
        """The platform goes down: as `stop` with this grace, but the job fails."""
        self._interrupted, self._grace = True, grace
        self._stop.set()

    async def _image(self, uri: str) -> Image:
        try:
            return await in_thread(self._cloud.image, uri)
        except ImageNotFound as error:
            raise JobFailed(f"ClientError: Cannot pull image {uri}: {error}") from error

    async def _download_prefix(self, s3: Any, uri: str, folder: Path) -> None:
        """Brings an input's objects down. Raises StorageError, Cancelled."""
        if not await in_thread(storage.download_prefix, s3, uri, folder, self._stop.is_set):
            raise storage.StorageError(f'No S3 objects found under S3 URL "{uri}" given in input data source')

    async def _start(
        self, command: list[str], environment: dict[str, str], isolated: bool, log_group: str, mounted: bool = False
    ) -> tuple[processes.Process, LogStream]:
        """The program, and the stream that its lines go to."""
        process = await processes.start(command, self._base, environment, isolated and self._isolation, mounted)
        self.record["process"] = {"pid": process.pid, "started": process.started}
        logs = LogStream(lambda: self._client("logs"), log_group, f"{self._name}/{HOST}-{int(time.time())}")
        if isolated and not self._isolation:
            logs.write("Network isolation is not available on this machine: the program runs with the network.")
        return process, logs

    async def _wait(self, process: processes.Process, seconds: float) -> tuple[int, bool]:
        """(exit code, whether the time limit of `seconds` ended it)."""
        ended = asyncio.create_task(process.wait())
        stopped = asyncio.create_task(self._stop.wait())
        await asyncio.wait({ended, stopped}, timeout=max(0.0, seconds), return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if ended.done():
            return ended.result(), False
        exceeded = not self._stop.is_set()
        code = await process.stop(self._grace)
        await ended
        return code, exceeded

    async def _s3(self) -> Any:
        try:
            return await in_thread(self._client, "s3")
        except (ClientError, BotoCoreError) as error:
            raise JobFailed(f"ClientError: Could not use the job's role: {error}") from error

    def _client(self, service: str) -> Any:
        return self._cloud.client(service, role_arn=self._request["RoleArn"])

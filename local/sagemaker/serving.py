"""One serving process behind an endpoint: prepared, started, watched, invoked and stopped."""

import asyncio
import http.client
import secrets
import socket
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local.cloud import Cloud, ImageNotFound
from local.sagemaker import processes, storage
from local.sagemaker.concurrency import in_invocation_thread, in_thread
from local.sagemaker.logs import LogStream
from local.sagemaker.models import model_data
from local.sagemaker.store import Record

PING_INTERVAL = 0.05  # seconds
PING_TIMEOUT = 2.0  # seconds; SageMaker's own
INVOKE_TIMEOUT = 60.0  # seconds a container has to answer
STOP_GRACE = 30.0  # seconds a container has after SIGTERM
PIECE = 65_536  # bytes of a stream that are read at once, at most
Reply = tuple[int, dict[str, str], bytes]
Streamed = tuple[int, dict[str, str], AsyncGenerator[bytes]]


class ServingFailed(Exception):
    """The model is not being served; the message is the endpoint's FailureReason."""


@dataclass(frozen=True)
class Plan:
    """What to serve: the model's description, its variant, and how long it may take to answer its first ping."""

    endpoint: str
    config: str
    model: Record
    variant: Record
    health_timeout: float
    asynchronous: Record | None = None
    component: str | None = None

    @property
    def log_group(self) -> str:
        """Where SageMaker writes what the container prints."""
        if self.component:
            return f"/aws/sagemaker/InferenceComponents/{self.component}"
        return f"/aws/sagemaker/Endpoints/{self.endpoint}"


class Serving:
    """`start` returns once the model answers; `on_crash` is called when the process ends by itself after that."""

    def __init__(self, cloud: Cloud, plan: Plan, folder: Path, on_crash: Callable[["Serving", str], None]) -> None:
        self.plan, self.folder = plan, folder
        self.ready = False
        self._cloud, self._on_crash = cloud, on_crash
        self._process: processes.Process | None = None
        self._port = 0
        self._busy = 0
        self.last_used = time.monotonic()
        self._idle = asyncio.Event()
        self._idle.set()
        self._tasks: list[asyncio.Task[None]] = []
        self._logs: LogStream | None = None

    @property
    def process(self) -> dict[str, Any]:
        assert self._process is not None
        return {"pid": self._process.pid, "started": self._process.started}

    async def start(self, announce: Callable[[], None]) -> None:
        """Downloads (unless `folder` is complete), starts and waits; `announce` is called once there is a process.

        Raises ServingFailed, and leaves no process behind.
        """
        container = self.plan.model["PrimaryContainer"]
        try:
            image = await in_thread(self._cloud.image, container["Image"])
            if not self.folder.exists():
                await in_thread(self._download, container)
        except (ImageNotFound, storage.StorageError, ClientError, BotoCoreError) as error:
            raise ServingFailed(f"Failed to prepare the model: {error}") from error
        self._port = free_port()
        command = [str(image.python), str(image.directory / "training_containers" / image.family / "serve")]
        environment = {
            **container.get("Environment", {}),
            **processes.program_environment(image.python, self.folder),
            "AWS_REGION": self._cloud.region,
            "AWS_DEFAULT_REGION": self._cloud.region,
            "SAGEMAKER_BASE_DIR": str(self.folder),
            "SAGEMAKER_BIND_TO_PORT": str(self._port),
            "SM_MODEL_DIR": str(self.folder / "model"),
        }
        self._process = await processes.start(command, self.folder, environment, isolated=False)
        announce()
        self._logs = self._open_logs()
        ended = asyncio.create_task(self._process.wait())
        self._tasks = [asyncio.create_task(self._read(self._process, self._logs))]
        try:
            await self._healthy(ended)
        except BaseException:
            await self._end(0)
            raise
        self.ready = True
        self._tasks.append(asyncio.create_task(self._watch(ended)))

    @property
    def busy(self) -> int:
        """How many calls are under way."""
        return self._busy

    async def invoke(self, body: bytes, headers: dict[str, str], timeout: float = INVOKE_TIMEOUT) -> Reply:
        """The container's answer. Raises TimeoutError, and OSError or HTTPException when there is no answer."""
        self._busy += 1
        self._idle.clear()
        try:
            return await in_invocation_thread(self._exchange, "POST", "/invocations", body, headers, timeout)
        finally:
            self._used()

    async def stream(self, path: str, body: bytes, headers: dict[str, str]) -> Streamed:
        """The container's answer to a POST, its body as it comes. Raises as `invoke` does, also in the middle."""
        self._busy += 1
        self._idle.clear()
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=INVOKE_TIMEOUT)
        try:
            answer = await in_invocation_thread(_begin, connection, path, body, headers)
        except BaseException:
            self._finish(connection)
            raise
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, self._pieces(connection, answer)

    async def _pieces(
        self, connection: http.client.HTTPConnection, answer: http.client.HTTPResponse
    ) -> AsyncGenerator[bytes]:
        try:
            while piece := await in_invocation_thread(answer.read1, PIECE):
                yield piece
        finally:  # a container whose listener is gone learns of it by the closed connection
            answer.close()
            self._finish(connection)

    def _finish(self, connection: http.client.HTTPConnection) -> None:
        connection.close()
        self._used()

    def _used(self) -> None:
        self._busy -= 1
        self.last_used = time.monotonic()
        if not self._busy:
            self._idle.set()

    async def stop(self, grace: float = STOP_GRACE) -> None:
        """Waits for requests under way, up to the time one may take, then ends the process and removes its files."""
        self.ready = False
        try:
            await asyncio.wait_for(self._idle.wait(), INVOKE_TIMEOUT)
        except TimeoutError:
            pass  # the requests are older than any request may be
        await self._end(grace)
        await in_thread(storage.remove, self.folder)

    async def halt(self, grace: float) -> None:
        """Ends the process and keeps the model's files for the next start of the platform."""
        self.ready = False
        await self._end(grace)

    async def _end(self, grace: float) -> None:
        if self._process is None:
            return
        watchers = self._tasks[1:]
        for task in watchers:
            task.cancel()
        await self._process.stop(grace)
        await in_thread(processes.kill_all_in, self.folder)
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._logs:
            await self._logs.close()

    def _download(self, container: Record) -> None:
        """Into a folder beside the final one, so that an existing folder is a complete one."""
        partial = self.folder.with_name(f"{self.folder.name}.partial")
        storage.remove(partial)
        partial.mkdir(parents=True)
        uri, archive = model_data(container)
        s3 = self._cloud.client("s3", role_arn=self.plan.model["ExecutionRoleArn"])
        if uri is None:
            (partial / "model").mkdir()
        elif archive:
            storage.download_archive(s3, uri, partial / "model")
        elif not storage.download_prefix(s3, uri, partial / "model"):
            raise storage.StorageError(f"no objects at {uri}")
        partial.rename(self.folder)

    def _open_logs(self) -> LogStream:
        role = self.plan.model["ExecutionRoleArn"]
        stream = f"{self.plan.variant['VariantName']}/i-{secrets.token_hex(8)}"
        logs = LogStream(lambda: self._cloud.client("logs", role_arn=role), self.plan.log_group, stream)
        if self.plan.model.get("EnableNetworkIsolation"):
            logs.write(
                "Network isolation of serving processes is not available locally: the model runs with the network."
            )
        return logs

    async def _healthy(self, ended: asyncio.Task[int]) -> None:
        """Returns at the first 200 from /ping. Raises ServingFailed when the process ends or the time is over."""
        variant = self.plan.variant["VariantName"]
        try:
            async with asyncio.timeout(self.plan.health_timeout):
                while not await in_invocation_thread(self._ping):
                    if (await asyncio.wait({ended}, timeout=PING_INTERVAL))[0]:
                        await asyncio.gather(*self._tasks)
                        raise ServingFailed(
                            f"The primary container for production variant {variant} ended with exit code "
                            f"{ended.result()} before it answered a ping. {self._last_lines()}"
                        )
        except TimeoutError as error:
            raise ServingFailed(
                f"The primary container for production variant {variant} did not pass the ping health check. "
                f"Please check CloudWatch logs for this endpoint. {self._last_lines()}"
            ) from error

    async def _watch(self, ended: asyncio.Task[int]) -> None:
        code = await asyncio.shield(ended)
        self.ready = False
        await asyncio.gather(self._tasks[0])
        if self._logs:
            await self._logs.close()
        self._on_crash(self, f"The primary container ended with exit code {code}. {self._last_lines()}")

    def _ping(self) -> bool:
        try:
            return self._exchange("GET", "/ping", b"", {}, PING_TIMEOUT)[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def _exchange(self, method: str, path: str, body: bytes, headers: dict[str, str], timeout: float) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=timeout)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def _last_lines(self) -> str:
        return "Last lines: " + " | ".join(self._logs.tail) if self._logs and self._logs.tail else ""

    async def _read(self, process: processes.Process, logs: LogStream) -> None:
        async for line in process.lines():
            logs.write(line)


def _begin(
    connection: http.client.HTTPConnection, path: str, body: bytes, headers: dict[str, str]
) -> http.client.HTTPResponse:
    connection.request("POST", path, body, headers)
    return connection.getresponse()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]

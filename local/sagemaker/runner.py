"""One training job's life on this machine: download, run, upload."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from local.cloud import ImageNotFound
from local.sagemaker import processes, storage
from local.sagemaker.concurrency import in_thread, set_within
from local.sagemaker.logs import LogStream
from local.sagemaker.metrics import Metrics
from local.sagemaker.opt_ml import HOST, OptMl, channels, training_environment
from local.sagemaker.training_request import output_folder

if TYPE_CHECKING:
    from local.sagemaker.training import TrainingJobs

logger = logging.getLogger(__name__)
LOG_GROUP = "/aws/sagemaker/TrainingJobs"
CHECKPOINT_INTERVAL = 1.0  # seconds between looks at the checkpoint folder; AWS does not document its own
REASON_LENGTH = 1024
PLATFORM_STOPPED = "InternalServerError: the platform stopped while the job was running"


@dataclass(frozen=True)
class Outcome:
    """How a job ended: TrainingJobStatus, SecondaryStatus and FailureReason."""

    status: str
    secondary: str
    reason: str = ""


class JobFailed(Exception):
    """The job cannot go on; the message is its FailureReason."""


class TrainingRun:
    """Runs once. `stop` may be called at any time and takes effect at once."""

    def __init__(self, jobs: TrainingJobs, record: dict[str, Any], capacity_wait: float) -> None:
        self.record = record
        self._jobs, self._cloud = jobs, jobs.cloud
        self._request = record["request"]
        self._name: str = self._request["TrainingJobName"]
        self._paths = OptMl(self._cloud.home / "jobs" / self._name)
        self._capacity_wait = capacity_wait
        self._stop = asyncio.Event()
        self._interrupted = False
        self._grace = jobs.stop_grace

    def stop(self) -> None:
        """StopTrainingJob: SIGTERM, the grace period, SIGKILL; what the program left is uploaded."""
        self._stop.set()

    def interrupt(self, grace: float) -> None:
        """The platform goes down: as `stop`, but the job fails, and of its files only checkpoints are kept."""
        self._interrupted, self._grace = True, grace
        self._stop.set()

    async def run(self) -> Outcome:
        """The outcome; only a fault of this platform raises."""
        try:
            return await self._run()
        except JobFailed as error:
            return Outcome("Failed", "Failed", str(error)[:REASON_LENGTH])
        except storage.Cancelled:
            return self._stopped()
        finally:
            await in_thread(storage.remove, self._paths.base)

    async def _run(self) -> Outcome:
        if self._capacity_wait:
            if await set_within(self._stop, self._capacity_wait):
                raise storage.Cancelled
            self._jobs.transition(self.record, "Starting")
        command, environment = await self._prepare()
        s3 = await self._aws("s3", "Could not use the job's role")
        self._begin("Downloading")
        self.record["description"]["TrainingStartTime"] = time.time()
        checkpoints = await self._download(s3)
        if self._stop.is_set():
            raise storage.Cancelled
        code, exceeded = await self._train(command, environment, checkpoints)
        return await self._finish(s3, code, exceeded)

    async def _prepare(self) -> tuple[list[str], dict[str, str]]:
        """The image's command line, and the environment it starts in."""
        uri = self._request["AlgorithmSpecification"]["TrainingImage"]
        try:
            image = await in_thread(self._cloud.image, uri)
        except ImageNotFound as error:
            raise JobFailed(f"ClientError: Cannot pull image {uri}: {error}") from error
        entry = image.directory / "training_containers" / image.family / "train"
        arn = self.record["description"]["TrainingJobArn"]
        environment = processes.program_environment(image.python, self._paths.base)
        environment |= training_environment(self._request, arn, self._cloud.region, self._paths)
        return [str(image.python), str(entry)], environment

    async def _download(self, s3: Any) -> storage.CheckpointFolder | None:
        """Fills the job's folder. Raises JobFailed, Cancelled."""
        try:
            await in_thread(self._paths.create, self._request)
            for channel in channels(self._request):
                uri = channel["DataSource"]["S3DataSource"]["S3Uri"]
                folder = self._paths.channel(channel["ChannelName"])
                if not await in_thread(storage.download_prefix, s3, uri, folder, self._stop.is_set):
                    raise storage.StorageError(f'No S3 objects found under S3 URL "{uri}" given in input data source')
            if "CheckpointConfig" not in self._request:
                return None
            uri = self._request["CheckpointConfig"]["S3Uri"]
            checkpoints = storage.CheckpointFolder(s3, uri, self._paths.checkpoints)
            await in_thread(checkpoints.restore, self._stop.is_set)
            return checkpoints
        except (storage.StorageError, ClientError, BotoCoreError) as error:
            raise JobFailed(f"ClientError: Data download failed: {error}") from error

    async def _train(
        self, command: list[str], environment: dict[str, str], checkpoints: storage.CheckpointFolder | None
    ) -> tuple[int, bool]:
        """(exit code, whether the time limit ended it)."""
        isolated = bool(self._request.get("EnableNetworkIsolation")) and self._jobs.isolation
        process = await processes.start(command, self._paths.base, environment, isolated)
        self.record["process"] = {"pid": process.pid, "started": process.started}
        self._begin("Training")
        logs = LogStream(lambda: self._client("logs"), LOG_GROUP, f"{self._name}/{HOST}-{int(time.time())}")
        if self._request.get("EnableNetworkIsolation") and not isolated:
            logs.write("Network isolation is not available on this machine: the program runs with the network.")
        metrics = Metrics(self._name, self._request, lambda: self._client("cloudwatch"))
        reader = asyncio.create_task(self._read(process, logs, metrics))
        ended = asyncio.Event()
        syncer = asyncio.create_task(self._sync(checkpoints, ended))
        code, exceeded = await self._wait(process)
        await in_thread(processes.kill_all_in, self._paths.base)
        ended.set()
        try:
            await asyncio.gather(reader, syncer)
        finally:
            await asyncio.gather(logs.close(), metrics.close())
        self.record["description"]["FinalMetricDataList"] = metrics.final()
        return code, exceeded

    async def _wait(self, process: processes.Process) -> tuple[int, bool]:
        ended = asyncio.create_task(process.wait())
        stopped = asyncio.create_task(self._stop.wait())
        limit = self._request["StoppingCondition"]["MaxRuntimeInSeconds"]
        spent = time.time() - self.record["description"]["TrainingStartTime"]
        await asyncio.wait({ended, stopped}, timeout=max(0.0, limit - spent), return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if ended.done():
            return ended.result(), False
        exceeded = not self._stop.is_set()
        code = await process.stop(self._grace)
        await ended
        return code, exceeded

    async def _finish(self, s3: Any, code: int, exceeded: bool) -> Outcome:
        """Uploads what the program left, and judges how it ended."""
        ended_early = exceeded or self._stop.is_set()
        if self._interrupted:
            return self._stopped()
        self._begin("Uploading")
        output = output_folder(self._request)
        try:
            if code == 0 or ended_early:
                await in_thread(storage.upload_archive, s3, self._paths.model, f"{output}/model.tar.gz")
            await in_thread(storage.upload_archive, s3, self._paths.output_data, f"{output}/output.tar.gz")
        except (storage.StorageError, ClientError, BotoCoreError, OSError) as error:
            raise JobFailed(f"ClientError: Artifact upload failed: {error}") from error
        if exceeded:
            return Outcome("Stopped", "MaxRuntimeExceeded")
        if ended_early:
            return self._stopped()
        if code == 0:
            return Outcome("Completed", "Completed")
        return Outcome("Failed", "Failed", failure_reason(self._paths.failure, code))

    def _stopped(self) -> Outcome:
        return Outcome("Failed", "Failed", PLATFORM_STOPPED) if self._interrupted else Outcome("Stopped", "Stopped")

    async def _read(self, process: processes.Process, logs: LogStream, metrics: Metrics) -> None:
        async for line in process.lines():
            logs.write(line)
            metrics.read(line)

    async def _sync(self, checkpoints: storage.CheckpointFolder | None, ended: asyncio.Event) -> None:
        if checkpoints is None:
            return
        while not await set_within(ended, CHECKPOINT_INTERVAL):
            try:
                await in_thread(checkpoints.sync)
            except (ClientError, BotoCoreError) as error:  # the next look tries again; the last one must succeed
                logger.warning("checkpoints of %s not uploaded yet: %s", self._name, error)
        try:
            await in_thread(checkpoints.sync, final=True)
        except (ClientError, BotoCoreError) as error:
            raise JobFailed(f"ClientError: Checkpoint upload failed: {error}") from error

    async def _aws(self, service: str, problem: str) -> Any:
        try:
            return await in_thread(self._client, service)
        except (ClientError, BotoCoreError) as error:
            raise JobFailed(f"ClientError: {problem}: {error}") from error

    def _client(self, service: str) -> Any:
        return self._cloud.client(service, role_arn=self._request["RoleArn"])

    def _begin(self, secondary: str) -> None:
        self._jobs.transition(self.record, secondary)


def failure_reason(failure: Path, code: int) -> str:
    """AWS's text: the start of /opt/ml/output/failure and the exit code, 1,024 characters in all."""
    try:
        text = failure.read_text(errors="replace").strip()
    except (FileNotFoundError, IsADirectoryError):
        text = ""
    suffix = f", exit code: {code}"
    text = re.sub(r"[\x00-\x08\x0b-\x1f]", " ", text) or "See the job's logs for more information"
    return "AlgorithmError: " + text[: REASON_LENGTH - len("AlgorithmError: ") - len(suffix)] + suffix

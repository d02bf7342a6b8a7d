"""One training job's life on this machine: download, run, upload."""

from __future__ import annotations

import asyncio
import logging
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.cloud import Image
from local.sagemaker import processes, storage
from local.sagemaker.concurrency import in_thread, set_within
from local.sagemaker.job_run import PLATFORM_STOPPED, REASON_LENGTH, JobFailed, JobRun
from local.sagemaker.logs import LogStream
from local.sagemaker.metrics import Metrics
from local.sagemaker.opt_ml import HOST, OptMl, channels, training_environment
from local.sagemaker.training_request import output_folder
from local.sagemaker.usage import Usage

if TYPE_CHECKING:
    from local.sagemaker.training import TrainingJobs

logger = logging.getLogger(__name__)
LOG_GROUP = "/aws/sagemaker/TrainingJobs"
NO_OPT_ML = (
    "ContainerEntrypoint runs where its job's folder is /opt/ml, which this machine cannot show it: that takes Linux"
    " with user namespaces, and a folder /opt/ml (`sudo mkdir -p /opt/ml`)."
)
NO_CAPACITY = (
    "CapacityError: Unable to provision requested ML compute capacity. Please retry using a different ML instance type."
)
CHECKPOINT_INTERVAL = 1.0  # seconds between looks at the checkpoint folder; AWS does not document its own


@dataclass(frozen=True)
class Outcome:
    """How a job ended: TrainingJobStatus, SecondaryStatus and FailureReason."""

    status: str
    secondary: str
    reason: str = ""


class TrainingRun(JobRun):
    """After a stop, what the program left is uploaded; after an interruption, only its checkpoints."""

    def __init__(self, jobs: TrainingJobs, record: dict[str, Any]) -> None:
        super().__init__(jobs, record, record["request"]["TrainingJobName"])
        self._jobs = jobs
        self._paths = OptMl(self._base)

    async def run(self) -> Outcome:
        try:
            return await self._run()
        except JobFailed as error:
            return Outcome("Failed", "Failed", str(error)[:REASON_LENGTH])
        except storage.Cancelled:
            return self._stopped()
        finally:
            await in_thread(storage.remove, self._base)

    async def _run(self) -> Outcome:
        if self._capacity_wait:
            if await set_within(self._stop, self._capacity_wait):
                raise storage.Cancelled
            self._jobs.transition(self.record, "Starting")
        if self._jobs.instance_type(self._request) in self._cloud.faults.no_capacity:
            raise JobFailed(NO_CAPACITY)
        command, environment = await self._prepare()
        s3 = await self._s3()
        self._begin("Downloading")
        self.record["description"]["TrainingStartTime"] = time.time()
        checkpoints = await self._download(s3)
        if self._stop.is_set():
            raise storage.Cancelled
        code, exceeded = await self._train(command, environment, checkpoints)
        return await self._finish(s3, code, exceeded)

    async def _prepare(self) -> tuple[list[str], dict[str, str]]:
        """The image's command line, and the environment it starts in."""
        image = await self._image(self._request["AlgorithmSpecification"]["TrainingImage"])
        programs = image.directory / "training_containers" / image.family
        arn = self.record["description"]["TrainingJobArn"]
        environment = processes.program_environment(image.python, self._base)
        environment |= training_environment(self._request, arn, self._cloud.region, self._paths)
        if not self._own_command:
            return [str(image.python), str(programs / "train")], environment
        # What the request names may name /opt/ml, which is elsewhere unless this machine can mount it there.
        await in_thread(self._paths.create, self._request)
        if not await processes.opt_ml_available(self._base):
            raise JobFailed(f"ClientError: {NO_OPT_ML}")
        environment["PATH"] = f"{programs}:{environment['PATH']}"
        command = own_command(self._request["AlgorithmSpecification"], image)
        program = shutil.which(command[0], path=environment["PATH"])
        if program is None:
            raise JobFailed(f"AlgorithmError: the image has no program {command[0]}, exit code: 127")
        return [program, *command[1:]], environment

    @property
    def _own_command(self) -> bool:
        """Whether the request says what runs, instead of the image's `train`."""
        return bool({"ContainerEntrypoint", "ContainerArguments"} & self._request["AlgorithmSpecification"].keys())

    async def _download(self, s3: Any) -> storage.CheckpointFolder | None:
        """Fills the job's folder. Raises JobFailed, Cancelled."""
        try:
            await in_thread(self._paths.create, self._request)
            for channel in channels(self._request):
                uri = channel["DataSource"]["S3DataSource"]["S3Uri"]
                folder = self._paths.channel(channel["ChannelName"])
                await self._download_prefix(s3, uri, folder)
            if "CheckpointConfig" not in self._request:
                return None
            uri = self._request["CheckpointConfig"]["S3Uri"]
            checkpoints = storage.CheckpointFolder(s3, uri, self._paths.checkpoints)
            await in_thread(checkpoints.restore, self._stop.is_set)
            return checkpoints
        except (storage.StorageError, *storage.S3_ERRORS) as error:
            raise JobFailed(f"ClientError: Data download failed: {error}") from error

    async def _train(
        self, command: list[str], environment: dict[str, str], checkpoints: storage.CheckpointFolder | None
    ) -> tuple[int, bool]:
        """(exit code, whether the time limit ended it)."""
        isolated = bool(self._request.get("EnableNetworkIsolation"))
        process, logs = await self._start(command, environment, isolated, LOG_GROUP, mounted=self._own_command)
        self._begin("Training")
        metrics = Metrics(self._name, self._request, lambda: self._client("cloudwatch"))
        host = f"{self._name}/{HOST}"  # SageMaker puts these figures itself, and not with the job's role
        usage = Usage(host, process.pid, self._base, lambda: self._cloud.client("cloudwatch"))
        reader = asyncio.create_task(self._read(process, logs, metrics))
        ended = asyncio.Event()
        syncer = asyncio.create_task(self._sync(checkpoints, ended))
        spent = time.time() - self.record["description"]["TrainingStartTime"]
        limit = self._request["StoppingCondition"]["MaxRuntimeInSeconds"]
        code, exceeded = await self._wait(process, limit - spent)
        await in_thread(processes.kill_all_in, self._base)
        ended.set()
        try:
            await asyncio.gather(reader, syncer)
        finally:
            await asyncio.gather(logs.close(), metrics.close(), usage.close())
        self.record["description"]["FinalMetricDataList"] = metrics.final()
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
        except (storage.StorageError, *storage.S3_ERRORS, OSError) as error:
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
            except storage.S3_ERRORS as error:  # the next look tries again; the last one must succeed
                logger.warning("checkpoints of %s not uploaded yet: %s", self._name, error)
        try:
            await in_thread(checkpoints.sync, final=True)
        except storage.S3_ERRORS as error:
            raise JobFailed(f"ClientError: Checkpoint upload failed: {error}") from error

    def _begin(self, secondary: str) -> None:
        self._jobs.transition(self.record, secondary)


def own_command(algorithm: dict[str, Any], image: Image) -> list[str]:
    """The command line as Docker makes it: the entry point, the image's if none is given, and the arguments."""
    entry = algorithm.get("ContainerEntrypoint", list(image.entrypoint))
    return [*entry, *algorithm.get("ContainerArguments", [])]


def failure_reason(failure: Path, code: int) -> str:
    """AWS's text: the start of /opt/ml/output/failure and the exit code, 1,024 characters in all."""
    try:
        text = failure.read_text(errors="replace").strip()
    except (FileNotFoundError, IsADirectoryError):
        text = ""
    suffix = f", exit code: {code}"
    text = re.sub(r"[\x00-\x08\x0b-\x1f]", " ", text) or "See the job's logs for more information"
    return "AlgorithmError: " + text[: REASON_LENGTH - len("AlgorithmError: ") - len(suffix)] + suffix

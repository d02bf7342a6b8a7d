"""One processing job's life on this machine: download, run, upload.

After "Build Your Own Processing Container" of the SageMaker Developer Guide.
"""

from __future__ import annotations

import asyncio
import codecs
import json
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.cloud import Image
from local.sagemaker import processes, storage
from local.sagemaker.concurrency import in_thread, set_within
from local.sagemaker.job_run import PLATFORM_STOPPED, JobFailed, JobRun
from local.sagemaker.logs import LogStream
from local.sagemaker.opt_ml import HOST
from local.sagemaker.processing_request import CONTAINER_BASE, below, inputs, outputs

if TYPE_CHECKING:
    from local.sagemaker.processing import ProcessingJobs

LOG_GROUP = "/aws/sagemaker/ProcessingJobs"
MESSAGE_BYTES = 1024  # of /opt/ml/output/message, which become the ExitMessage


@dataclass(frozen=True)
class Outcome:
    """How a job ended: ProcessingJobStatus, FailureReason and ExitMessage."""

    status: str
    reason: str = ""
    exit_message: str = ""


class ProcessingRun(JobRun):
    """Outputs go up when the program ends with 0; of a job that failed or was stopped there are none."""

    def __init__(self, jobs: ProcessingJobs, record: dict[str, Any]) -> None:
        super().__init__(jobs, record, record["request"]["ProcessingJobName"])
        self._jobs = jobs

    async def run(self) -> Outcome:
        try:
            return await self._run()
        except JobFailed as error:
            return Outcome("Failed", str(error))
        except storage.Cancelled:
            return self._stopped()
        finally:
            await in_thread(storage.remove, self._base)

    async def _run(self) -> Outcome:
        if self._capacity_wait and await set_within(self._stop, self._capacity_wait):
            raise storage.Cancelled
        started = self.record["description"]["ProcessingStartTime"] = time.time()
        image = await self._image(self._request["AppSpecification"]["ImageUri"])
        environment = self._environment(image)
        command = self._command(image, environment["PATH"])
        s3 = await self._s3()
        await self._download(s3)
        if self._stop.is_set():
            raise storage.Cancelled
        code, exceeded = await self._process(command, environment, started)
        message = await in_thread(exit_message, self._base / "output/message")
        outcome = self._stopped() if exceeded or self._stop.is_set() else await self._finish(s3, code)
        return replace(outcome, exit_message=message)

    def _environment(self, image: Image) -> dict[str, str]:
        """The image's variables, the request's, and where /opt/ml is; never a credential."""
        return {
            **processes.program_environment(image.python, self._base),
            "PYTHONPATH": str(image.directory),
            **self._request.get("Environment", {}),
            "AWS_REGION": self._cloud.region,
            "AWS_DEFAULT_REGION": self._cloud.region,
            "SAGEMAKER_BASE_DIR": str(self._base),
        }

    def _command(self, image: Image, path: str) -> list[str]:
        """The command line as Docker makes it of entry point and arguments; paths below /opt/ml are this machine's."""
        application = self._request["AppSpecification"]
        words = [*application.get("ContainerEntrypoint", image.entrypoint), *application.get("ContainerArguments", [])]
        if not words:
            raise JobFailed("AlgorithmError: the image has no ENTRYPOINT, and the request gives no ContainerEntrypoint")
        words = [str(below(self._base, word)) if word.startswith(f"{CONTAINER_BASE}/") else word for word in words]
        program = shutil.which(words[0], path=path)
        if program is None and not Path(words[0]).is_relative_to(self._base):  # an input may bring the program
            raise JobFailed(f"AlgorithmError: the image has no program {words[0]}, exit code: 127")
        return [program or words[0], *words[1:]]

    async def _download(self, s3: Any) -> None:
        """Fills the job's folder. Raises JobFailed, Cancelled."""
        try:
            await in_thread(self._create_folders)
            for uri, folder in inputs(self._request, self._base):
                await self._download_prefix(s3, uri, folder)
        except (storage.StorageError, *storage.S3_ERRORS) as error:
            raise JobFailed(f"ClientError: Data download failed: {error}") from error

    def _create_folders(self) -> None:
        places = [folder for _, folder in outputs(self._request, self._base)]
        for folder in (self._base / "config", self._base / "output", *places):
            folder.mkdir(parents=True, exist_ok=True)
        description = self.record["description"]
        for name, content in config_files(self._request, description["ProcessingJobArn"]).items():
            (self._base / "config" / name).write_text(json.dumps(content))

    async def _process(self, command: list[str], environment: dict[str, str], started: float) -> tuple[int, bool]:
        """(exit code, whether the time limit ended it)."""
        isolated = bool(self._request.get("NetworkConfig", {}).get("EnableNetworkIsolation"))
        process, logs = await self._start(command, environment, isolated, LOG_GROUP)
        self._jobs.save(self.record)
        reader = asyncio.create_task(read(process, logs))
        limit = self._request["StoppingCondition"]["MaxRuntimeInSeconds"]
        code, exceeded = await self._wait(process, started + limit - time.time())
        await in_thread(processes.kill_all_in, self._base)
        try:
            await reader
        finally:
            await logs.close()
        return code, exceeded

    async def _finish(self, s3: Any, code: int) -> Outcome:
        """Uploads what the program made, and judges how it ended."""
        if code != 0:
            return Outcome("Failed", f"AlgorithmError: , exit code: {code}")  # AWS's own text
        try:
            for uri, folder in outputs(self._request, self._base):
                await in_thread(storage.upload_folder, s3, folder, uri)
        except (*storage.S3_ERRORS, OSError) as error:
            return Outcome("Failed", f"ClientError: Data upload failed: {error}")
        return Outcome("Completed")

    def _stopped(self) -> Outcome:
        return Outcome("Failed", PLATFORM_STOPPED) if self._interrupted else Outcome("Stopped")


async def read(process: processes.Process, logs: LogStream) -> None:
    async for line in process.lines():
        logs.write(line)


def exit_message(path: Path) -> str:
    """The first KB of what the program left for its user. Raises JobFailed when it is not UTF-8."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        content = file.read(MESSAGE_BYTES)
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        return decoder.decode(content, final=len(content) < MESSAGE_BYTES)  # the cut may go through a character
    except UnicodeDecodeError as error:
        raise JobFailed("ClientError: /opt/ml/output/message is not UTF-8 encoded") from error


def config_files(request: dict[str, Any], arn: str) -> dict[str, Any]:
    """The JSON files of /opt/ml/config."""
    application = {"ContainerEntrypoint": None, "ContainerArguments": None, **request["AppSpecification"]}
    job = {
        "ProcessingJobArn": arn,
        **{name: value for name, value in request.items() if name not in ("Tags", "ExperimentConfig")},
        "AppSpecification": application,
    }
    resources = {"current_host": HOST, "hosts": [HOST]}
    return {"processingjobconfig.json": job, "resourceconfig.json": resources}

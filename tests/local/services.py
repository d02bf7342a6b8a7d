"""Our SageMaker and Batch on a loop of their own behind a small HTTP server, with MiniStack as their S3 and logs.

Tests speak to both with real boto3 clients. MiniStack runs as a program of its own, without authentication.
"""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncGenerator, Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import boto3
from botocore.config import Config

from local.batch import Batch
from local.cloud import Cloud, Image, ImageNotFound
from local.faults import Faults
from local.sagemaker.protocol import Stream
from local.sagemaker.service import SageMaker

REGION, ACCOUNT = "us-east-1", "000000000000"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/execution"
BUCKET = "training"
PROGRAM = "processing_program"  # the module that an image's ENTRYPOINT runs
T = TypeVar("T")
SESSION = boto3.Session("test", "test", region_name=REGION)  # one session, as it keeps the service models
MAKING_CLIENT = threading.Lock()  # boto3 clients may be used by many threads, but not made by many at once


def client(service: str, url: str) -> Any:
    config = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
    with MAKING_CLIENT:
        return SESSION.client(service, endpoint_url=url, config=config)


def until(read: Callable[[], T], condition: Callable[[T], Any], seconds: float = 20) -> T:
    """The first value of `read` that meets the condition; fails with the last one when the time is over."""
    deadline = time.monotonic() + seconds
    while not condition(value := read()):
        assert time.monotonic() < deadline, f"after {seconds} s still {value!r}"
        time.sleep(0.02)
    return value


def alive(pid: int) -> bool:
    """Whether a process runs; one that waits to be collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # it may go while it is read
        return False


class MiniStack:
    """S3, CloudWatch and CloudWatch Logs on a free port."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        environment = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        environment |= {"GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1", "STATE_DIR": str(folder)}
        environment |= {"SFTP_ENABLED": "0", "IOT_MTLS_ENABLED": "0", "SERVICES": "s3,logs,cloudwatch,sts,iam"}
        self._log = (folder / "ministack.log").open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "ministack"], env=environment, stdout=self._log, stderr=self._log, cwd=folder
        )
        until(self._answers, bool, 60)
        client("s3", self.url).create_bucket(Bucket=BUCKET)

    def close(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self._log.close()

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", int(self.url.rpartition(":")[2])), 1).close()
        except OSError:
            return False
        return True


class Services:
    """One platform; after `close`, `start` puts another one on the same folder."""

    def __init__(self, home: Path, aws: str, **settings: float) -> None:
        self.home, self.aws, self._settings = home, aws, settings
        self.events: list[dict[str, Any]] = []
        self.roles: set[str | None] = set()
        self.faults = Faults()
        self.start()

    def start(self) -> None:
        """A new SageMaker and Batch on the folder, and a server in front of them."""
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self.run(self._create())
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{self._server.server_port}"
        self.connect(url)

    def connect(self, url: str) -> None:
        """Clients of the platform at `url`."""
        self.url = url
        self.sagemaker, self.runtime = client("sagemaker", url), client("sagemaker-runtime", url)
        self.batch = client("batch", url)
        self.s3, self.logs = client("s3", self.aws), client("logs", self.aws)

    def close(self) -> None:
        """Stops as `make down` does."""
        self._server.shutdown()
        self._server.server_close()
        self.run(self.sagemaker_service.shutdown())
        self._stop_loop()

    def run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def image(self, name: str, train: str = "", serve: str = "", process: str | None = None) -> str:
        """Publishes an image whose programs are these Python sources, the last one its ENTRYPOINT; the image's URI."""
        folder = self.home / "images" / name / "training_containers" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "train").write_text(train)
        (folder / "serve").write_text(serve)
        if process is not None:
            (self.home / "images" / name / f"{PROGRAM}.py").write_text(process)
        return f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{name}:1"

    def put(self, key: str, body: bytes | str) -> str:
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=body)
        return f"s3://{BUCKET}/{key}"

    def object(self, uri: str) -> bytes:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        return self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()

    def keys(self, prefix: str) -> list[str]:
        found = self.s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
        return [entry["Key"].removeprefix(prefix) for entry in found]

    def training_request(self, name: str, image: str, **changes: Any) -> dict[str, Any]:
        request = {
            "TrainingJobName": name,
            "AlgorithmSpecification": {"TrainingImage": image, "TrainingInputMode": "File"},
            "RoleArn": ROLE,
            "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/{name}/output"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10},
            "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        }
        return {**request, **changes}

    def processing_request(self, name: str, image: str, **changes: Any) -> dict[str, Any]:
        cluster = {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10}
        request = {
            "ProcessingJobName": name,
            "AppSpecification": {"ImageUri": image},
            "RoleArn": ROLE,
            "ProcessingResources": {"ClusterConfig": cluster},
            "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        }
        return {**request, **changes}

    def processed(self, name: str) -> dict[str, Any]:
        """The description of a processing job once it is finished."""
        return until(
            lambda: self.sagemaker.describe_processing_job(ProcessingJobName=name),
            lambda job: job["ProcessingJobStatus"] in ("Completed", "Failed", "Stopped"),
        )

    def ended(self, name: str) -> dict[str, Any]:
        """The description of a training job once it is finished."""
        return until(
            lambda: self.sagemaker.describe_training_job(TrainingJobName=name),
            lambda job: job["TrainingJobStatus"] in ("Completed", "Failed", "Stopped"),
        )

    def training(self, name: str) -> dict[str, Any]:
        """The description of a training job once its program runs."""
        return until(
            lambda: self.sagemaker.describe_training_job(TrainingJobName=name),
            lambda job: job["SecondaryStatus"] == "Training",
        )

    def log_lines(self, group: str, prefix: str) -> list[str]:
        streams = self.logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=prefix)["logStreams"]
        return [
            event["message"]
            for stream in streams
            for event in self.logs.get_log_events(
                logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True
            )["events"]
        ]

    def details(self, detail_type: str, **wanted: str) -> list[dict[str, Any]]:
        """The details of the events so far, in order of arrival."""
        return [
            e["detail"]
            for e in list(self.events)
            if e["detail-type"] == detail_type and wanted.items() <= e["detail"].items()
        ]

    async def _create(self) -> None:
        cloud = Cloud(
            home=self.home / "sagemaker",
            region=REGION,
            account=ACCOUNT,
            client=self._client,
            emit=self._emit,
            role_allows=lambda *_: True,
            image=self._image,
            faults=self.faults,
        )
        self.sagemaker_service = SageMaker(cloud, **self._settings)
        self.batch_service = Batch(cloud, self.sagemaker_service)
        await self.sagemaker_service.start()

    def _client(self, service: str, role_arn: str | None = None) -> Any:
        self.roles.add(role_arn)
        return client(service, self.aws)

    def _emit(self, source: str, detail_type: str, detail: dict, resources: list[str]) -> None:
        detail = json.loads(json.dumps(detail))
        self.events.append({"source": source, "detail-type": detail_type, "detail": detail, "resources": resources})

    def _image(self, uri: str) -> Image:
        name = uri.rpartition("/")[2].partition(":")[0]
        directory = self.home / "images" / name
        if not directory.exists():
            raise ImageNotFound(uri)
        runs = (directory / f"{PROGRAM}.py").exists()
        return Image(directory, name, Path(sys.executable), (sys.executable, "-m", PROGRAM) if runs else ())

    def _stop_loop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        services = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
                service = services.batch_service if path.startswith("/v1/") else services.sagemaker_service
                if chat := re.fullmatch(r"/endpoints/([^/]+)/openai/v1/chat/completions", path):
                    answer = services.run(services.sagemaker_service.chat(chat[1], None, body, headers))
                else:
                    answer = services.run(service.handle(self.command, path, headers, body, query))
                status, headers, content = answer
                self.send_response(status)
                if isinstance(content, Stream):
                    return self.stream(headers, content.pieces)
                for name, value in {**headers, "Content-Length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def stream(self, headers: dict[str, str], pieces: AsyncGenerator[bytes]) -> None:
                for name, value in {**headers, "Transfer-Encoding": "chunked", "Connection": "close"}.items():
                    self.send_header(name, value)
                self.end_headers()
                try:
                    while piece := services.run(anext(pieces, b"")):
                        self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                    self.wfile.write(b"0\r\n\r\n")
                except OSError:
                    pass  # the client is gone
                finally:
                    services.run(pieces.aclose())

            do_GET = do_POST = do_DELETE = answer

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Handler


class ServicesProcess(Services):
    """The same platform as a process of its own, for tests that kill it."""

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.local.services", str(self.home), self.aws]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.connect(self.process.stdout.readline().strip())

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


if __name__ == "__main__":
    settings = {"stop_grace": 1.0, "health_timeout": 10.0, "baking_speed": 3000.0}
    print(Services(Path(sys.argv[1]), sys.argv[2], **settings).url, flush=True)
    threading.Event().wait()

"""A training job's folder with the image's own `train` and `serve` run on it, and a server under test."""

import csv
import io
import json
import os
import signal
import socket
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from local.cloud import Image

PIPE_BYTES = 4096  # the smallest pipe: a job that nobody reads from soon waits, so a test can stop it at a known place


@dataclass
class Job:
    """One job's /opt/ml, and the commands of the image run on it."""

    base: Path
    image: Image

    def write(self, table: str | bytes, **parameters: Any) -> "Job":
        """Put a table and the configuration where SageMaker puts them."""
        self.put("input/data/train/data.csv", table)
        return self.configure("tabular", parameters)

    def configure(
        self, training_type: str, parameters: dict[str, Any], column_mapping: dict[str, str] | None = None
    ) -> "Job":
        """Put the configuration where SageMaker puts it."""
        config = {
            "job_id": "job-test",
            "stage": "local",
            "training_type": training_type,
            "parameters": parameters,
            "column_mapping": column_mapping or {},
        }
        self.put("input/data/config/config.json", json.dumps(config))
        self.put("input/config/hyperparameters.json", json.dumps({"config": "config.json"}))
        return self

    def evaluates(self, trained: "Job", table: str | bytes = "") -> "Job":
        """Put what an evaluation job finds: a table, if that is its data, and the archive that a job left."""
        if table:
            self.put("input/data/train/data.csv", table)
        about = {"kind": "evaluation", "base_model": "ada/model@v1", "parameters": {}}
        self.put("input/data/config/config.json", json.dumps(trained.json("input/data/config/config.json") | about))
        self.put("input/config/hyperparameters.json", json.dumps({"config": "config.json"}))
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w:gz") as archive:
            archive.add(trained.base / "model", arcname=".")
        self.put("input/data/model/model.tar.gz", content.getvalue())
        return self

    def put(self, name: str, content: str | bytes) -> None:
        file = self.base / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)

    @property
    def commands(self) -> Path:
        """The folder of `train` and `serve`."""
        return self.image.directory / "training_containers" / self.image.family

    def environment(self, **more: str) -> dict[str, str]:
        path = f"{self.image.python.parent}:{self.commands}:{os.environ['PATH']}"
        return {"PATH": path, "SAGEMAKER_BASE_DIR": str(self.base), "OMP_NUM_THREADS": "1", **more}

    def start(self, **environment: str) -> "Running":
        return Running(
            subprocess.Popen(
                [self.commands / "train"],
                env=self.environment(**environment),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                bufsize=0,
                pipesize=PIPE_BYTES,
            )
        )

    def run(self, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.commands / "train"], env=self.environment(**environment), capture_output=True, text=True, timeout=900
        )

    def trained(self) -> "Job":
        """Run the job to its end, which must be a good one."""
        done = self.run()
        assert done.returncode == 0, done.stderr
        return self

    def json(self, name: str) -> dict[str, Any]:
        return json.loads((self.base / name).read_text())

    @property
    def failure(self) -> str:
        """The reason in the failure file, without its class."""
        return self._failure[1]

    @property
    def failure_class(self) -> str:
        """The class that the failure file begins with, in brackets."""
        return self._failure[0]

    @property
    def _failure(self) -> tuple[str, str]:
        name, _, reason = (self.base / "output/failure").read_text().removeprefix("[").partition("] ")
        return name, reason

    def rows(self) -> list[dict[str, str]]:
        """The dataset as it was written."""
        return list(csv.DictReader(io.StringIO((self.base / "input/data/train/data.csv").read_text())))

    @contextmanager
    def serve(self, *interpreter: str, stdout: Any = None) -> Iterator["Server"]:
        """A running server, ready to answer; `interpreter` replaces the shebang's, `stdout` a file takes its lines."""
        port = free_port()
        command = [*interpreter, str(self.commands / "serve")]
        environment = self.environment(SAGEMAKER_BIND_TO_PORT=str(port))
        process = subprocess.Popen(command, env=environment, stdout=stdout, stderr=subprocess.PIPE, text=True)
        server = Server(f"http://127.0.0.1:{port}", process)
        try:
            until(server.is_ready, "the server is ready", seconds=120)  # PyTorch takes its time on a busy machine
            yield server
        finally:
            process.terminate()
            server.stderr = process.communicate(timeout=60)[1]


@dataclass
class Running:
    """A job in progress. What is not read stays in the small pipe, so the job cannot get far ahead of its test."""

    process: subprocess.Popen[bytes]
    output: str = ""

    def read_until_epoch(self, epoch: int) -> None:
        """Read up to the progress line of an epoch, or the first line for epoch 0."""
        self.read_until("epoch", epoch)

    def read_until(self, counter: str, least: int) -> None:
        """Read up to the progress line where a counter, `epoch` or `step`, has got so far."""
        assert self.process.stdout
        while line := self.process.stdout.readline().decode():
            self.output += line
            if any(each[counter] >= least for each in progress_lines(line)):
                return
        raise AssertionError(f"the job ended before {counter} {least}: {self.output}")

    def end(self, send: signal.Signals) -> int:
        """Send a signal, read the rest and return the exit status."""
        assert self.process.stdout
        self.process.send_signal(send)
        self.output += self.process.stdout.read().decode()
        self.process.stdout.close()
        return self.process.wait(timeout=60)


@dataclass
class Server:
    """A server under test; its stderr is complete once it has ended."""

    url: str
    process: subprocess.Popen[str]
    stderr: str = ""

    def is_ready(self) -> bool:
        assert self.process.poll() is None, "the server ended"
        try:
            return requests.get(f"{self.url}/ping", timeout=5).status_code == 200
        except requests.ConnectionError:
            return False

    def post(self, body: Any, content_type: str = "application/json") -> requests.Response:
        data = body if isinstance(body, str | bytes) else json.dumps(body)
        headers = {"Content-Type": content_type}
        return requests.post(f"{self.url}/invocations", data=data, headers=headers, timeout=30)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def progress_lines(stdout: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stdout.splitlines() if line.startswith("{")]


def until(condition: Callable[[], bool], what: str, seconds: float = 30) -> None:
    """Wait for a condition; fails when it does not come true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.02)

"""MLflow's own server, installed beside us on demand, with the same versions in its database."""

import os
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import requests

from lambdas.models.schemas import ModelVersion
from local.home import CACHE, REPOSITORY

RELEASE = "3.17.2"
HOME = CACHE / "bench" / "mlflow"
START_SECONDS = 120
MAKE_TABLES = (
    "import sys; from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as S; S(sys.argv[1])"
)


class Mlflow:
    """One database, and the server over it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "mlflow.db"
        self.uri = f"sqlite:///{self.file}"
        self.session = requests.Session()
        self.url = ""
        self.stored = 0

    def create(self) -> None:
        """Install MLflow unless it is there, and let it make its tables."""
        uv, python = REPOSITORY / ".venv" / "bin" / "uv", HOME / "bin" / "python"
        if not list(HOME.glob(f"lib/python*/site-packages/mlflow-{RELEASE}.dist-info")):
            subprocess.run([uv, "venv", "--quiet", "--clear", HOME], check=True)
            subprocess.run([uv, "pip", "install", "--quiet", "--python", python, f"mlflow=={RELEASE}"], check=True)
        subprocess.run([python, "-c", MAKE_TABLES, self.uri], env=environment(), check=True, capture_output=True)

    def fill(self, versions: list[ModelVersion]) -> None:
        """Store versions as its API would, and gather the statistics that its queries are planned by."""
        with sqlite3.connect(self.file) as database:
            for version in versions:
                number, time_ms = int(version.version.removeprefix("v")), timestamp(version)
                if number == 1:
                    database.execute(
                        "INSERT INTO registered_models (name, creation_time, last_updated_time) VALUES (?, ?, ?)",
                        (version.model_id, time_ms, time_ms),
                    )
                database.execute(
                    "INSERT INTO model_versions (name, version, creation_time, last_updated_time, description, "
                    "current_stage, source, status) VALUES (?, ?, ?, ?, ?, 'None', ?, 'READY')",
                    (version.model_id, number, time_ms, time_ms, version.description, f"s3://models/{version.prefix}"),
                )
                database.executemany(
                    "INSERT INTO model_version_tags (key, value, name, version) VALUES (?, ?, ?, ?)",
                    [(*tag.split("-", 1), version.model_id, number) for tag in version.tags],
                )
        self.stored += len(versions)
        database.execute("ANALYZE")
        database.close()

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Run the server, with one worker."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        command = [HOME / "bin" / "mlflow", "server", "--backend-store-uri", self.uri, "--workers", "1"]
        command += ["--host", "127.0.0.1", "--port", str(port), "--no-serve-artifacts"]
        command += ["--default-artifact-root", str(self.folder / "artifacts")]
        with (self.folder / "mlflow.log").open("wb") as log:
            server = subprocess.Popen(
                command, env=environment(), stdout=log, stderr=log, cwd=self.folder, start_new_session=True
            )
            try:
                self.wait(server)
                yield
            finally:
                os.killpg(server.pid, signal.SIGTERM)
                server.wait(20)

    def wait(self, server: "subprocess.Popen[bytes]") -> None:
        """Wait until the server answers; raises RuntimeError with its log when it does not."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and server.poll() is None:
            try:
                if self.session.get(f"{self.url}/health", timeout=5).ok:
                    return
            except requests.ConnectionError:
                time.sleep(0.2)
        raise RuntimeError((self.folder / "mlflow.log").read_text()[-2000:])

    def get(self, path: str, **parameters: Any) -> Any:
        """Return the JSON of an answer."""
        answer = self.session.get(f"{self.url}/api/2.0/mlflow/model-versions/{path}", params=parameters, timeout=60)
        answer.raise_for_status()
        return answer.json()


def environment() -> dict[str, str]:
    """Return the environment that MLflow runs in.

    It sends nothing to anyone, and starts none of its runners of jobs: they have no part in the registry, and keep two
    cores busy for the first half minute.
    """
    bytecode = {"PYTHONDONTWRITEBYTECODE": ""}
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    return os.environ | bytecode | quiet


def timestamp(version: ModelVersion) -> int:
    """Return when a version was made, in milliseconds."""
    return int(datetime.fromisoformat(version.created_at).timestamp() * 1000)


def row(version: dict[str, Any]) -> tuple[str, str]:
    """Return what tells a version of MLflow's from others, as ours is told."""
    return version["name"], f"v{version['version']}"

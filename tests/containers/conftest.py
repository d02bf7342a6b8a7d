"""The tabular image's own environment, and jobs to run in it.

.venv/bin/python -m pytest tests/containers
"""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.containers.jobs import FAMILY, ROOT, Job
from tests.containers.tables import mixed_csv, sklearn_csv

Trained: TypeAlias = Callable[[str, str], tuple[Job, str]]


@pytest.fixture(scope="session")
def python() -> Path:
    """The Python of the tabular image's environment, built once per content of its requirements."""
    requirements = FAMILY / "requirements.txt"
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()[:16]
    folder = ROOT / ".slipway" / "cache" / "images" / f"tabular-{digest}"
    if not (folder / ".complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        uv = Path(sys.executable).with_name("uv")
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, folder], check=True)
        sync = [uv, "pip", "sync", "--quiet", "--require-hashes", "--compile-bytecode"]
        subprocess.run([*sync, "--python", folder / "bin/python", requirements], check=True)
        (folder / ".complete").touch()
    return folder / "bin" / "python"


@pytest.fixture(scope="session")
def trained(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Trained jobs by (dataset, algorithm), each trained once: (job, its standard output)."""
    jobs: dict[tuple[str, str], tuple[Job, str]] = {}

    def train(dataset: str, algorithm: str) -> tuple[Job, str]:
        if (dataset, algorithm) not in jobs:
            job = Job(tmp_path_factory.mktemp(f"{dataset}-{algorithm}"), python)
            table, target = (mixed_csv(), "bought") if dataset == "mixed" else (sklearn_csv(dataset), "target")
            done = job.write(table, target=target, algorithm=algorithm).run()
            assert done.returncode == 0, done.stderr
            jobs[dataset, algorithm] = (job, done.stdout)
        return jobs[dataset, algorithm]

    return train


@pytest.fixture
def job(python: Path, tmp_path: Path) -> Job:
    """A job whose inputs the test writes."""
    return Job(tmp_path, python)

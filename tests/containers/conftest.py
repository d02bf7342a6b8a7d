"""The images as the local platform builds them, and jobs to run in it.

.venv/bin/python -m pytest tests/containers
"""

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from local import images
from local.cloud import Image
from tests.containers.jobs import Job
from tests.containers.tables import mixed_csv, sklearn_csv

Trained: TypeAlias = Callable[[str, str], tuple[Job, str]]
CONTEXT = Path(__file__).resolve().parents[2] / "training_containers"


@pytest.fixture(scope="session")
def image() -> Image:
    """The tabular image, built once per content."""
    return images.build(CONTEXT, "tabular/Dockerfile")


@pytest.fixture(scope="session")
def huggingface_image() -> Image:
    """The huggingface image, built once per content."""
    return images.build(CONTEXT, "huggingface/Dockerfile")


@pytest.fixture(scope="session")
def trained(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Trained jobs by (dataset, algorithm), each trained once: (job, its standard output)."""
    jobs: dict[tuple[str, str], tuple[Job, str]] = {}

    def train(dataset: str, algorithm: str) -> tuple[Job, str]:
        if (dataset, algorithm) not in jobs:
            job = Job(tmp_path_factory.mktemp(f"{dataset}-{algorithm}"), image)
            table, target = (mixed_csv(), "bought") if dataset == "mixed" else (sklearn_csv(dataset), "target")
            done = job.write(table, target=target, algorithm=algorithm).run()
            assert done.returncode == 0, done.stderr
            jobs[dataset, algorithm] = (job, done.stdout)
        return jobs[dataset, algorithm]

    return train


@pytest.fixture
def job(image: Image, tmp_path: Path) -> Job:
    """A job whose inputs the test writes."""
    return Job(tmp_path, image)

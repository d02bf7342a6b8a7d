"""Fixtures of the local platform's tests."""

from collections.abc import Iterator

import pytest

from tests.local.services import MiniStack, Services


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniStack]:
    """S3 and logs for our SageMaker and Batch."""
    ministack = MiniStack(tmp_path_factory.mktemp("ministack"))
    yield ministack
    ministack.close()


@pytest.fixture(scope="module")
def services(aws: MiniStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """SageMaker and Batch without faults, with a short grace after SIGTERM; shared by a file's tests."""
    services = Services(tmp_path_factory.mktemp("platform"), aws.url, stop_grace=1.0, health_timeout=4.0)
    yield services
    services.close()

"""Fixtures of the local platform's tests."""

from collections.abc import Iterator

import pytest

from tests.local import observed
from tests.local.services import MiniStack, Services
from tests.local.small import Small


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


@pytest.fixture(scope="session")
def observed_stack(small: Small) -> dict[str, str]:
    """The outputs of the stack of observed.py."""
    return small.create_stack("observed", observed.template())


@pytest.fixture(scope="module")
def observed_api(small: Small, observed_stack: dict[str, str]) -> Iterator[str]:
    """The URL of that stack's API, behind the front door while a module's tests run."""
    before = small.files.read("deployed.json") or {}
    small.files.write("deployed.json", {**before, "api_id": observed_stack["Api"]})
    yield small.api_url
    small.files.write("deployed.json", before)

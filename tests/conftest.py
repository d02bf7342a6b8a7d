"""Fixtures for every test: a whole running platform."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.local.small import Small, running
from tests.platform import Platform

# Whether a property holds has nothing to do with how fast a busy machine tries it.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """The app deployed on a platform of this session's own, with faults allowed."""
    folder = tmp_path_factory.mktemp("platform")
    whole = Platform(folder)
    try:
        whole.up()
        yield whole
    finally:
        whole.down()
        shutil.rmtree(folder / "s3", ignore_errors=True)


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Small]:
    """A platform with a small stack instead of the app; tests leave it running and without faults."""
    with running(tmp_path_factory.mktemp("small")) as platform:
        yield platform

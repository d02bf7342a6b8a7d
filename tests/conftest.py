"""Fixtures for every test: a whole running platform."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadFileScheduling

from tests.local.small import Small, running
from tests.platform import Platform

# Whether a property holds has nothing to do with how fast a busy machine tries it.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


class ByFile(LoadFileScheduling):
    """Hands a file's tests to one process, and those of all templates, whose synthesis they share."""

    def _split_scope(self, nodeid: str) -> str:
        return "infra" if nodeid.startswith("tests/infra/") else super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    """Let two processes share the tests by whole files."""
    return ByFile(config, log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures that tests recorded by `record_property`, whichever process they ran in."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{name}: {value}")


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

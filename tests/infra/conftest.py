"""The stages, each synthesised once."""

from collections.abc import Callable
from functools import cache

import pytest

from tests.infra.synthesis import STAGES, Stage, synthesise


@pytest.fixture(scope="session")
def stage_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Stage]:
    """Return a function from a stage's name to the synthesised stage."""

    @cache
    def stage(name: str) -> Stage:
        return synthesise(name, tmp_path_factory.mktemp(name))

    return stage


@pytest.fixture(scope="session", params=list(STAGES))
def stage(request: pytest.FixtureRequest, stage_of: Callable[[str], Stage]) -> Stage:
    """Each stage of cdk.json in turn, and one that uses every setting."""
    return stage_of(request.param)


@pytest.fixture(scope="session")
def dev(stage_of: Callable[[str], Stage]) -> Stage:
    """Stage `dev`."""
    return stage_of("dev")


@pytest.fixture(scope="session")
def everything(stage_of: Callable[[str], Stage]) -> Stage:
    """A stage that uses every setting."""
    return stage_of("everything")

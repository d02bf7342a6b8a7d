"""The images' build contexts: everything that a Dockerfile copies, and little else.

Run: python -m pytest tests/infra/test_image.py
"""

import json
import re
from pathlib import Path

import pytest

from stacks.processing import DOCKERFILE
from stacks.training import CONTAINERS, FAMILIES
from tests.infra.synthesis import ROOT, Stage

PROCESSING = str(Path(DOCKERFILE).parent)


@pytest.fixture(scope="session")
def sources(dev: Stage) -> dict[str, tuple[Path, dict[str, str]]]:
    """Return each image's build context and how it is built, by the folder of its Dockerfile."""
    manifest = json.loads((dev.folder / "slipway-dev-platform.assets.json").read_text())
    images = [asset["source"] for asset in manifest["dockerImages"].values()]
    return {str(Path(source["dockerFile"]).parent): (dev.folder / source["directory"], source) for source in images}


@pytest.mark.parametrize("folder", [*FAMILIES, PROCESSING])
def test_the_context_holds_what_the_dockerfile_copies(
    folder: str, sources: dict[str, tuple[Path, dict[str, str]]]
) -> None:
    context, source = sources[folder]
    copied = re.findall(r"^COPY (\S+) ", (context / source["dockerFile"]).read_text(), re.MULTILINE)
    assert copied
    assert [path for path in copied if not (context / path).exists()] == []
    assert source["platform"] == "linux/amd64"


@pytest.mark.parametrize("family", FAMILIES)
def test_the_context_holds_every_source_of_the_family_and_no_other(
    family: str, sources: dict[str, tuple[Path, dict[str, str]]]
) -> None:
    context, _ = sources[family]
    wanted = {path.relative_to(CONTAINERS) for name in ("common", family) for path in (CONTAINERS / name).rglob("*.py")}
    found = {path.relative_to(context) for path in context.rglob("*") if path.is_file()}
    assert wanted <= found
    assert {path.parts[0] for path in found} <= {"__init__.py", ".dockerignore", "common", family}
    assert [path for path in found if path.suffix in (".pyc", ".in", ".md")] == []


def test_the_context_of_processing_holds_what_reads_datasets_and_nothing_else_of_the_functions(
    sources: dict[str, tuple[Path, dict[str, str]]],
) -> None:
    context, _ = sources[PROCESSING]
    found = {path.relative_to(context).as_posix() for path in context.rglob("*") if path.is_file()}
    ours = {f"{PROCESSING}/{path.name}" for path in (ROOT / PROCESSING).glob("*.py")} - {f"{PROCESSING}/tasks.py"}
    shared = {"lambdas/common/__init__.py", "lambdas/common/zip_directory.py"}
    assert found == ours | shared | {"lambdas/__init__.py", DOCKERFILE, f"{PROCESSING}/requirements.txt"}

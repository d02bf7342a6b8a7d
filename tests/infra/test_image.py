"""The training image's build context: everything that the Dockerfile copies, and little else.

Run: python -m pytest tests/infra/test_image.py
"""

import json
import re
from pathlib import Path

import pytest

from stacks.training import CONTAINERS, FAMILIES
from tests.infra.synthesis import Stage


@pytest.fixture(scope="session")
def sources(dev: Stage) -> dict[str, tuple[Path, dict[str, str]]]:
    """Return each family's build context and how it is built."""
    manifest = json.loads((dev.folder / "slipway-dev-platform.assets.json").read_text())
    images = [asset["source"] for asset in manifest["dockerImages"].values()]
    return {source["dockerFile"].split("/")[0]: (dev.folder / source["directory"], source) for source in images}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_context_holds_what_the_dockerfile_copies(
    family: str, sources: dict[str, tuple[Path, dict[str, str]]]
) -> None:
    context, source = sources[family]
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

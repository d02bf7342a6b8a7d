"""Container images without containers: the sources an image copies, and an environment with its requirements.

Both live in the shared cache under names made from their content, so an unchanged image is never made twice.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import uv

from local.cloud import Image, ImageNotFound
from local.home import CACHE, PlatformError
from local.outputs import Deployment

PROGRAM = "training_containers"  # the package the image copies to /opt/program


def build(context: Path, dockerfile: str) -> Image:
    """Make what `docker build --file <dockerfile> <context>` would. Raises PlatformError when packages do not install.

    The Dockerfile's folder is the image's family; the image copies `common/` and that folder.
    """
    image = located(context, dockerfile)
    if not image.directory.exists():
        install_sources(context, image)
    if not image.python.exists():
        install_environment(context / image.family / "requirements.txt", image.python.parent.parent)
    return image


def located(context: Path, dockerfile: str) -> Image:
    """The image of these sources, whether it is built or not."""
    family = Path(dockerfile).parent.name
    sources = hashlib.sha256()
    for file in source_files(context, family):
        sources.update(f"{file.relative_to(context)}\0{file.stat().st_mode & 0o111}\0".encode())
        sources.update(hashlib.sha256(file.read_bytes()).digest())
    machine = f"{sys.platform} {platform.machine()} {platform.python_version()}"
    requirements = (context / family / "requirements.txt").read_bytes()
    environment = hashlib.sha256(machine.encode() + b"\0" + requirements)
    return Image(
        directory=CACHE / "images" / sources.hexdigest()[:20],
        family=family,
        python=CACHE / "environments" / environment.hexdigest()[:20] / "bin" / "python",
    )


def source_files(context: Path, family: str) -> list[Path]:
    """The files that the image copies, in a fixed order."""
    files = [*context.glob("*.py"), *(context / "common").rglob("*"), *(context / family).rglob("*")]
    return sorted(file for file in files if file.is_file() and "__pycache__" not in file.parts)


def install_sources(context: Path, image: Image) -> None:
    """Copy the image's sources, whole or not at all."""
    image.directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=image.directory.parent) as partial:
        for file in source_files(context, image.family):
            target = Path(partial) / "program" / PROGRAM / file.relative_to(context)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)
        keep(Path(partial) / "program", image.directory)


def install_environment(requirements: Path, environment: Path) -> None:
    """Install the locked requirements into a new environment, whole or not at all."""
    environment.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=environment.parent) as partial:
        made = Path(partial) / "environment"
        run_uv("venv", "--quiet", "--relocatable", "--python", sys.executable, str(made))
        # Byte code once here, instead of at the start of every job.
        run_uv(
            "pip", "sync", "--quiet", "--compile-bytecode", "--python", str(made / "bin" / "python"), str(requirements)
        )
        keep(made, environment)


def keep(made: Path, place: Path) -> None:
    """Move a finished folder to its place; the loser of a race drops its own."""
    try:
        os.rename(made, place)
    except OSError:
        if not place.exists():
            raise


def run_uv(*arguments: str) -> None:
    """Run uv. Raises PlatformError with what it said."""
    done = subprocess.run([uv.find_uv_bin(), *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise PlatformError(f"The packages of a training image could not be installed: {done.stderr.strip()}")


class Images:
    """The images of the deployed assembly, as our SageMaker asks for them."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment

    def resolve(self, uri: str) -> Image:
        """The image behind a URI. Raises ImageNotFound when the assembly has none or it is no longer in the cache."""
        source = self.deployment.images().get(uri)
        if source is None:
            raise ImageNotFound(f"No image of this platform is called {uri}.")
        image = located(Path(source["directory"]), source["dockerfile"])
        if not (image.directory.exists() and image.python.exists()):
            raise ImageNotFound(f"The image {uri} is not in the cache any more; run `make up` to make it again.")
        return image

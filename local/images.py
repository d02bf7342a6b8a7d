"""Container images without containers: the sources an image copies, and an environment with its requirements.

Both live in the shared cache under names made from their content, so an unchanged image is never made twice. What is
copied, and what the image runs, its Dockerfile says: lines `COPY <source> /opt/program...` and `ENTRYPOINT [...]`.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from threading import Lock

import uv

from local.cloud import Image, ImageNotFound
from local.home import CACHE, PlatformError
from local.outputs import Deployment

PROGRAM = PurePosixPath("/opt/program")  # where our images keep their own code
# Found here, once: it asks sysconfig, which gives half an answer to the second of two threads that ask first.
UV = uv.find_uv_bin()


def build(context: Path, dockerfile: str) -> Image:
    """Make what `docker build --file <dockerfile> <context>` would. Raises PlatformError when packages do not install.

    The Dockerfile's folder is the image's family, and holds its requirements.txt, and base.txt where its base image
    brings libraries.
    """
    image = located(context, dockerfile)
    if not image.directory.exists():
        install_sources(context, dockerfile, image.directory)
    if not image.python.exists():
        install_environment((context / dockerfile).parent, image.python.parent.parent)
    return image


def located(context: Path, dockerfile: str) -> Image:
    """The image of these sources, whether it is built or not."""
    sources = hashlib.sha256()
    for file, target in copied(context, dockerfile):
        sources.update(f"{target}\0{file.stat().st_mode & 0o111}\0".encode())
        sources.update(hashlib.sha256(file.read_bytes()).digest())
    machine = f"{sys.platform} {platform.machine()} {platform.python_version()}"
    environment = hashlib.sha256(machine.encode())
    for file in requirements((context / dockerfile).parent):
        environment.update(b"\0" + file.read_bytes())
    python = CACHE / "environments" / environment.hexdigest()[:20] / "bin" / "python"
    return Image(
        directory=CACHE / "images" / sources.hexdigest()[:20],
        family=Path(dockerfile).parent.name,
        python=python,
        entrypoint=tuple(str(python) if word == "python" else word for word in entrypoint(context / dockerfile)),
    )


def copied(context: Path, dockerfile: str) -> Iterator[tuple[Path, PurePosixPath]]:
    """Yield each file that the image copies, with its path below /opt/program, in a fixed order."""
    for line in re.findall(r"^COPY (.+)$", (context / dockerfile).read_text(), re.MULTILINE):
        *sources, written = line.split()
        place = PurePosixPath(written).relative_to(PROGRAM)
        for source in sources:
            path = context / source
            if path.is_dir():
                files = sorted(file for file in path.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
                yield from ((file, place / file.relative_to(path)) for file in files)
            else:
                yield path, place / path.name if written.endswith("/") else place


def entrypoint(dockerfile: Path) -> list[str]:
    """The command that the Dockerfile says the image runs; nothing where SageMaker starts `train` and `serve`."""
    found = re.findall(r"^ENTRYPOINT (\[.+\])$", dockerfile.read_text(), re.MULTILINE)
    return json.loads(found[-1]) if found else []


def install_sources(context: Path, dockerfile: str, directory: Path) -> None:
    """Copy the image's sources, whole or not at all."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory.parent) as partial:
        program = Path(partial) / "program"
        for file, place in copied(context, dockerfile):
            (program / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, program / place)
        keep(program, directory)


def is_large(family: Path) -> bool:
    """Whether an image's base brings libraries, PyTorch for one: gigabytes that only a job of it should wait for."""
    return (family / "base.txt").exists()


def requirements(family: Path) -> list[Path]:
    """What an image's family needs: what its base image brings, where that is more than Python, then its own lock."""
    return [file for file in (family / "base.txt", family / "requirements.txt") if file.exists()]


def install_environment(family: Path, environment: Path) -> None:
    """Install what a family needs into a new environment, whole or not at all."""
    environment.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=environment.parent) as partial:
        made = Path(partial) / "environment"
        run_uv("venv", "--quiet", "--relocatable", "--python", sys.executable, str(made))
        *base, locked = requirements(family)
        # Byte code once here, instead of at the start of every job.
        install = ("pip", "install", "--quiet", "--compile-bytecode", "--python", str(made / "bin" / "python"))
        for file in base:
            run_uv(*install, "--requirement", str(file))
        run_uv(*install, "--no-deps", "--require-hashes", "--requirement", str(locked))
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
    done = subprocess.run([UV, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise PlatformError(f"The packages of an image could not be installed: {done.stderr.strip()}")


class Images:
    """The images of the deployed assembly, as our SageMaker asks for them."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self._making = defaultdict[str, Lock](Lock)

    def resolve(self, uri: str) -> Image:
        """The image behind a URI, made if it is not in the cache. Raises ImageNotFound with the reason."""
        source = self.deployment.images().get(uri)
        if source is None:
            raise ImageNotFound(f"No image of this platform is called {uri}.")
        with self._making[uri]:  # jobs that start together wait for the one that makes it
            try:
                return build(Path(source["directory"]), source["dockerfile"])
            except PlatformError as error:
                raise ImageNotFound(str(error)) from error

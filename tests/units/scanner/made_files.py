"""Files written by the libraries of their formats, in environments of their own, once per content."""

from __future__ import annotations

import hashlib
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import uv

from local.home import CACHE
from local.images import keep

HERE = Path(__file__).resolve().parent


class NotInstalled(Exception):
    """The libraries could not be installed; the message says why."""


def made_by(script: str, requirements: str, *options: str) -> Path:
    """Return the folder of files that a script writes in the environment of its requirements; raises NotInstalled."""
    machine = f"{sys.platform} {platform.machine()} {platform.python_version()}"
    asked = hashlib.sha256(machine.encode() + (HERE / requirements).read_bytes())
    environment = CACHE / "environments" / asked.hexdigest()[:20]
    asked.update((HERE / script).read_bytes())
    files = CACHE / "made_files" / asked.hexdigest()[:20]
    if not files.exists():
        if not environment.exists():
            install(environment, HERE / requirements, options)
        write(environment / "bin" / "python", HERE / script, files)
    return files


def install(environment: Path, requirements: Path, options: tuple[str, ...]) -> None:
    """Install the libraries, whole or not at all."""
    environment.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=environment.parent) as partial:
        made = Path(partial) / "environment"
        run(uv.find_uv_bin(), "venv", "--quiet", "--relocatable", "--python", sys.executable, str(made))
        python = str(made / "bin" / "python")
        asked = ["--python", python, "--requirements", str(requirements)]
        try:
            run(uv.find_uv_bin(), "pip", "install", "--quiet", *options, *asked)
        except RuntimeError as error:
            raise NotInstalled(str(error)) from error
        keep(made, environment)


def write(python: Path, script: Path, files: Path) -> None:
    """Have the libraries write their files, all or none."""
    files.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=files.parent) as partial:
        made = Path(partial) / "files"
        made.mkdir()
        run(str(python), str(script), str(made))
        keep(made, files)


def run(*command: str) -> None:
    """Run a command; raises RuntimeError with what it says when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr[-2000:]}")

"""Honest model files, written by the frameworks themselves in an environment of their own, once per content."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import uv

from local.home import CACHE
from local.images import keep

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def honest_files() -> Path:
    """The folder of files that honest_files.py writes."""
    machine = f"{sys.platform} {platform.machine()} {platform.python_version()}"
    asked = hashlib.sha256(machine.encode() + (HERE / "frameworks.txt").read_bytes())
    environment = CACHE / "environments" / asked.hexdigest()[:20]
    asked.update((HERE / "honest_files.py").read_bytes())
    files = CACHE / "honest_files" / asked.hexdigest()[:20]
    if not files.exists():
        if not environment.exists():
            install(environment)
        write(environment / "bin" / "python", files)
    return files


def install(environment: Path) -> None:
    """Install the frameworks, with a torch that needs no GPU, whole or not at all."""
    links = os.environ.get("UV_FIND_LINKS") or os.environ.get("PIP_FIND_LINKS")
    torch = ["--find-links", links] if links else ["--torch-backend", "cpu"]
    environment.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=environment.parent) as partial:
        made = Path(partial) / "environment"
        run(uv.find_uv_bin(), "venv", "--quiet", "--relocatable", "--python", sys.executable, str(made))
        python = str(made / "bin" / "python")
        wanted = str(HERE / "frameworks.txt")
        run(uv.find_uv_bin(), "pip", "install", "--quiet", *torch, "--python", python, "--requirements", wanted)
        keep(made, environment)


def write(python: Path, files: Path) -> None:
    """Have the frameworks write their files, all or none."""
    files.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=files.parent) as partial:
        made = Path(partial) / "files"
        made.mkdir()
        run(str(python), str(HERE / "honest_files.py"), str(made))
        keep(made, files)


def run(*command: str) -> None:
    """Run a command; what it says when it fails is the test's error."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"Honest model files could not be made: {' '.join(command)}\n{done.stderr[-2000:]}")

"""Honest model files, written by the frameworks themselves in environments of their own, once per content."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.units.scanner.made_files import NotInstalled, made_by


@pytest.fixture(scope="session")
def honest_files() -> Path:
    """The folder of files that honest_files.py writes."""
    return made_by("honest_files.py", "frameworks.txt")


@pytest.fixture(scope="session")
def torch_files() -> Path:
    """The folder of files that honest_torch_files.py writes.

    Skips, saying why, where no torch without a GPU can be had: the one on PyPI brings gigabytes of CUDA with it.
    """
    links = os.environ.get("UV_FIND_LINKS") or os.environ.get("PIP_FIND_LINKS") or pip_find_links()
    without_gpu = ["--find-links", links] if links else ["--torch-backend", "cpu"]
    try:
        return made_by("honest_torch_files.py", "torch.txt", *without_gpu)
    except NotInstalled as error:
        pytest.skip(f"torch for a CPU could not be installed, so its files were not scanned: {str(error)[-300:]}")


def pip_find_links() -> str:
    """Return where pip is configured to find packages besides its index, or nothing."""
    command = [sys.executable, "-m", "pip", "config", "get", "global.find-links"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

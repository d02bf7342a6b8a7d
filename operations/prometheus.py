"""The Prometheus server's program: the one on the PATH, or Debian's package unpacked into the platform's cache."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from local.home import CACHE
from operations.terminal import OperationError

UNPACKED = CACHE / "prometheus"
HOW = "Install Prometheus (Debian: `apt-get install prometheus`; others: https://prometheus.io/download) onto the PATH."


def binary() -> Path:
    """Return the program; raises OperationError, which says how to install it.

    Where apt knows the package it is fetched and unpacked without being installed: nothing is started, and nobody
    need be root.
    """
    if installed := shutil.which("prometheus"):
        return Path(installed)
    program = UNPACKED / "usr" / "bin" / "prometheus"
    if not program.exists():
        unpack()
    return program


def unpack() -> None:
    """Fetch Debian's package and unpack it into the cache, whole or not at all; raises OperationError."""
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        raise OperationError(f"There is no Prometheus here. {HOW}")
    UNPACKED.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=UNPACKED.parent) as folder:
        call(["apt-get", "download", "prometheus"], folder)
        (package,) = Path(folder).glob("prometheus_*.deb")
        call(["dpkg", "-x", package.name, "unpacked"], folder)
        shutil.rmtree(UNPACKED, ignore_errors=True)
        (Path(folder) / "unpacked").rename(UNPACKED)


def call(command: list[str], folder: str) -> None:
    """Run a command of Debian's; raises OperationError with the last thing it said."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        raise OperationError(f"`{' '.join(command)}` failed: {said} {HOW}")

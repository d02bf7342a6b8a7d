"""The Prometheus server's program: the one on the PATH, or Debian's package unpacked into the platform's cache."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from local.home import CACHE
from operations.terminal import OperationError

UNPACKED = CACHE / "prometheus"
PAGES = UNPACKED / "usr" / "share" / "prometheus" / "web"
# What the pages of Debian's Prometheus load: packages of their own, of which `Depends` names all but d3.
SCRIPTS = [
    "fonts-glyphicons-halflings",
    "libjs-bootstrap4",
    "libjs-d3",
    "libjs-eonasdan-bootstrap-datetimepicker",
    "libjs-jquery",
    "libjs-jquery-hotkeys",
    "libjs-moment",
    "libjs-moment-timezone",
    "libjs-mustache",
    "libjs-popper.js",
    "libjs-rickshaw",
]
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


def page_arguments(program: Path) -> list[str]:
    """Return the arguments by which a program that was unpacked finds its own pages."""
    return [f"--web.local-assets={PAGES}/"] if program.is_relative_to(UNPACKED) else []


def unpack() -> None:
    """Fetch Debian's packages and unpack them into the cache, whole or not at all; raises OperationError."""
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        raise OperationError(f"There is no Prometheus here. {HOW}")
    UNPACKED.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=UNPACKED.parent) as folder:
        # Package lists of our own: the system's may be missing or old, and only root may renew them.
        places = {"Dir::State::lists": Path(folder) / "lists", "Dir::Cache": Path(folder) / "cache"}
        for part in ("lists/partial", "cache/archives/partial"):
            (Path(folder) / part).mkdir(parents=True)
        apt = ["apt-get", *(word for name, place in places.items() for word in ("-o", f"{name}={place}"))]
        call([*apt, "update"], folder)
        call([*apt, "download", "prometheus", *SCRIPTS], folder)
        for package in sorted(Path(folder).glob("*.deb")):
            call(["dpkg", "-x", package.name, "unpacked"], folder)
        shutil.rmtree(UNPACKED, ignore_errors=True)
        (Path(folder) / "unpacked").rename(UNPACKED)


def call(command: list[str], folder: str) -> None:
    """Run a command of Debian's; raises OperationError with the last thing it said."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        raise OperationError(f"`{' '.join(command)}` failed: {said} {HOW}")

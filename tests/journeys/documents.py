"""Documents whose commands are run as a reader would run them: by real curl, zip and requests, in their order."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.api_client import ApiClient
from local.home import REPOSITORY
from tests.platform import Platform

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ADDRESS = "http://127.0.0.1:8700/api"
# Where a machine has no zip: a program of that name that Python's zipfile does the work of.
ZIP = """#!/bin/sh
test "$1" = -r && shift
archive=$1; shift
exec {python} -m zipfile -c "$archive" "$@"
"""


@dataclass
class Said:
    """What one block of a document printed, and where it ran."""

    text: str
    folder: Path
    api: ApiClient

    @property
    def json(self) -> Any:
        """The last line that is JSON: what curl printed of an answer."""
        return json.loads([line for line in self.text.splitlines() if line.startswith("{")][-1])


Check = Callable[[Said], None]


def text_of(document: str) -> str:
    """Return a document in docs/."""
    return (REPOSITORY / "docs" / document).read_text()


def blocks(document: str, *languages: str) -> list[tuple[str, str]]:
    """Return the blocks of a document in these languages, in order: (language, text)."""
    return [found for found in BLOCK.findall(text_of(document)) if found[0] in languages]


def reader_folder(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Put into a folder the files that a document names, and programs of the names that it uses."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    programs = folder / "bin"
    programs.mkdir()
    (programs / "python3").symlink_to(sys.executable)
    if shutil.which("zip") is None:
        (programs / "zip").write_text(ZIP.format(python=sys.executable))
        (programs / "zip").chmod(0o755)
    assert shutil.which("curl"), "the documents' commands need curl: apt-get install curl"
    return folder


def run(language: str, text: str, folder: Path) -> str:
    """Run a block as a reader would, in a shell that knows what earlier blocks exported; return what it printed."""
    kept = folder / "exported"
    environment = os.environ | {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": ""}
    script = folder / f"block.{language}"
    script.write_text(text)
    command = f". ./{script.name}\nexport -p > exported" if language == "bash" else f"{sys.executable} {script.name}"
    known = f". ./{kept.name}\n" if kept.exists() else ""
    done = subprocess.run(
        ["bash", "-e", "-c", known + command], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def follow(document: str, checks: list[Check], platform: Platform, user: ApiClient, folder: Path) -> None:
    """Run every command of a document, with only the API's address changed, and check what each says."""
    commands = blocks(document, "bash", "python")
    assert len(commands) == len(checks)
    assert commands[0][1].count(ADDRESS) == 1
    for (language, text), check in zip(commands, checks, strict=True):
        check(Said(run(language, text.replace(ADDRESS, platform.api_url), folder), folder, user))

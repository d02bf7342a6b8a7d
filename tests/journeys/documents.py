"""Documents whose commands are run as a reader would run them: by real curl, zip and requests, in their order."""

from __future__ import annotations

import json
import os
import re
import shlex
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
EXPORTED = "exported"  # the file of what earlier blocks exported
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

    def export(self, name: str, value: str) -> None:
        """Let the next blocks know a variable, as a reader sets it from what was printed."""
        with (self.folder / EXPORTED).open("a") as known:
            known.write(f"export {name}={shlex.quote(value)}\n")

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
    kept = folder / EXPORTED
    environment = os.environ | {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": ""}
    script = folder / f"block.{language}"
    script.write_text(text)
    command = f". ./{script.name}\nexport -p > {EXPORTED}" if language == "bash" else f"{sys.executable} {script.name}"
    known = f". ./{kept.name}\n" if kept.exists() else ""
    done = subprocess.run(
        ["bash", "-e", "-c", known + command], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def follow(document: str, checks: list[Check], platform: Platform, user: ApiClient, folder: Path) -> None:
    """Run every command of a document, with only the API's address changed, and check what each says."""
    commands = blocks(document, "bash", "python")
    assert commands[0][1].count(ADDRESS) == 1
    run_all([(language, text.replace(ADDRESS, platform.api_url)) for language, text in commands], checks, user, folder)


def go_on(document: str, checks: list[Check], user: ApiClient, folder: Path, **known: str) -> None:
    """Run every command of a document that begins where another ends: the reader is logged in already."""
    reader = Said("", folder, user)
    token = str(user.session.headers["Authorization"]).removeprefix("Bearer ")
    for name, value in {"API": user.api_url, "TOKEN": token, **known}.items():
        reader.export(name, value)
    run_all(blocks(document, "bash"), checks, user, folder)


def run_all(commands: list[tuple[str, str]], checks: list[Check], user: ApiClient, folder: Path) -> None:
    """Run blocks one after the other, and check what each says."""
    assert len(commands) == len(checks)
    for (language, text), check in zip(commands, checks, strict=True):
        check(Said(run(language, text, folder), folder, user))


def requests_in(document: str) -> list[tuple[str, str, Any]]:
    """Return the requests that a document shows as method, path and body: what stands behind a # is a comment."""
    found = []
    for _, text in blocks(document, "http"):
        plain = re.sub(r"\s+#.*$", "", text, flags=re.MULTILINE)
        for method, path, body in re.findall(r"^([A-Z]+) +(\S+)((?:(?!^[A-Z]+ +/).|\n)*)", plain, re.MULTILINE):
            found.append((method, path, json.loads(body) if body.strip() else None))
    return found

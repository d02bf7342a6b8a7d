"""Which tree the background process was started from: what `make up` compares before it deploys to it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from local.home import REPOSITORY, Home

RECORD = "program.json"


def digest() -> str:
    """What the process would be made of now: this tree's place, its local platform, the libraries it asks for."""
    total = hashlib.sha256(str(REPOSITORY).encode())
    for file in files():
        total.update(f"\0{file.relative_to(REPOSITORY)}\0".encode())
        total.update(hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()[:20]


def files() -> Iterator[Path]:
    """The files that the process is made of, in a fixed order."""
    yield REPOSITORY / "requirements.txt"
    found = (file for file in (REPOSITORY / "local").rglob("*") if file.suffix in {".py", ".txt"})
    yield from sorted(file for file in found if "__pycache__" not in file.parts)


def record(home: Home, process: dict[str, Any]) -> None:
    """Note that this process, which was just started, is of this tree."""
    home.write(RECORD, {"digest": digest(), "process": process})


def is_of_this_tree(home: Home, process: dict[str, Any]) -> bool:
    """Whether a running process is what this tree would start; one that left no note is of an older tree."""
    return home.read(RECORD) == {"digest": digest(), "process": process}

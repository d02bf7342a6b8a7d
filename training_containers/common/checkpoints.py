"""Checkpoints that survive being cut short: a folder for each, complete once its marker is there and its hashes fit.

SageMaker copies files to S3 one by one, so a marker may arrive before the file it stands for. Hence the hashes, and
hence the older checkpoint that is kept beside the newest.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training_containers.common.artefacts import list_files, sha256, write_json

KEEP = 2
STATE = "state.json"
MARKER = "complete.json"


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint: its folder, and the state of the run when it was written."""

    folder: Path
    state: dict[str, Any]


def begin(checkpoints: Path, step: int) -> Path:
    """An empty folder for the checkpoint after a step; it counts for nothing before `complete`."""
    folder = checkpoints / f"checkpoint-{step}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def complete(folder: Path, state: dict[str, Any]) -> None:
    """Write the state and the marker, then drop all but the newest two checkpoints."""
    write_json(folder / STATE, state)
    write_json(folder / MARKER, {file["name"]: file["sha256"] for file in list_files(folder)})
    for old in folders(folder.parent)[:-KEEP]:
        shutil.rmtree(old)


def newest(checkpoints: Path) -> Checkpoint | None:
    """The newest complete checkpoint, or None when the run starts from nothing."""
    for folder in reversed(folders(checkpoints)):
        if is_complete(folder):
            return Checkpoint(folder, json.loads((folder / STATE).read_text("utf-8")))
    return None


def folders(checkpoints: Path) -> list[Path]:
    """The folders of checkpoints, complete or not, oldest first; named as transformers names them."""
    return sorted(checkpoints.glob("checkpoint-*"), key=lambda folder: int(folder.name.rpartition("-")[2]))


def is_complete(folder: Path) -> bool:
    """Whether the marker is there and every file it names has the content it had when it was written."""
    try:
        hashes = json.loads((folder / MARKER).read_text("utf-8"))
        return all(sha256(folder / name) == digest for name, digest in hashes.items())
    except (OSError, ValueError):
        return False

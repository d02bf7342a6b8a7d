"""A model that comes as the archive of the job that trained it, unpacked once before any process needs it."""

import shutil
import tarfile
from pathlib import Path, PurePosixPath

from training_containers.common.contract import Paths, TrainingError

NAME = "model.tar.gz"
UNPACKED = "base-model"


def prepare(paths: Paths) -> None:
    """Unpack the archive in channel `model`, if there is one; raises TrainingError for one that is not plain."""
    archive = paths.channel("model") / NAME
    if archive.is_file():
        unpack(archive, paths.base / UNPACKED)


def unpack(archive: Path, folder: Path) -> None:
    """Write an archive's plain files below a folder, one by one; raises TrainingError for a path that leaves it."""
    with tarfile.open(archive) as entries:
        for entry in entries:
            name = PurePosixPath(entry.name)
            if name.is_absolute() or ".." in name.parts:
                raise TrainingError(f"The model's archive would write outside its folder: {entry.name!r}.")
            content = entries.extractfile(entry) if entry.isfile() else None
            if content:
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("wb") as file:
                    shutil.copyfileobj(content, file)

"""Images with captions: what channel `examples` says of them, and the files in the archives of channel `train`."""

import tempfile
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from PIL import Image, ImageOps

from training_containers.common.contract import TrainingError
from training_containers.huggingface import examples
from training_containers.huggingface.run import Run

EXAMPLES = "examples.jsonl"


def load(run: Run) -> Dataset:
    """Return rows of `image`, the path of a file, and `text`, its caption; raises TrainingError where there are none.

    Archives are unpacked beside the channels: reading them in place would be slower in every epoch.
    """
    folder = run.paths.channel("examples")
    if not (folder / EXAMPLES).is_file():
        raise TrainingError(f"There is no {EXAMPLES} in channel 'examples': the dataset has no images that were read.")
    data = examples.read(folder)
    if "file_name" not in data.column_names:
        raise TrainingError(f"{EXAMPLES} must name each image's file in file_name.")
    source = run.paths.channel("train")
    files = [located(source, run.paths.base / "images", row) for row in data.select_columns(places(data))]
    data = data.add_column("image", files)  # pyright: ignore[reportCallIssue]  # its other parameter has a default
    return examples.of_roles(data, {**run.job.column_mapping, "image": "image"}, ("image", "text"))


def places(data: Dataset) -> list[str]:
    """Return the columns that say where an image lies."""
    return [name for name in ("archive", "file_name") if name in data.column_names]


def located(source: Path, unpacked: Path, row: Any) -> str:
    """Return the path of an image's file, taken out of its archive first; raises TrainingError when it is not there."""
    name, archive = row["file_name"], row.get("archive")
    for path in (PurePosixPath(name), PurePosixPath(archive or ".")):
        if path.is_absolute() or ".." in path.parts:
            raise TrainingError(f"{path} is not a path inside the dataset.")
    file = unpacked / archive / name if archive else source / name
    if archive and not file.is_file():
        unpack(source / archive, unpacked / archive)
    if not file.is_file():
        raise TrainingError(f"The dataset has no image {name}{f' in {archive}' if archive else ''}.")
    return str(file)


def unpack(archive: Path, folder: Path) -> None:
    """Write the files of a ZIP below a folder, all or none; `zipfile` itself keeps every path inside."""
    if not archive.is_file() or folder.exists():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as partial:
        with zipfile.ZipFile(archive) as entries:
            entries.extractall(Path(partial) / "files")
        try:
            (Path(partial) / "files").rename(folder)
        except OSError:  # another process of this host was faster
            if not folder.exists():
                raise


def pixels(path: str, resolution: int) -> torch.Tensor:
    """Return the middle square of an image as numbers from -1 to 1, of shape (3, resolution, resolution)."""
    with Image.open(path) as opened:
        upright = ImageOps.exif_transpose(opened).convert("RGB")
    square = ImageOps.fit(upright, (resolution, resolution), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.asarray(square).copy()).permute(2, 0, 1).float() / 127.5 - 1.0

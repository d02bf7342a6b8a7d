"""Examples of images: where each lies and what is known of it; the image itself is read when its turn comes."""

import json
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from zipfile import BadZipFile, ZipFile

from datasets import Dataset, Features, List, Value
from PIL import Image

from training_containers.common.contract import TrainingError
from training_containers.huggingface.examples import SPLIT, TEST_SPLITS
from training_containers.huggingface.image_decoding import decoded
from training_containers.huggingface.run import Run

SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".gif", ".bmp", ".tif", ".tiff")
SPLITS = ("train", "training", "testing", *TEST_SPLITS)
PLACE = {"archive": Value("string"), "file_name": Value("string")}
FEATURES: dict[str, Any] = {
    "label": Value("string"),
    "text": Value("string"),
    "objects": {"bbox": List(List(Value("float64"))), "category": List(Value("string"))},
}

Line = dict[str, Any]
"""An example as it is listed: file_name, archive where it lies in a ZIP, and what is known of the image by column."""


class ImageFiles:
    """Reads the images of a channel, out of its ZIPs too, also in the processes that load examples side by side."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process = os.getpid()
        self._archives: dict[str, ZipFile] = {}

    def image(self, place: Line) -> Image.Image:
        """Return an image by its `archive` and `file_name`; raises TrainingError if it is not there or is none."""
        name = place["file_name"]
        try:
            if place["archive"]:
                return decoded(self._archive(place["archive"]).read(name))
            return decoded((self.folder / name).read_bytes())
        except (KeyError, FileNotFoundError) as error:
            raise TrainingError(f"The image {name!r} is listed, and is not among the dataset's files.") from error
        except (ValueError, BadZipFile) as error:
            raise TrainingError(f"The image {name!r} {error}.") from error

    def _archive(self, name: str) -> ZipFile:
        if self._process != os.getpid():  # a fork: the files that are open are read by the parent too
            self._process, self._archives = os.getpid(), {}
        if name not in self._archives:
            self._archives[name] = ZipFile(self.folder / name, metadata_encoding="utf-8")
        return self._archives[name]

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder, "_process": 0, "_archives": {}}


def load(run: Run, role: str) -> Dataset:
    """Return the examples with their place as `image`, what they show as `label`, `text` or `objects`, and the split.

    They are those of channel `examples`; without it, the images of channel `train` with their folder as the label.
    Those that lack a value are left out. Raises TrainingError when none has one.
    """
    column = run.job.column_mapping.get(role, role)
    folder = run.paths.channel("examples")
    lines = listed(folder) if folder.is_dir() else in_folders(run.paths.channel("train"))
    columns: dict[str, list[Any]] = {"image": [], role: [], SPLIT: []}
    known: dict[str, None] = {}
    for line in lines:
        known |= dict.fromkeys(line)
        value = line.get(column)
        if value not in (None, ""):
            columns["image"].append({key: line.get(key) for key in PLACE})
            columns[role].append(str(value) if FEATURES[role] == Value("string") else value)
            columns[SPLIT].append(line.get(SPLIT))
    if column not in known:
        raise TrainingError(f"There is no column '{column}' for {role}; columns are: {', '.join(known) or 'none'}.")
    if not columns["image"]:
        raise TrainingError(f"No image has a value for {role}.")
    features = {"image": PLACE, role: FEATURES[role], SPLIT: Value("string")}
    if not any(columns[SPLIT]):
        del columns[SPLIT], features[SPLIT]
    return Dataset.from_dict(columns, Features(features))


def listed(folder: Path) -> Iterator[Line]:
    """Yield the lines of channel `examples`."""
    for file in sorted(folder.rglob("*.jsonl")):
        with file.open(encoding="utf-8") as lines:
            yield from map(json.loads, lines)


def in_folders(folder: Path) -> Iterator[Line]:
    """Yield the images of class folders, as they are or in ZIPs: `cats/1.png`, or `train/cats/1.png` for splits."""
    names = [(None, file.relative_to(folder).as_posix()) for file in sorted(folder.rglob("*")) if file.is_file()]
    for archive in [name for _, name in names if name.lower().endswith(".zip")]:
        with ZipFile(folder / archive, metadata_encoding="utf-8") as members:
            names += [(archive, name) for name in members.namelist()]
    places = [(archive, PurePosixPath(name)) for archive, name in names if is_image(name)]
    in_splits = all(path.parts[0].lower() in SPLITS for _, path in places)
    for archive, path in places:
        label = path.parent.name if len(path.parts) > 1 + in_splits else None
        split = {SPLIT: path.parts[0]} if in_splits else {}
        yield {"archive": archive, "file_name": str(path), "label": label} | split


def is_image(name: str) -> bool:
    """Return whether a path is an image's, and none that systems add."""
    hidden = any(part.startswith((".", "__MACOSX")) for part in name.split("/"))
    return name.lower().endswith(SUFFIXES) and not hidden

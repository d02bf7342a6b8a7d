"""How images lie in ZIPs: what annotates them, and what their folders say."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from lambdas.processing.examples import LABEL, SPLIT, Columns
from lambdas.processing.image_file import SUFFIXES
from lambdas.processing.report import InvalidFile
from lambdas.processing.source import InputFile
from lambdas.processing.zip_archive import Archive, Member

METADATA = ("metadata.csv", "metadata.jsonl")
SPLITS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}


@dataclass
class Contents:
    """What lies in one ZIP; `folders` are those that images lie in, "" for the top."""

    file: InputFile
    images: int = 0
    captions: int = 0  # images with a text file of the same name
    others: int = 0
    metadata: list[Member] = field(default_factory=list)
    json: list[Member] = field(default_factory=list)
    folders: set[str] = field(default_factory=set)


def contents_of(file: InputFile) -> Contents:
    """Return what lies in a ZIP, by its directory. Raises InvalidFile for a ZIP that is not honest."""
    found, texts = Contents(file), set[str]()
    with Archive(file) as archive:
        images = [member.name for member in archive.members if is_image(member.name)]
        for member in archive.members:
            path = PurePosixPath(member.name)
            if path.name.lower() in METADATA:
                found.metadata.append(member)
            elif path.suffix.lower() == ".json":
                found.json.append(member)
            elif path.suffix.lower() == ".txt":
                texts.add(stem(member.name))
            elif not is_image(member.name):
                found.others += 1
    found.images = len(images)
    found.captions = sum(stem(name) in texts for name in images)
    found.folders = set(map(folder_of, images))
    return found


@contextmanager
def naming(zip: InputFile, member: Member) -> Iterator[None]:
    """Put the name of a file in a ZIP before what is wrong with it."""
    try:
        yield
    except InvalidFile as error:
        raise InvalidFile(f"{member.name} in {zip.name}: {error}") from error


def is_image(name: str) -> bool:
    """Return whether a file is named as an image."""
    return name.lower().endswith(SUFFIXES)


def stem(name: str) -> str:
    """Return a path without its suffix."""
    return name.rpartition(".")[0]


def folder_of(name: str) -> str:
    """Return the folder of a path, "" for the top."""
    return name.rpartition("/")[0]


class Folders:
    """Labels and splits as folders name them: `train/cats/1.png`, `cats/1.png`.

    Folders are splits where all on one level are called so: among other classes, a folder `train` may hold trains.
    The folder of an image is its label, once there are several or they lie in splits.
    """

    def __init__(self, contents: Sequence[Contents]) -> None:
        paths = {folder for one in contents for folder in one.folders}
        self._split_level = split_level(paths)
        labels = {label for path in paths if (label := self._label(parts_of(path))) is not None}
        self.has_labels = len(labels) > 1 or bool(labels and self._split_level is not None)

    def columns(self, name: str) -> Columns:
        """Return what the folders of an image say of it."""
        parts = parts_of(folder_of(name))
        columns: Columns = {LABEL: self._label(parts)} if self.has_labels else {}
        return columns | self.split(name)

    def split(self, name: str) -> Columns:
        """Return the split that an image lies in, where there are any."""
        parts = parts_of(folder_of(name))
        return {} if self._split_level is None else {SPLIT: SPLITS[parts[self._split_level].lower()]}

    def _label(self, parts: list[str]) -> str | None:
        return parts[-1] if parts and len(parts) - 1 != self._split_level else None


def split_level(paths: set[str]) -> int | None:
    """Return how deep the folders lie that are splits, from 0; None if there are none."""
    levels: list[set[str]] = []
    for path in paths:
        for depth, part in enumerate(parts_of(path)):
            if depth == len(levels):
                levels.append(set())
            levels[depth].add(part.lower())
    shallowest = min((len(parts_of(path)) for path in paths), default=0)
    return next((depth for depth, names in enumerate(levels[:shallowest]) if names <= SPLITS.keys()), None)


def parts_of(folder: str) -> list[str]:
    """Return the names that a folder's path is made of."""
    return folder.split("/") if folder else []

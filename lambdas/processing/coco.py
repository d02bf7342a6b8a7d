"""Annotations of objects in COCO's JSON, read piece by piece: what stays is a few numbers for each box."""

import re
from array import array
from collections.abc import Iterator, Sequence
from typing import Any, TypeGuard

import numpy as np

from lambdas.processing.boxes import OBJECTS, is_box
from lambdas.processing.examples import FILE_NAME, SPLIT, Columns
from lambdas.processing.image_layout import SPLITS, Contents, folder_of, naming
from lambdas.processing.image_rows import Rows, joined
from lambdas.processing.json_document import Document
from lambdas.processing.report import Defects, InvalidFile, Layout
from lambdas.processing.source import InputFile
from lambdas.processing.zip_archive import Archive, Member

MAX_BOXES = 2_000_000  # 48 bytes of memory each
LISTS = [re.compile(rb'"%s"\s*:\s*\[' % name) for name in (b"images", b"annotations", b"categories")]
LONGEST_KEY = 64  # bytes of a key, of what is around it, and of the space that is looked at between them
SPLIT_NAME = re.compile(rf"(?<![a-z])({'|'.join(sorted(SPLITS, key=len, reverse=True))})(?![a-z])")
NOT_LISTED = -1


class Coco:
    """Boxes of images, from one or several COCO files.

    A file beside images or above them speaks of those; one in a folder of its own, or in a ZIP without images, of all.
    """

    layout: Layout = "coco"
    untyped = False

    def __init__(self, files: Sequence[tuple[Contents, Member]], rows: Rows) -> None:
        self._files = files
        self._rows = rows
        self._scopes = sorted({scope for pair in files if (scope := scope_of(*pair))}, key=lambda scope: -len(scope[1]))
        self._names: list[str] = []  # of categories
        self._boxes = array("d")
        self._found: list[tuple[np.ndarray, np.ndarray]] = []  # the rows and the categories of boxes, file by file

    def load(self, defects: Defects) -> None:
        """Read the annotations. Raises InvalidFile for what cannot be read."""
        for contents, member in self._files:
            with Archive(contents.file) as archive, naming(contents.file, member):
                self._load(archive.file(member), scope_of(contents, member), defects)
        rows, self._category = (np.concatenate(parts) for parts in zip(*self._found, strict=True))
        self._found.clear()
        self._order = np.argsort(rows, kind="stable")
        self._first = np.searchsorted(rows[self._order], np.arange(len(self._rows) + 1))

    def _load(self, file: InputFile, scope: tuple[str, str] | None, defects: Defects) -> None:
        images = array("q"), array("q")  # their ids and their rows
        boxes = array("q"), array("q")  # their images' ids and their categories'
        categories: dict[int, int] = {}  # id -> place in the list of names
        before = len(self._rows)
        document = Document(file)
        for key in document.members():
            if key == "images":
                for item in document.items():
                    self._add_image(item, file.name, scope, before, images, defects)
            elif key == "annotations":
                for item in document.items():
                    self._add_box(item, file.name, boxes, defects)
            elif key == "categories":
                for item in document.items():
                    self._add_category(item, categories)
            else:
                document.skip()
        rows = looked_up(boxes[0], *images)
        if lost := int(np.count_nonzero(rows == NOT_LISTED)):
            message = (
                f"Annotations in {file.name} are of images that it does not list: list the images, or leave out both."
            )
            defects.add("invalid_metadata", message, file.name, count=lost)
        self._found.append((rows, looked_up(boxes[1], array("q", categories), array("q", categories.values()))))

    def _add_image(
        self,
        item: Any,
        file_name: str,
        scope: tuple[str, str] | None,
        before: int,
        images: tuple["array[int]", "array[int]"],
        defects: Defects,
    ) -> None:
        name, id = (item.get(FILE_NAME), item.get("id")) if isinstance(item, dict) else (None, None)
        if not isinstance(name, str) or not name or not is_id(id):
            message = f"Images listed in {file_name} have no file_name, or no id that is a whole number: give both."
            defects.add("invalid_metadata", message, file_name)
            return
        path = f"{scope[0]}/{joined(scope[1], name)}" if scope else f"/{joined('', name)}"
        row = self._rows.number(path)
        if row is not None and row < before:
            raise InvalidFile(f"The image {name!r} is listed in another annotation file too: keep one of the two.")
        if row is None:
            row = self._rows.add(path, {FILE_NAME: name, SPLIT: split_of(file_name)})
        images[0].append(id)
        images[1].append(row)

    def _add_box(self, item: Any, file_name: str, boxes: tuple["array[int]", "array[int]"], defects: Defects) -> None:
        item = item if isinstance(item, dict) else {}
        image, category, box = item.get("image_id"), item.get("category_id"), item.get("bbox")
        if not is_id(image) or not is_id(category) or not is_box(box):
            message = (
                f"Annotations in {file_name} have no image_id and category_id that are whole numbers, or no bbox of "
                "four numbers: give all three."
            )
            defects.add("invalid_metadata", message, f"{file_name}, annotation {item.get('id')!r:.40}")
            return
        if len(boxes[0]) + sum(len(rows) for rows, _ in self._found) == MAX_BOXES:
            raise InvalidFile(f"There are more than {MAX_BOXES:,} boxes: make several data sets of them.")
        boxes[0].append(image)
        boxes[1].append(category)
        self._boxes.extend(box)

    def _add_category(self, item: Any, categories: dict[int, int]) -> None:
        name, id = (item.get("name"), item.get("id")) if isinstance(item, dict) else (None, None)
        if not isinstance(name, str) or not name.strip() or not is_id(id):
            raise InvalidFile("A category has no name, or no id that is a whole number: give both.")
        if id in categories:
            raise InvalidFile(f"Two categories have the id {id}: give every category its own.")
        if name not in self._names:
            self._names.append(name)
        categories[id] = self._names.index(name)

    def take(self, zip: str, name: str, defects: Defects) -> list[Columns]:
        """Return the objects of an image, and its split; nothing for one that is not listed."""
        for path in self._paths(zip, name):
            if found := self._rows.take(path):
                number, row = found[0]
                split = {SPLIT: row[SPLIT]} if row[SPLIT] else {}
                return [split | {OBJECTS: self._objects(number)}]
        return []

    def _paths(self, zip: str, name: str) -> Iterator[str]:
        """Yield the paths by which an image may be listed: annotations often leave out folders."""
        for scope, folder in self._scopes:
            if scope == zip and (not folder or name.startswith(f"{folder}/")):
                for end in endings(name.removeprefix(f"{folder}/") if folder else name):
                    yield f"{zip}/{joined(folder, end)}"
        for end in endings(name):
            yield f"/{end}"

    def _objects(self, row: int) -> dict[str, list[Any]]:
        chosen = self._order[self._first[row] : self._first[row + 1]].tolist()
        categories = [int(self._category[box]) for box in chosen]
        return {
            "bbox": [self._boxes[4 * box : 4 * box + 4].tolist() for box in chosen],
            "category": [None if one == NOT_LISTED else self._names[one] for one in categories],
        }

    def missing(self) -> Iterator[str]:
        """Yield the images that are listed and were not asked for."""
        return (row[FILE_NAME] for row in self._rows.left())


def is_coco(archive: Archive, member: Member) -> bool:
    """Return whether a JSON file has the lists that COCO's have."""
    left, before = list(LISTS), b""
    for chunk in archive.chunks(member):
        text = before + chunk
        left = [pattern for pattern in left if not pattern.search(text)]
        before = text[-LONGEST_KEY:]
    return not left


def scope_of(contents: Contents, member: Member) -> tuple[str, str] | None:
    """Return the ZIP and the folder whose images a COCO file speaks of; None if it may be any."""
    folder = folder_of(member.name)
    beside = any(not folder or f"{one}/".startswith(f"{folder}/") for one in contents.folders)
    return (contents.file.name, folder) if beside else None


def split_of(file_name: str) -> str | None:
    """Return the split that a file is called after, as `instances_train2017.json`."""
    found = SPLIT_NAME.findall(file_name.lower())
    return SPLITS[found[-1]] if found else None


def endings(path: str) -> Iterator[str]:
    """Yield a path, and what is left of it without its first folders."""
    yield path
    while "/" in path:
        path = path.partition("/")[2]
        yield path


def is_id(value: Any) -> TypeGuard[int]:
    """Return whether a value is a whole number that fits into 64 bits."""
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63


def looked_up(wanted: "array[int]", ids: "array[int]", values: "array[int]") -> np.ndarray:
    """Return the value of each wanted id, the first one's where several have it, and NOT_LISTED where none has."""
    if not ids:
        return np.full(len(wanted), NOT_LISTED, np.int32)
    keys, found = np.frombuffer(ids, np.int64), np.frombuffer(values, np.int64).astype(np.int32)
    order = np.argsort(keys, kind="stable")
    keys, found = keys[order], found[order]
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    is_listed = keys[places] == np.frombuffer(wanted, np.int64)
    return np.where(is_listed, found[places], np.int32(NOT_LISTED))

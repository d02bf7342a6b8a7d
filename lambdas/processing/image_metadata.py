"""Images with a metadata.csv or metadata.jsonl beside them, whose column `file_name` says which image a row is of."""

import csv
from collections.abc import Iterator, Sequence
from typing import Any

from lambdas.processing.boxes import OBJECTS, Objects, is_box
from lambdas.processing.columns import MISSING
from lambdas.processing.examples import FILE_NAME, LABEL, Columns
from lambdas.processing.image_layout import Contents, Folders, folder_of, naming
from lambdas.processing.image_rows import Row, Rows, joined
from lambdas.processing.json_files import objects_in_lines
from lambdas.processing.json_rows import to_json
from lambdas.processing.json_text import Unreadable, parse
from lambdas.processing.report import Defects, InvalidFile, Layout
from lambdas.processing.source import InputFile
from lambdas.processing.text_lines import characters, lines_of
from lambdas.processing.zip_archive import Archive

MAX_METADATA = 256 * 1024 * 1024  # bytes, of all files
MAX_COLUMNS = 1000
MAX_CELL = 128 * 1024  # characters of a cell of metadata.csv
BOTH = ("category", "categories")


class Metadata:
    """What metadata files say of images. A file speaks of the images of its own ZIP, or of a ZIP that has none."""

    layout: Layout = "metadata"

    def __init__(self, contents: Sequence[Contents], folders: Folders, rows: Rows) -> None:
        refuse_unusable(contents)
        self._contents, self._folders = contents, folders
        self._rows = rows
        self._scopes = [one.file.name for one in contents if one.metadata]
        self.untyped = all(is_csv(member.name) for one in contents for member in one.metadata) and self._is_plain()

    def load(self, defects: Defects) -> None:
        """Read the metadata files. Raises InvalidFile for what cannot be read."""
        for one in self._contents:
            with Archive(one.file) as archive:
                for member in one.metadata:
                    with naming(one.file, member):
                        self._load(one.file, member.name, archive.file(member), defects)

    def _load(self, zip: InputFile, name: str, file: InputFile, defects: Defects) -> None:
        read = csv_rows if is_csv(name) else json_rows
        for line, row in read(file):
            place = f"{name}, line {line}"
            file_name = row.get(FILE_NAME) if row else None
            if row is None or not isinstance(file_name, str) or not file_name.strip():
                message = f"Rows of metadata have no file_name or too many cells, the first one is {place}: mend them."
                defects.add("invalid_metadata", message, place)
                continue
            path = joined(folder_of(name), file_name.strip())
            self._rows.add(f"{zip.name}/{path}", row | {FILE_NAME: path})

    def _is_plain(self) -> bool:
        """Return whether CSV files have no objects: then the types of their columns are found out."""
        for one in self._contents:
            with Archive(one.file) as archive:
                for member in one.metadata:
                    with naming(one.file, member):
                        if OBJECTS in next(rows_of_csv(archive.file(member)), (0, []))[1]:
                            return False
        return True

    def take(self, zip: str, name: str, defects: Defects) -> list[Columns]:
        """Return what is known of an image, a row each; nothing for one that is not listed."""
        for scope in [zip] if zip in self._scopes else self._scopes:
            if found := self._rows.take(f"{scope}/{name}"):
                return [self._columns(name, row, defects) for _, row in found]
        return []

    def _columns(self, name: str, row: Row, defects: Defects) -> Columns:
        columns = self._folders.split(name) | {column: value for column, value in row.items() if column != FILE_NAME}
        if columns.get(LABEL) is not None:
            columns[LABEL] = columns[LABEL] if isinstance(columns[LABEL], str) else to_json(columns[LABEL])
        if columns.get(OBJECTS) is not None:
            columns[OBJECTS] = objects_of(columns[OBJECTS])
            if columns[OBJECTS] is None:
                message = (
                    f"Objects cannot be read, the first ones in {name}: write "
                    '{"bbox": [[x, y, width, height], ...], "category": ["name", ...]}, both of the same length.'
                )
                defects.add("invalid_metadata", message, name, (OBJECTS,))
        return columns

    def missing(self) -> Iterator[str]:
        """Yield the images that are listed and were not asked for."""
        return (row[FILE_NAME] for row in self._rows.left())


def refuse_unusable(contents: Sequence[Contents]) -> None:
    """Raise InvalidFile for too much metadata, and for a folder with both kinds."""
    size = sum(member.size for one in contents for member in one.metadata)
    if size > MAX_METADATA:
        raise InvalidFile(
            f"The metadata files have {size:,} bytes; {MAX_METADATA:,} are possible: leave out columns, or make "
            "several data sets of them."
        )
    for one in contents:
        folders = [folder_of(member.name) for member in one.metadata]
        if twice := [folder for folder in folders if folders.count(folder) > 1]:
            where = f"the folder {twice[0]!r} of {one.file.name}" if twice[0] else one.file.name
            raise InvalidFile(f"There are metadata.csv and metadata.jsonl in {where}: keep one of them.")


def is_csv(name: str) -> bool:
    """Return whether a metadata file is CSV."""
    return name.lower().endswith(".csv")


def json_rows(file: InputFile) -> Iterator[tuple[int, Row]]:
    """Yield (line, row) of a metadata.jsonl."""
    for line, _, row in objects_in_lines(characters(file, "utf-8-sig")):
        yield line, row


def csv_rows(file: InputFile) -> Iterator[tuple[int, Row | None]]:
    """Yield (line, row) of a metadata.csv; a row with too many or too few cells is None, a missing value too."""
    rows = rows_of_csv(file)
    _, names = next(rows, (1, []))
    if FILE_NAME not in names or len(set(names)) < len(names) or len(names) > MAX_COLUMNS:
        raise InvalidFile(
            f"The first line must name at most {MAX_COLUMNS:,} columns, each once, separated by commas, one of them "
            f"{FILE_NAME}."
        )
    for line, cells in rows:
        if not cells:
            continue
        values = [None if cell.strip() in MISSING else cell for cell in cells]
        yield line, dict(zip(names, values, strict=True)) if len(cells) == len(names) else None


def rows_of_csv(file: InputFile) -> Iterator[tuple[int, list[str]]]:
    """Yield (last line, cells) of a CSV."""
    csv.field_size_limit(MAX_CELL)  # of this process: csv has no other place for it
    reader = csv.reader((line + "\n" for _, line in lines_of(characters(file, "utf-8-sig"))), strict=True)
    try:
        for cells in reader:
            yield reader.line_num, cells
    except csv.Error as error:
        raise InvalidFile(f"Line {reader.line_num} cannot be read ({error}): check its quotes.") from error


def objects_of(value: Any) -> Objects | None:
    """Return objects as metadata writes them, numbers of categories as text; None for what is none."""
    if isinstance(value, str):
        text = value.strip()
        try:
            value, end = parse(text)
        except Unreadable:
            return None
        if end < len(text):
            return None
    if isinstance(value, list):  # of objects, each with its box and category
        if not all(isinstance(one, dict) for one in value):
            return None
        boxes, categories = [one.get("bbox") for one in value], [one.get("category") for one in value]
    elif isinstance(value, dict):
        boxes = value.get("bbox")
        categories = next((value[name] for name in BOTH if name in value), None)
    else:
        return None
    if not isinstance(boxes, list) or not isinstance(categories, list) or len(boxes) != len(categories):
        return None
    if not all(map(is_box, boxes)) or not all(isinstance(one, str | int | None) for one in categories):
        return None
    return {"bbox": boxes, "category": [None if one is None else str(one) for one in categories]}

"""What calamine does not tell of a .xlsx sheet: cells whose formula failed, or was never calculated."""

import posixpath
import re
import xml.etree.ElementTree as ElementTree
import zipfile
from collections.abc import Iterator
from pathlib import Path

from lambdas.processing.report import InvalidFile

CHUNK = 1024 * 1024
LARGEST_INDEX = 4 * 1024 * 1024  # bytes of the files that say which sheet is which
PLACE = re.compile(rb'\br="([A-Z]{1,3}[0-9]{1,7})"')
ATTRIBUTES = rb"<c\s([^<>]{0,300})>"
FORMULA = rb"(?:<f\b[^<>]{0,300}(?:/>|>[^<>]{0,8192}</f>))"
FAILED = re.compile(ATTRIBUTES + FORMULA + rb"?<v>(#[^<>]{1,20})</v>")
NOT_CALCULATED = re.compile(ATTRIBUTES + FORMULA + rb"(?:<v\s*/>|<v></v>)?</c>")


def check_results(workbook: Path, sheet: str) -> None:
    """Refuse a sheet with a cell that holds an error or a formula without its result; #N/A counts as missing."""
    with zipfile.ZipFile(workbook) as archive:
        part = part_of(archive, sheet)
        if part is None:
            return
        for text in cells(archive, part):
            for found in FAILED.finditer(text) if b't="e"' in text else ():
                if b't="e"' in found[1] and found[2] != b"#N/A":
                    raise InvalidFile(
                        f"cell {place(found)} holds the error {found[2].decode('ascii', 'replace')}: correct it, "
                        "or empty the cell."
                    )
            if b"<f" in text and (found := NOT_CALCULATED.search(text)):
                raise InvalidFile(
                    f"cell {place(found)} holds a formula without its result: open the workbook in Excel and save it."
                )


def place(found: re.Match[bytes]) -> str:
    """Return the name of the cell that was found."""
    named = PLACE.search(found[1])
    return named[1].decode() if named else "without a name"


def part_of(archive: zipfile.ZipFile, sheet: str) -> str | None:
    """Return the file of the archive that holds a sheet, None when the workbook does not say so plainly."""
    places = {
        element.get("Id"): element.get("Target", "") for element in index(archive, "xl/_rels/workbook.xml.rels").iter()
    }
    for element in index(archive, "xl/workbook.xml").iter():
        if element.tag.rpartition("}")[2] == "sheet" and element.get("name") == sheet:
            relation = next((value for key, value in element.items() if key.rpartition("}")[2] == "id"), None)
            part = posixpath.normpath(posixpath.join("/xl", places.get(relation, ""))).lstrip("/")
            return part if part in archive.namelist() else None
    return None


def index(archive: zipfile.ZipFile, name: str) -> ElementTree.Element:
    """Return a small file of the archive."""
    try:
        with archive.open(name) as stream:
            text = stream.read(LARGEST_INDEX + 1)
        if len(text) > LARGEST_INDEX:
            raise InvalidFile(f"its {name} is larger than {LARGEST_INDEX >> 20} MB. Save it again in Excel.")
        return ElementTree.fromstring(text)
    except (KeyError, ElementTree.ParseError) as error:
        raise InvalidFile(f"its {name} cannot be read ({error}). Save it again in Excel.") from error


def cells(archive: zipfile.ZipFile, part: str) -> Iterator[bytes]:
    """Yield the text of a sheet in pieces that end between cells."""
    rest = b""
    with archive.open(part) as stream:
        while chunk := stream.read(CHUNK):
            text = rest + chunk
            end = text.rfind(b"</c>") + 4
            rest = text[end:] if end > 3 else text
            yield text[:end] if end > 3 else b""
            if len(rest) > CHUNK:
                rest = b""
    yield rest

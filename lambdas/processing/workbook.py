"""The process that reads one workbook: `python -m lambdas.processing.workbook book.xlsx table.csv` answers in JSON.

Its memory and time are bounded. The answer is {"sheet", "left_out", "header", "notes"} or {"refused"}.
"""

import csv
import datetime
import json
import mmap
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import python_calamine
from python_calamine import CalamineSheet, CalamineWorkbook, SheetTypeEnum, SheetVisibleEnum

from lambdas.processing.limits import bounded_memory
from lambdas.processing.report import InvalidFile
from lambdas.processing.sheet_xml import check_results

MOST_MEMORY = 352 * 1024 * 1024  # bytes
MOST_CELLS = 4_000_000  # from the first to the last row and column that hold something
MOST_COLUMNS = 1000
MOST_SECONDS = 300  # of the processor
Cell = int | float | str | bool | datetime.time | datetime.date | datetime.datetime | datetime.timedelta


def main(workbook: Path, table: Path) -> dict[str, Any]:
    """Convert a workbook and return the answer."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (MOST_SECONDS, MOST_SECONDS))
    with bounded_memory(MOST_MEMORY):
        try:
            return convert(workbook, table)
        except InvalidFile as error:
            return {"refused": str(error)}
        except python_calamine.CalamineError as error:
            if isinstance(error, python_calamine.PasswordError) or is_encrypted(workbook):
                return {"refused": "it is protected by a password. Save it without."}
            return {"refused": f"it cannot be read as a workbook ({str(error)[:200]}). Save it again, or as CSV."}


def is_encrypted(workbook: Path) -> bool:
    """Tell whether a file is what Excel makes of a .xlsx with a password: an old container with one stream for it."""
    with workbook.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return data.find("EncryptedPackage".encode("utf-16-le")) >= 0


def convert(workbook: Path, table: Path) -> dict[str, Any]:
    """Write the first visible sheet that has cells as CSV: UTF-8, commas, RFC 4180."""
    with python_calamine.load_workbook(workbook) as book:
        name, sheet = first_sheet(book)
        names = book.sheet_names
    check_size(name, sheet)
    if workbook.suffix == ".xlsx":
        check_results(workbook, name)
    header, columns, header_row = header_of(sheet)
    with table.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(header)
        for number, row in enumerate(sheet.iter_rows()):
            cells = [text_of(row[column]) for column in columns]
            if number > header_row and any(cells):  # a row without anything is no example
                writer.writerow(cells)
    left_out = [other for other in names if other != name]
    return {"sheet": name, "left_out": left_out, "header": header, "notes": notes_of(sheet, header_row)}


def first_sheet(book: CalamineWorkbook) -> tuple[str, CalamineSheet]:
    """Return the first sheet that has cells and that people see."""
    for about in book.sheets_metadata:
        if about.typ == SheetTypeEnum.WorkSheet and about.visible == SheetVisibleEnum.Visible:
            sheet = book.get_sheet_by_name(about.name)
            if sheet.start is not None:
                return about.name, sheet
    raise InvalidFile("no visible sheet has cells.")


def check_size(name: str, sheet: CalamineSheet) -> None:
    """Refuse a sheet that is too wide or too large for a table."""
    start, end = sheet.start or (0, 0), sheet.end or (0, 0)
    if sheet.width > MOST_COLUMNS:
        raise InvalidFile(
            f"the sheet {name!r} goes from column {letters(start[1])} to {letters(end[1])}, {sheet.width:,} columns; "
            f"at most {MOST_COLUMNS:,} can be used. Delete what lies far from the table."
        )
    if sheet.width * sheet.height > MOST_CELLS:
        raise InvalidFile(
            f"the sheet {name!r} goes from cell {cell(*start)} to {cell(*end)}, {sheet.width * sheet.height:,} cells; "
            f"at most {MOST_CELLS:,} can be used. Delete what lies far from the table, or save it as CSV."
        )


def header_of(sheet: CalamineSheet) -> tuple[list[str], list[int], int]:
    """Return the names of the columns, their places and the row of the names: the first one that has cells."""
    row, left = sheet.start or (0, 0)
    for (top, first), (bottom, last) in sheet.merged_cell_ranges or []:
        if top <= row <= bottom and first >= left:
            raise InvalidFile(
                f"cells {cell(top, first)}:{cell(bottom, last)} are merged. Row {row + 1} must name each column "
                "in a cell of its own."
            )
    rows = sheet.iter_rows()
    names = [text_of(value).strip() for value in next(values for at, values in enumerate(rows) if at == row)]
    used = first_values(rows, row + 1, len(names))
    seen: dict[str, int] = {}
    for column, name in enumerate(names):
        if not name and used[column] is not None:
            raise InvalidFile(
                f"cell {cell(row, left + column)} is empty and {cell(used[column] or 0, left + column)} is not: "
                f"row {row + 1} must name every column."
            )
        if name and name in seen:
            raise InvalidFile(
                f"cells {cell(row, left + seen[name])} and {cell(row, left + column)} both say {name[:100]!r}: "
                "give each column its own name."
            )
        seen[name] = column
    columns = [column for column, name in enumerate(names) if name]
    return [names[column] for column in columns], columns, row


def first_values(rows: Iterator[list[Cell]], number: int, width: int) -> list[int | None]:
    """Return for each column the first row that has a value in it; `rows` go on at row `number`."""
    found: list[int | None] = [None] * width
    left = set(range(width))
    for at, row in enumerate(rows, number):
        for column in [column for column in left if row[column] != ""]:
            found[column] = at
            left.discard(column)
        if not left:
            break
    if len(left) == width:
        raise InvalidFile(f"there are no rows below row {number}, which names the columns.")
    return found


def notes_of(sheet: CalamineSheet, header_row: int) -> list[str]:
    """Return what a person may want to know of the cells."""
    merged = [area for area in sheet.merged_cell_ranges or [] if area[0][0] > header_row]
    if not merged:
        return []
    (top, first), (bottom, last) = merged[0]
    return [
        f"{len(merged):,} merged areas, such as {cell(top, first)}:{cell(bottom, last)}, have a value only in their "
        "first cell; the others count as missing."
    ]


def text_of(value: Cell) -> str:
    """Return a cell as it stands in the CSV: dates as ISO 8601, durations in seconds, whole numbers without `.0`."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case float():
            return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
        case datetime.timedelta():
            return text_of(value.total_seconds())
        case datetime.date() | datetime.time():
            return value.isoformat()
        case _:
            return str(value)


def cell(row: int, column: int) -> str:
    """Return what Excel calls a cell, counted from 0: `C7` for (6, 2)."""
    return f"{letters(column)}{row + 1}"


def letters(column: int) -> str:
    """Return what Excel calls a column, counted from 0."""
    text = ""
    while column >= 0:
        text, column = chr(65 + column % 26) + text, column // 26 - 1
    return text


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), Path(sys.argv[2]))))

"""Workbooks against pandas, and cells that are refused.  `pytest tests/units/processing/test_excel.py`"""

import csv
import datetime
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import pytest

from lambdas.processing.process import process
from lambdas.processing.report import Report
from lambdas.processing.source import local_file

FILES = Path(__file__).parent / "excel_files"
NOON = datetime.datetime(2024, 1, 31, 12)


def book(path: Path, rows: Iterable[Iterable[Any]], *, at: int = 1) -> openpyxl.Workbook:
    """A workbook of one sheet whose rows begin in row `at`."""
    made = openpyxl.Workbook()
    sheet = made.worksheets[0]
    for number, row in enumerate(rows, at):
        for column, value in enumerate(row, 1):
            sheet.cell(number, column, value)
    made.save(path)
    return made


def processed(*paths: Path) -> Report:
    """What is found in these files."""
    output = paths[0].parent / "output"
    output.mkdir()
    return process([local_file(path) for path in paths], "tabular", "excel", output)


def converted(path: Path, name: str) -> list[list[str]]:
    """The cells of a CSV that was made."""
    with (path / "output/converted" / name).open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file, strict=True))


def orders() -> pd.DataFrame:
    """A table of every type of cell, with missing ones and repeated rows, always the same."""
    chance = random.Random(3)
    frame = pd.DataFrame(
        {
            "id": range(1000),
            "price": [chance.choice([None, round(chance.gauss(50, 9), 2)]) for _ in range(1000)],
            "paid": [chance.random() < 0.5 for _ in range(1000)],
            "day": [NOON + datetime.timedelta(chance.randrange(900)) for _ in range(1000)],
            "size": [chance.choice(["S", "M", "L"]) for _ in range(1000)],
            "note": [chance.choice([None, 'say "so", twice', f"line\n{number}"]) for number in range(1000)],
        }
    )
    return frame.iloc[[*range(len(frame)), *range(5)]].reset_index(drop=True)


def test_the_report_is_what_pandas_finds_and_that_of_the_same_csv(tmp_path: Path) -> None:
    frame = orders()
    frame.to_excel(tmp_path / "orders.xlsx", index=False)
    report = processed(tmp_path / "orders.xlsx")
    assert (report.refused, report.rows, report.duplicates) == (None, len(frame), 5)
    types = [(column.name, column.type) for column in report.columns]
    assert types[:5] == [
        ("id", "number"), ("price", "number"), ("paid", "boolean"), ("day", "datetime"), ("size", "category"),
    ]  # fmt: skip
    price = report.columns[1]
    assert (price.missing, price.min, price.max) == (
        frame.price.isna().sum(), frame.price.min(), frame.price.max(),
    )  # fmt: skip
    assert (price.mean, price.std) == pytest.approx((frame.price.mean(), frame.price.std()), rel=1e-9)
    assert [file.filename for file in report.converted] == ["orders.csv"]
    read = pd.read_csv(tmp_path / "output/converted/orders.csv", parse_dates=["day"])
    pd.testing.assert_frame_equal(read, frame, check_dtype=False)

    again = tmp_path / "again"
    again.mkdir()
    same = process([local_file(tmp_path / "output/converted/orders.csv")], "tabular", "csv", again)
    assert (same.columns, same.preview) == (report.columns, report.preview)


def test_cells_become_iso_dates_plain_numbers_and_booleans(tmp_path: Path) -> None:
    cells = [
        1, 1.5, 1e20, -0.25, 2**40, True, False, "007", " x ", "a,b", 'a"b', "a\nb", datetime.date(2024, 2, 29), NOON,
        datetime.time(1, 2, 3), datetime.timedelta(hours=30), None,
    ]  # fmt: skip
    book(tmp_path / "a.xlsx", [["n", "value"], *([number, cell] for number, cell in enumerate(cells))])
    assert processed(tmp_path / "a.xlsx").refused is None
    assert [row[1] for row in converted(tmp_path, "a.csv")] == [
        "value", "1", "1.5", "1e+20", "-0.25", str(2**40), "true", "false", "007", " x ", "a,b", 'a"b', "a\nb",
        "2024-02-29", "2024-01-31T12:00:00", "01:02:03", "108000", "",
    ]  # fmt: skip


def test_an_old_workbook_is_read(tmp_path: Path) -> None:
    """xlwt wrote it: an empty sheet, one whose table begins in B3, and another one."""
    path = tmp_path / "old.xls"
    path.write_bytes((FILES / "xlwt.xls").read_bytes())
    report = processed(path)
    assert report.notes == ["old.xls: the sheet 'Data' is used; left out: 'Empty', 'Notes'."]
    assert converted(tmp_path, "old.csv") == [
        ["id", "price", "paid", "day", "at", "text"],
        ["1", "2.5", "true", "2024-01-31", "2024-01-31T13:30:00", 'grün, "quoted"'],
        ["2", "1e-07", "false", "1999-12-31", "1999-12-31T23:59:59", "two\nlines"],
        ["3", "", "true", "", "2024-02-29", ""],
    ]
    assert [column.type for column in report.columns[:5]] == ["number", "number", "boolean", "datetime", "datetime"]


def test_the_first_visible_sheet_with_cells_is_used_and_the_others_are_named(tmp_path: Path) -> None:
    made = book(tmp_path / "a.xlsx", [])
    hidden, data, other = (made.create_sheet(name) for name in ("Codes", "Data", "Notes"))
    hidden["A1"], other["A1"], data["A1"], data["A2"] = "x", "y", "n", 1
    hidden.sheet_state = "hidden"
    made.save(tmp_path / "a.xlsx")
    report = processed(tmp_path / "a.xlsx")
    assert report.notes == ["a.xlsx: the sheet 'Data' is used; left out: 'Sheet', 'Codes', 'Notes'."]
    assert converted(tmp_path, "a.csv") == [["n"], ["1"]]


def test_empty_rows_and_columns_are_left_out(tmp_path: Path) -> None:
    book(tmp_path / "a.xlsx", [["a", None, "b"], [1, None, 2], [None, None, None], [3, None, None]], at=4)
    assert processed(tmp_path / "a.xlsx").rows == 2
    assert converted(tmp_path, "a.csv") == [["a", "b"], ["1", "2"], ["3", ""]]


def test_an_error_that_means_no_value_is_missing(tmp_path: Path) -> None:
    made = book(tmp_path / "a.xlsx", [["a", "b"], [1, "#N/A"], [2, 3]])
    made.worksheets[0]["B2"].data_type = "e"
    made.save(tmp_path / "a.xlsx")
    assert processed(tmp_path / "a.xlsx").columns[1].missing == 1


def test_merged_areas_below_the_header_are_told(tmp_path: Path) -> None:
    made = book(tmp_path / "a.xlsx", [["a", "b"], [1, 2], [None, 3]])
    made.worksheets[0].merge_cells("A2:A3")
    made.save(tmp_path / "a.xlsx")
    report = processed(tmp_path / "a.xlsx")
    assert "1 merged areas, such as A2:A3" in report.notes[0]
    assert report.columns[0].missing == 1


@pytest.mark.parametrize(
    ("rows", "merged", "said"),
    [
        ([["a", None], [1, 2]], None, "cell B1 is empty and B2 is not"),
        ([["a", "b", " a "], [1, 2, 3]], None, "cells A1 and C1 both say 'a'"),
        ([["both", None], [1, 2]], "A1:B1", "cells A1:B1 are merged. Row 1 must name each column"),
        ([["a", "b"], ["=1/0", 2]], None, "cell A2 holds a formula without its result"),
        ([["a", "b"]], None, "there are no rows below row 1"),
    ],
)
def test_a_table_that_says_two_things_is_refused_by_its_cell(
    tmp_path: Path, rows: list[list[Any]], merged: str | None, said: str
) -> None:
    made = book(tmp_path / "a.xlsx", rows)
    if merged:
        made.worksheets[0].merge_cells(merged)
        made.save(tmp_path / "a.xlsx")
    report = processed(tmp_path / "a.xlsx")
    assert report.refused is not None
    assert report.refused.startswith("a.xlsx: ")
    assert said in report.refused


def test_several_workbooks_are_one_table(tmp_path: Path) -> None:
    book(tmp_path / "a.xlsx", [["n", "t"], [1, "x"]])
    book(tmp_path / "b.xlsx", [["n", "t"], [2, "y"]])
    report = processed(tmp_path / "a.xlsx", tmp_path / "b.xlsx")
    assert report.rows == 2
    assert [file.filename for file in report.converted] == ["a.csv", "b.csv"]


def test_workbooks_of_other_columns_are_refused(tmp_path: Path) -> None:
    book(tmp_path / "a.xlsx", [["n", "t"], [1, "x"]])
    book(tmp_path / "b.xlsx", [["n", "u"], [2, "y"]])
    refused = processed(tmp_path / "a.xlsx", tmp_path / "b.xlsx").refused
    assert refused == "b.xlsx has other columns than a.xlsx, see 'u': give all files the same."


def test_two_workbooks_of_one_name_keep_both(tmp_path: Path) -> None:
    book(tmp_path / "a.xlsx", [["n"], [1]])
    other = tmp_path / "a.xlsm"
    book(other, [["n"], [2]])
    report = processed(tmp_path / "a.xlsx", other)
    assert [file.filename for file in report.converted] == ["a.csv", "a.xlsm.csv"]


def test_a_workbook_with_a_password_is_refused(tmp_path: Path) -> None:
    """What Excel writes then is an old container with the new workbook, encrypted, in it."""
    old = (FILES / "xlwt.xls").read_bytes()
    name = "Workbook".encode("utf-16-le")
    renamed = "EncryptedPackage".encode("utf-16-le")
    at = old.index(name)
    entry = renamed.ljust(64, b"\0") + (len(renamed) + 2).to_bytes(2, "little")
    (tmp_path / "a.xlsx").write_bytes(old[:at] + entry + old[at + len(entry) :])
    assert "protected by a password" in (processed(tmp_path / "a.xlsx").refused or "")

"""Reading CSV: what is found out, and what is refused with which sentence; rows are those of Python's csv module.

Run: python -m pytest tests/units/processing/test_delimited.py
"""

import csv
import hashlib
import io
import tracemalloc
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambdas.processing import csv_blocks, csv_faults, delimited
from lambdas.processing.csv_blocks import Blocks, CsvText
from lambdas.processing.csv_dialect import sniff
from lambdas.processing.report import InvalidFile, Report, ValueCount
from lambdas.processing.source import InputFile

pytestmark = pytest.mark.thorough

MIB = 1024 * 1024
WIDE = ",".join("abcdefghijklmnopqrst").encode() + b"\n"
PIECES = ['"', '""', ",", "\n", "\r", "\r\n", "a", "ü", " ", "1", '\n"', ";", "\ufeff", "x,y\n", '"a","b"\n']


def files(*contents: bytes) -> list[InputFile]:
    return [
        InputFile(f"{number}.csv", len(content), lambda content=content: io.BytesIO(content))
        for number, content in enumerate(contents, start=1)
    ]


def read(*contents: bytes) -> Report:
    return delimited.read(files(*contents), Path())


def table(*contents: bytes) -> list[list[str]]:
    """The header and the first rows."""
    preview = read(*contents).preview
    return [preview.columns, *preview.rows]


def refusal(*contents: bytes) -> str:
    with pytest.raises(InvalidFile) as refused:
        read(*contents)
    return str(refused.value)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found_out(delimiter: str) -> None:
    last = "1,5|2;5" if delimiter == "|" else f"1{delimiter}2"
    found = read(f"a{delimiter}b\n{last}\n".encode())
    assert found.delimiter == delimiter
    assert [column.name for column in found.columns] == ["a", "b"]


def test_a_delimiter_inside_quotation_marks_does_not_count() -> None:
    assert table(b'"a;b;c",d\n"1;2;3",4\n') == [["a;b;c", "d"], ["1;2;3", "4"]]


def test_one_column_is_a_table_too() -> None:
    assert table(b"a\n1\n2\n") == [["a"], ["1"], ["2"]]
    assert table(b'a\n""\n \n') == [["a"], [""], [" "]]


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_the_encoding_is_found_out(codec: str) -> None:
    found = read("größe,€\nü,2\n".encode(codec))
    assert found.encoding == codec
    assert (found.preview.columns, found.preview.rows) == (["größe", "€"], [["ü", "2"]])


def test_a_sample_that_ends_inside_a_character_is_still_utf_8() -> None:
    assert sniff("a,b\n1,ü".encode()[:-1]).encoding == "utf-8"


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_every_kind_of_line_end_is_read(newline: str) -> None:
    assert table(newline.join(["a,b", "1,2", ""]).encode()) == [["a", "b"], ["1", "2"]]
    assert table(newline.join(["a,b", "1,2"]).encode()) == [["a", "b"], ["1", "2"]]


def test_quoted_fields_hold_line_ends_and_count_as_one_row() -> None:
    assert table(b'a,b\n"1\n2",3\n') == [["a", "b"], ["1\n2", "3"]]
    assert refusal(b'a,b\n"1\n2",3\n4\n').startswith("Row 3 has 1 field,")


def test_empty_lines_are_skipped_but_counted() -> None:
    assert table(b"\na,b\n\n1,2\n\n") == [["a", "b"], ["1", "2"]]
    assert refusal(b"a,b\n\n1\n").startswith("Row 3 has 1 field,")


def test_a_quotation_mark_inside_a_field_without_any_is_a_character() -> None:
    assert table(b'a,b\n5" pipe,2\n"x, 5"" y",3"\n') == [["a", "b"], ['5" pipe', "2"], ['x, 5" y', '3"']]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "The file is empty"),
        (b"\n\n", "The file is empty"),
        (b"a,b\n", "The file has a header but no rows"),
        (b"a,b\n\n\r\n", "The file has a header but no rows"),
        (b"a,b\n1,2,3\n", "Row 2 has 3 fields, but the header has 2"),
        (b"a,b\n1\n", "Row 2 has 1 field, but the header has 2"),
        (b"a,b\n1,2\n1,\x002\n", "Row 3 has a NUL character"),
        (b"a,,c\n1,2,3\n", "Row 1: column 2 has no name"),
        (b"a,b,a\n1,2,3\n", "Row 1: the column name 'a' is there twice"),
        (b"a, a\n1,2\n", "Row 1: the column name 'a' is there twice"),
        (b"5.1,3.5\n4.9,3.0\n", "Row 1 holds numbers (5.1, 3.5), not column names"),
        (b'a,b\n1,"2\n3,4\n', "Row 2: a quotation mark is opened and never closed"),
        (b'a,"b\n', "Row 1: a quotation mark is opened and never closed"),
        (b'a,b\n1,2\n1,"2"3\n', "Row 3: a quotation mark stands inside a quoted field"),
        (b'a,b\n1,"2" \n', "a quotation mark stands inside a quoted field"),
        (b"PK\x03\x04rest", "an Excel workbook"),
        (b"PAR1rest", "a Parquet file"),
        (b"\x1f\x8brest", "a gzip archive"),
        (("x" * 201 + ",b\n1,2\n").encode(), "longer than 200 bytes"),
        (",".join(f"c{n}" for n in range(1001)).encode(), "1,001 columns; at most 1,000"),
        (",".join(f'"c{n}"' for n in range(1001)).encode(), "1,001 columns; at most 1,000"),
        (b"a,b\n1," + b"x" * (MIB + 1) + b"\n", "Row 2: a field has more than 1,048,576 characters"),
        (b'a,b\n1,2\n"' + b"x,\n" * MIB, "Row 3: a field has more than 1,048,576 characters"),
        (b"a,b\n" + b"x" * (16 * MIB + 1), "Row 2: a field has more than 1,048,576 characters"),
        (WIDE + b",".join([b"x" * MIB] * 17), "Row 2 has a line of more than 16,777,216 characters"),
        (WIDE + b",".join([b"x" * MIB] * 20), "Row 2 has a line of more than 16,777,216 characters"),
        (WIDE + b",".join([b'"' + b"x\n" * 500_000 + b'"'] * 17), "Row 2 has more than 16,777,216 characters"),
        (b"a,b\n" + b"xy," * MIB, "Row 2 has at least 1,048,577 fields, but the header has 2"),
        (b"xy," * MIB, "The header has at least 699,051 columns; at most 1,000"),
        (b"a,b\n1,\x81\xff\n", "The file is not text in UTF-8, UTF-16 or Latin-1"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_what_would_trip_training_is_refused_with_place_and_remedy(content: bytes, sentence: str) -> None:
    assert sentence in refusal(content)


def test_a_field_is_measured_in_characters_not_bytes() -> None:
    assert read(b"a,b\n1," + "ü".encode() * MIB + b"\n").rows == 1


def test_late_bytes_that_are_not_utf_8_are_read_as_windows_1252() -> None:
    found = read(b"a,b\n" + b"1,2\n" * 700_000 + b"1,\xff\n")
    assert (found.encoding, found.rows, found.columns[1].distinct) == ("cp1252", 700_001, 2)
    assert found.columns[1].top == [ValueCount("2", 700_000), ValueCount("ÿ", 1)]


def test_several_files_are_one_table() -> None:
    found = read(b"a,b\n1,2\n", b"a,b\n3,4\n\n5,6", "a,b\nü,1\n".encode())
    assert (found.rows, found.encoding) == (4, "utf-8")
    assert found.preview.rows == [["1", "2"], ["3", "4"], ["5", "6"], ["ü", "1"]]
    assert read(b"a,b\n1,2\n", "a,b\nü,2\n".encode("utf-8-sig")).encoding == "utf-8-sig"
    assert read(b"a,b\n1,2\n", "a,b\nü,2\n".encode("cp1252")).encoding == "cp1252"


@pytest.mark.parametrize(
    ("second", "sentence"),
    [
        (b"a,c\n1,2\n", "2.csv: The columns are a, c, but those of the first file a, b"),
        (b"b,a\n1,2\n", "2.csv: The columns are b, a, but those of the first file a, b"),
        (b"a;b\n1;2\n", "2.csv: The delimiter is ';', but that of the first file ','"),
        (b"a,b\n1\n", "2.csv: Row 2 has 1 field"),
        (b"", "2.csv: The file is empty"),
        ("a,b\nü,2\n".encode("cp1252"), "2.csv: The file is in another encoding"),
        ("a,b\nü,2\n".encode("utf-16"), "2.csv: The file is in another encoding"),
        (b"a,b\n" + b"1,2\n" * 700_000 + b"1,\xff\n", "2.csv: The file is in another encoding"),
    ],
)
def test_a_file_that_does_not_fit_the_first_is_named(second: bytes, sentence: str) -> None:
    assert refusal("a,b\nä,2\n".encode(), second).startswith(sentence)


def as_csv(content: bytes, width: int) -> tuple[Sequence[list[str]], int | None]:
    """The rows as Python's csv module reads them, and the number of the first that is wrong."""
    rows: list[list[str]] = []
    number = 0
    try:
        for row in csv.reader(io.TextIOWrapper(io.BytesIO(content), "utf-8", newline=""), strict=True):
            number += 1
            if row and len(row) != width:
                return rows, number
            rows += [row] if row else []
    except csv.Error:
        return rows, number + 1
    return rows, None


@settings(deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join), st.integers(1, 12), st.integers(1, 3))
def test_rows_and_faults_are_those_of_the_csv_module_however_blocks_are_cut(body: str, block: int, width: int) -> None:
    content = (",".join("xyz"[:width]) + "\n" + body).encode()
    rows, wrong = as_csv(content, width)
    dataset = delimited.Dataset()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_blocks, "BLOCK", block)
        batches = dataset.batches(Blocks(CsvText(io.BytesIO(content), "utf-8"), ","), ",")
        if wrong is not None:
            with pytest.raises(InvalidFile, match=f"^Row {wrong}(:| has)"):
                list(batches)
        else:
            found = [batch.to_pylist() for batch in batches]
            assert [list(row.values()) for row in chain.from_iterable(found)] == rows[1:]


def test_the_report_is_the_same_however_blocks_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        f'{n},{n % 7 or ""},"line {n}\nü {n % 3}",2024-01-{n % 28 + 1:02},{"yes" if n % 2 else "no"}'
        for n in range(3000)
    ]
    rows[2500] = 'late,1,"5"" pipe",,no'
    content = ("id,number,text,day,flag\n" + "\n".join(rows)).encode()
    reports = []
    for block in (1000, 4099, 50_000, 2 * MIB):
        monkeypatch.setattr(csv_blocks, "BLOCK", block)
        reports.append(read(content))
    for report in reports:
        for column in report.columns:
            for figure in ("mean", "std"):  # sums of floats in another order
                value = getattr(column, figure)
                setattr(column, figure, value and float(f"{value:.12g}"))
            if column.length:
                column.length = type(column.length)(
                    column.length.min, column.length.max, float(f"{column.length.mean:.12g}")
                )
    assert [column.type for column in reports[0].columns] == ["text", "number", "text", "datetime", "boolean"]
    assert all(report == reports[0] for report in reports)


def test_the_file_is_hashed_on_the_way() -> None:
    content = b"a,b\n1,2\n"
    [file] = files(content)
    delimited.read([file], Path())
    assert file.sha256 == hashlib.sha256(content).hexdigest()


class Endless(io.RawIOBase):
    """A line without end."""

    given = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        self.given += len(buffer)
        assert self.given < 1024**3, "read on and on"
        buffer[:] = b"x" * len(buffer)
        return len(buffer)


def test_a_file_without_line_ends_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_faults, "MAX_LINE", MIB)
    tracemalloc.start()
    with pytest.raises(InvalidFile):
        list(Blocks(CsvText(io.BufferedReader(Endless()), "utf-8"), ","))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50 * MIB

"""Reading CSV: what is found out, and what is refused with which sentence.

Run: python -m pytest tests/units/test_csv_file.py
"""

import io
import tracemalloc

import pytest

from lambdas.datasets import csv_file
from lambdas.datasets.csv_file import InvalidFile, rows, sniff


def read(content: bytes) -> list[list[str]]:
    return list(rows(io.BytesIO(content), sniff(content[: 1024 * 1024])))


def refusal(content: bytes) -> str:
    with pytest.raises(InvalidFile) as refused:
        read(content)
    return str(refused.value)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found_out(delimiter: str) -> None:
    content = (
        f"a{delimiter}b\n1,5{delimiter}2;5\n".encode()
        if delimiter == "|"
        else f"a{delimiter}b\n1{delimiter}2\n".encode()
    )
    assert sniff(content).delimiter == delimiter
    assert len(read(content)[0]) == 2


def test_a_delimiter_inside_quotation_marks_does_not_count() -> None:
    assert read(b'"a;b;c",d\n"1;2;3",4\n') == [["a;b;c", "d"], ["1;2;3", "4"]]


def test_one_column_is_a_table_too() -> None:
    assert read(b"a\n1\n2\n") == [["a"], ["1"], ["2"]]


@pytest.mark.parametrize(
    ("codec", "found"), [("utf-8", "utf-8"), ("utf-8-sig", "utf-8-sig"), ("utf-16", "utf-16"), ("cp1252", "cp1252")]
)
def test_the_encoding_is_found_out(codec: str, found: str) -> None:
    content = "größe,€\n1,2\n".encode(codec)
    assert sniff(content).encoding == found
    assert read(content)[0] == ["größe", "€"]


def test_a_sample_that_ends_inside_a_character_is_still_utf_8() -> None:
    assert sniff("a,b\n1,ü".encode()[:-1]).encoding == "utf-8"


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_every_kind_of_line_end_is_read(newline: str) -> None:
    assert read(newline.join(["a,b", "1,2", ""]).encode()) == [["a", "b"], ["1", "2"]]


def test_quoted_fields_hold_line_ends_and_count_as_one_row() -> None:
    assert read(b'a,b\n"1\n2",3\n') == [["a", "b"], ["1\n2", "3"]]
    assert refusal(b'a,b\n"1\n2",3\n4\n').startswith("Row 3 has 1 field,")


def test_empty_lines_are_skipped_but_counted() -> None:
    assert read(b"\na,b\n\n1,2\n\n") == [["a", "b"], ["1", "2"]]
    assert refusal(b"a,b\n\n1\n").startswith("Row 3 has 1 field,")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "The file is empty"),
        (b"\n\n", "The file is empty"),
        (b"a,b\n1,2,3\n", "Row 2 has 3 fields, but the header has 2"),
        (b"a,b\n1\n", "Row 2 has 1 field, but the header has 2"),
        (b"a,b\n1,2\n1,\x002\n", "Row 3 has a NUL character"),
        (b"a,,c\n1,2,3\n", "Row 1: column 2 has no name"),
        (b"a,b,a\n1,2,3\n", "Row 1: the column name 'a' is there twice"),
        (b"a, a\n1,2\n", "Row 1: the column name 'a' is there twice"),
        (b"5.1,3.5\n4.9,3.0\n", "Row 1 holds numbers (5.1, 3.5), not column names"),
        (b'a,b\n1,"2\n3,4\n', "a quotation mark is opened and never closed"),
        (b'a,b\n1,"2"3\n', "a quotation mark stands inside a quoted field"),
        (b"PK\x03\x04rest", "an Excel workbook"),
        (b"PAR1rest", "a Parquet file"),
        (b"\x1f\x8brest", "a gzip archive"),
        (("x" * 201 + ",b\n1,2\n").encode(), "longer than 200 bytes"),
        (",".join(f"c{n}" for n in range(1001)).encode(), "1,001 columns; at most 1,000"),
        (b"a,b\n1," + b"x" * (1024 * 1024 + 1) + b"\n", "Row 2: a field has more than 1,048,576 characters"),
        (b"a,b\n" + b"x" * (16 * 1024 * 1024 + 1), "Row 2 has a line of more than 16,777,216 characters"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_what_would_trip_training_is_refused_with_place_and_remedy(content: bytes, sentence: str) -> None:
    assert sentence in refusal(content)


def test_bytes_that_are_not_of_the_encoding_are_reported() -> None:
    content = b"a,b\n" + b"1,2\n" * 300_000 + b"1,\xff\n"
    with pytest.raises(UnicodeDecodeError):
        list(rows(io.BytesIO(content), sniff(content[:1024])))


def test_a_file_without_line_ends_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless(io.RawIOBase):
        given = 0

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: memoryview) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
            self.given += len(buffer)
            assert self.given < 1024**3, "read on and on"
            buffer[:] = b"x" * len(buffer)
            return len(buffer)

    monkeypatch.setattr(csv_file, "MAX_LINE", 1024 * 1024)
    tracemalloc.start()
    with pytest.raises(InvalidFile):
        list(rows(io.BufferedReader(Endless()), csv_file.Dialect("utf-8", ",")))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50 * 1024 * 1024

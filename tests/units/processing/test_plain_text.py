"""Plain text by lines: what is an example, and what is refused.  `pytest tests/units/processing/test_plain_text.py`"""

import io
import random
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambdas.processing import text_lines
from lambdas.processing.plain_text import read
from lambdas.processing.report import InvalidFile, Report
from lambdas.processing.source import local_file


def reported(folder: Path, *contents: bytes) -> Report:
    """What is found in the files of a dataset."""
    paths = [folder / f"{number}.txt" for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    return read([local_file(path) for path in paths], folder)


def test_the_profile_is_what_pandas_finds(tmp_path: Path):
    chance = random.Random(5)
    lines = [
        " ".join(chance.choices(["größe", "of", "日本", "the", "🙂"], k=chance.randint(1, 80))) for _ in range(20_000)
    ]
    lines += lines[:9]
    report = reported(tmp_path, "\n".join([*lines[:1], "", "  ", *lines[1:]]).encode())
    expected = pd.Series(lines)
    column = report.columns[0]
    assert (report.rows, report.duplicates, column.name, column.type) == (
        len(lines),
        expected.duplicated().tolist().count(True),
        "text",
        "text",
    )
    assert (column.missing, column.empty, column.distinct_exact) == (0, 0, False)
    assert column.distinct == pytest.approx(expected.nunique(), rel=0.05)
    length = column.length
    assert length is not None
    sizes = expected.str.len()
    assert (length.min, length.max, length.mean) == (sizes.min(), sizes.max(), pytest.approx(sizes.mean()))
    assert report.notes == ["2 blank lines were left out."]
    assert (report.encoding, report.defects, report.preview.columns) == ("utf-8", [], ["text"])
    assert [row[0] for row in report.preview.rows] == [
        line if len(line) <= 200 else line[:200] + "…" for line in lines[:100]
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_the_encoding_is_found_out(tmp_path: Path, encoding: str):
    report = reported(tmp_path, "Größe\r\n“naïve” – €".encode(encoding))
    assert report.encoding == encoding
    assert report.preview.rows == [["Größe"], ["“naïve” – €"]]


def test_files_need_an_encoding_in_common(tmp_path: Path):
    assert reported(tmp_path, "é".encode(), "é".encode("utf-8-sig"), b"plain").encoding == "utf-8-sig"
    with pytest.raises(InvalidFile, match=r"0.txt is UTF-8, 1.txt is Windows-1252. Save all of them in UTF-8"):
        reported(tmp_path, "é".encode(), "é".encode("cp1252"))


def test_line_ends_are_those_of_every_system(tmp_path: Path):
    report = reported(tmp_path, b"a\r\nb\rc\n\r\n\n d \x0b \n", b"e")
    assert [row[0] for row in report.preview.rows] == ["a", "b", "c", " d \x0b ", "e"]
    assert report.notes == ["2 blank lines were left out."]


def archive() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as target:
        target.writestr("a.txt", "text")
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "No line has text"),
        (b"\n \n\t\n", "No line has text"),
        (b"a\nb\0c", "Line 2 has a NUL character"),
        (b"a\n" * 700_000 + b"\0", "Line 700,001 has a NUL character"),
        (b"a\r\nb\n\rc" + b"x" * 2**20 + "é".encode("cp1252"), "Line 4 is not UTF-8"),
        (b"\x81", "Line 1 is not Windows-1252"),
        ("a\nb".encode("utf-16") + b"x", "The text after line 2 is not UTF-16"),
        (b"a\n" + b"x" * (17 * 2**20), "Line 2 has more than 16,777,216 characters"),
        (archive(), "The file is a ZIP archive or an Excel workbook, not text"),
        (b"%PDF-1.7\n", "The file is a PDF, not text"),
        (b"\x7fELF\x02\x01", "The file is a program, not text"),
        (random.Random(6).randbytes(5000), "Line .* is not Windows-1252|Line .* has a NUL character"),
    ],
)
def test_what_is_no_text_is_refused(tmp_path: Path, content: bytes, message: str):
    with pytest.raises(InvalidFile, match=f"^({message})"):
        reported(tmp_path, content)
    with pytest.raises(InvalidFile):
        reported(tmp_path, b"fine\n", content) if content.strip() else reported(tmp_path, content, content)


def test_a_refused_file_of_several_is_named(tmp_path: Path):
    with pytest.raises(InvalidFile, match=r"^1.txt: Line 2 has a NUL character"):
        reported(tmp_path, b"fine\n", b"a\n\0")


lines = st.lists(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\n"), max_size=30), max_size=12
)


@settings(max_examples=100, deadline=None)
@given(
    lines=lines,
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    last=st.booleans(),
    encoding=st.sampled_from(["utf-8-sig", "utf-16"]),
    buffer=st.integers(1, 9),
)
def test_any_lines_come_through(lines: list[str], end: str, last: bool, encoding: str, buffer: int):
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_lines, "BUFFER", buffer)
        patch.setattr(text_lines, "BATCH", buffer)
        full = [line for line in lines if line.strip()]
        content = (end.join(lines) + end * last).encode(encoding)
        if not full:
            with pytest.raises(InvalidFile, match="No line has text"):
                reported(Path(folder), content)
            return
        report = reported(Path(folder), content)
        assert [row[0] for row in report.preview.rows] == full
        assert report.rows == len(full)
        assert report.columns[0].distinct == len(set(full))

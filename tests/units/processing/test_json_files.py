"""JSON Lines and arrays against pandas, and what is refused.  `pytest tests/units/processing/test_json_files.py`"""

import json
import random
import string
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambdas.processing import text_lines
from lambdas.processing.json_files import read
from lambdas.processing.process import process
from lambdas.processing.report import Column, Defect, InvalidFile, Report
from lambdas.processing.source import local_file

WORDS = ["alpha", "beta", "größe", "δέλτα", "日本", "🙂", 'quote " and \\', "line\nbreak", ""]
ROWS = 3000  # several batches


def reviews() -> list[dict[str, Any]]:
    """Rows with missing values, absent keys, repeated rows and whole numbers among fractions, always the same."""
    chance = random.Random(4)
    rows: list[dict[str, Any]] = []
    for number in range(ROWS):
        row: dict[str, Any] = {
            "id": 2**60 + number,
            "text": " ".join(chance.choices(WORDS, k=chance.randint(1, 60))),
            "score": chance.choice([1, 2.5, -3, 0, -0.0, 1e9, None]),
            "label": chance.choice(["good", "bad", "so so"]),
            "checked": chance.choice([True, False]),
        }
        if chance.random() < 0.1:
            row["comment"] = chance.choice(["", "yes"])
        rows.append(row)
    return rows + rows[:7]


def as_lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


WRITERS = {
    "json.jsonl": as_lines,
    "json.json": json.dumps,
    "indented.json": lambda rows: json.dumps(rows, indent=2, ensure_ascii=False),
    "pandas.jsonl": lambda rows: pd.DataFrame(rows).to_json(orient="records", lines=True),
    "pandas.json": lambda rows: pd.DataFrame(rows).to_json(orient="records"),
}


def reported(tmp_path: Path, text: str | bytes, name: str = "data.jsonl") -> Report:
    """What is found in one file."""
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read([local_file(path)], tmp_path)


def refused(tmp_path: Path, text: str | bytes, name: str = "data.jsonl") -> str:
    """Why one file is refused."""
    with pytest.raises(InvalidFile) as error:
        reported(tmp_path, text, name)
    return str(error.value)


def column(report: Report, name: str) -> Column:
    return next(column for column in report.columns if column.name == name)


def defect(report: Report, code: str) -> Defect:
    return next(defect for defect in report.defects if defect.code == code)


def converted(tmp_path: Path, name: str = "data.jsonl") -> list[Any]:
    text = (tmp_path / "converted" / name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.split("\n")[:-1]]


@pytest.mark.parametrize("name", WRITERS)
def test_the_profile_is_what_pandas_finds(tmp_path: Path, name: str):
    rows = reviews()
    report = reported(tmp_path, WRITERS[name](rows), name)
    table = pd.DataFrame(rows)
    assert (report.rows, report.duplicates) == (ROWS + 7, 7)
    assert [each.name for each in report.columns] == list(table.columns)
    types = ["number", "text", "number", "category", "boolean", "category"]
    assert [each.type for each in report.columns] == types
    for found in report.columns:
        expected = table[found.name]
        assert (found.name, found.missing) == (found.name, expected.isna().tolist().count(True))
        assert (found.name, found.distinct, found.distinct_exact) == (found.name, expected.nunique(), True)
    found, expected = column(report, "score"), table["score"].astype(float)
    assert (found.min, found.max) == (expected.min(), expected.max())
    assert found.mean == pytest.approx(expected.mean())
    assert found.std == pytest.approx(expected.std())
    lengths = table["text"].str.len()
    found = column(report, "text").length
    assert found is not None
    assert (found.min, found.max, found.mean) == (lengths.min(), lengths.max(), pytest.approx(lengths.mean()))
    for name in ("label", "comment"):
        top = column(report, name).top
        assert {each.value: each.count for each in top or []} == dict(table[name].value_counts())
    assert column(report, "comment").empty == (table["comment"] == "").tolist().count(True)
    assert report.defects == []


@pytest.mark.parametrize("name", WRITERS)
def test_what_trains_holds_the_same_rows(tmp_path: Path, name: str):
    rows = reviews()
    text = WRITERS[name](rows)
    report = reported(tmp_path, text, name)
    assert report.rows == len(rows)
    if name.endswith(".jsonl"):
        assert not (tmp_path / "converted").exists()
    else:
        assert converted(tmp_path, name.replace(".json", ".jsonl")) == json.loads(text)


def test_json_lines_under_another_name_are_converted(tmp_path: Path):
    rows = [{"a": 1}, {"a": 2}]
    assert reported(tmp_path, as_lines(rows), "data.json").rows == 2
    assert converted(tmp_path) == rows


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le-with-mark", "utf-16-be-with-mark"])
@pytest.mark.parametrize("name", ["data.jsonl", "data.json"])
def test_a_byte_order_mark_says_the_encoding(tmp_path: Path, encoding: str, name: str):
    rows = [{"text": word} for word in WORDS]
    text = as_lines(rows) if name.endswith("l") else json.dumps(rows, ensure_ascii=False)
    if encoding.endswith("-with-mark"):
        encoding, text = encoding.removesuffix("-with-mark"), "\ufeff" + text
    report = reported(tmp_path, text.encode(encoding), name)
    assert (report.rows, column(report, "text").distinct) == (len(WORDS), len(WORDS))
    assert converted(tmp_path) == rows


def test_line_ends_and_blank_lines_do_not_matter(tmp_path: Path):
    assert reported(tmp_path, '\n{"a": 1}\r\n\r\n  {"a": 2}\t\r{"a": 3}').rows == 3
    assert refused(tmp_path, '{"a": 1}\r\n\n\r{"a": 2\r').startswith("Line 4 is not valid JSON")


def test_columns_come_in_the_order_of_their_first_appearance(tmp_path: Path):
    report = reported(tmp_path, '{"b": 1}\n{"a": null}\n{"c": 1, "b": 2}\n{}')
    assert [(each.name, each.missing) for each in report.columns] == [("b", 2), ("a", 4), ("c", 3)]
    assert report.preview.columns == ["b", "a", "c"]
    assert report.preview.rows == [["1", "", ""], ["", "", ""], ["2", "", "1"], ["", "", ""]]


def test_objects_and_lists_keep_their_types(tmp_path: Path):
    rows = [
        {
            "o": {"a": number, "b": [1, {"deep": None}]},
            "wide": {f"key {number} {each}": each for each in range(70)},
            "texts": ["x", "y"][: number % 3],
            "numbers": [1, 2.5],
            "boxes": [[1, 2, 3, 4]] * number,
            "objects": [{"start": 1}, {"end": number}],
            "empty": [],
        }
        for number in range(4)
    ]
    report = reported(tmp_path, as_lines(rows))
    types = {each.name: (each.type, each.items, each.missing, each.distinct) for each in report.columns}
    assert types == {
        "o": ("object", None, 0, 4),
        "wide": ("object", None, 0, 4),
        "texts": ("list", "text", 0, 3),
        "numbers": ("list", "number", 0, 1),
        "boxes": ("list", None, 0, 4),
        "objects": ("list", "object", 0, 4),
        "empty": ("list", None, 0, 1),
    }
    top = column(report, "texts").top
    assert [(each.value, each.count) for each in top or []] == [("x", 2), ("y", 1)]
    length = column(report, "boxes").length
    assert length is not None
    assert (length.min, length.max, length.mean) == (0, 3, 1.5)
    assert [column(report, name).empty for name in ("texts", "boxes", "empty")] == [2, 1, 4]


def chat(*roles: str) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": f"as {role}"} for role in roles]}


def test_chats_are_messages_and_wrong_ones_are_named(tmp_path: Path):
    good = chat("system", "user", "assistant")
    tools: dict[str, Any] = chat("user", "assistant", "tool", "assistant")
    tools["messages"][1]["tool_calls"] = [{"id": "1"}]
    wrong = [chat("user", "bot"), chat("user"), chat("assistant"), chat(), {"messages": [{"role": "user"}]}]
    wrong[3]["messages"] = []
    report = reported(tmp_path, as_lines([good, tools, *wrong, {"messages": None}]))
    assert (column(report, "messages").type, column(report, "messages").missing) == ("messages", 1)
    found = defect(report, "invalid_messages")
    assert (found.count, found.columns) == (5, ["messages"])
    assert found.examples == [
        "line 3: message 2 has the role 'bot'",
        "line 4: ends with user",
        "line 5: begins with assistant",
        "line 6: no messages",
        "line 7: message 1 has no text as content",
    ]


def test_tokens_and_tags_of_different_length_are_named(tmp_path: Path):
    rows = [{"tokens": ["a"] * (number % 7), "tags": ["O"] * (number % 7)} for number in range(40_000)]
    for number in (5, 39_000):
        rows[number]["tags"].append("O")
    found = defect(reported(tmp_path, as_lines(rows)), "unequal_lengths")
    assert (found.count, found.columns, found.examples) == (2, ["tokens", "tags"], ["line 6", "line 39001"])


@pytest.mark.parametrize(
    ("values", "places"),
    [
        ([1, "a", 2, "b"], ["line 2: text", "line 4: text"]),
        (["a", None, True], ["line 3: boolean"]),
        ([1.5, [1]], ["line 2: list"]),
        (["a", {"b": 1}], ["line 2: object"]),
        ([{"b": 1}, "a"], ["line 2: text"]),
    ],
)
def test_a_column_of_several_types_is_text_and_named(tmp_path: Path, values: list[Any], places: list[str]):
    report = reported(tmp_path, as_lines([{"x": value} for value in values]))
    assert column(report, "x").type == "text"
    assert [each.code for each in report.defects] == ["mixed_types"]
    found = report.defects[0]
    assert (found.count, found.columns, found.examples) == (len(places), ["x"], places)


def test_types_that_change_long_after_the_first_rows_are_counted_row_by_row(tmp_path: Path):
    rows: list[dict[str, Any]] = [{"x": number, "pad": "." * 100} for number in range(30_000)]
    rows[25_000]["x"] = rows[29_999]["x"] = "many"
    report = reported(tmp_path, as_lines(rows))
    found = defect(report, "mixed_types")
    assert (found.count, found.examples) == (2, ["line 25001: text", "line 30000: text"])
    assert column(report, "x").type == "text"


def test_numbers_stay_numbers(tmp_path: Path):
    text = "".join(f'{{"x": {number}}}\n' for number in ["-0", "1", "2.5", "1e3", str(2**70), str(-(2**63)), "null"])
    found = column(reported(tmp_path, text), "x")
    assert (found.type, found.missing, found.distinct, found.min, found.max) == ("number", 1, 6, -(2.0**63), 2.0**70)


def test_files_of_the_same_columns_are_one_dataset(tmp_path: Path):
    (tmp_path / "a.jsonl").write_text('{"x": [1], "y": [2]}\n')
    (tmp_path / "b.jsonl").write_text('{"y": [2, 3], "x": [1]}\n')
    files = [local_file(tmp_path / name) for name in ("a.jsonl", "b.jsonl")]
    report = read(files, tmp_path)
    assert report.rows == 2
    assert defect(report, "unequal_lengths").examples == ["b.jsonl, line 1"]
    (tmp_path / "b.jsonl").write_text('{"x": [1], "z": [2]}\n')
    with pytest.raises(InvalidFile, match=r"a.jsonl has the column 'y', but b.jsonl has not: give every file the same"):
        read(files, tmp_path)
    (tmp_path / "b.jsonl").write_text('{"x": [1]}\n{"x"}')
    with pytest.raises(InvalidFile, match=r"^b.jsonl: Line 2 is not valid JSON"):
        read(files, tmp_path)


def test_the_way_in_reports_what_was_written(tmp_path: Path):
    path = tmp_path / "data.json"
    path.write_text('[{"text": "a"}, {"text": "b"}]')
    output = tmp_path / "out"
    output.mkdir()
    report = process([local_file(path)], "text", "json", output)
    assert (report.refused, report.rows, [each.filename for each in report.converted]) == (None, 2, ["data.jsonl"])
    assert process([local_file(path)], "text", "jsonl", output).rows == 2  # its content decides


HOSTILE = {
    "a value of a hundred thousand lists": ('{"a": ' + "[" * 100_000, r"Line 1 is nested deeper than 100 levels"),
    "a hundred and one lists": ('{"a": ' + "[" * 101 + "]" * 101 + "}", r"Line 1 is nested deeper than 100 levels"),
    "10^400": ('{"a": 1}\n{"a": 1' + "0" * 400 + "}", r"Line 2: the value of 'a' has a number outside"),
    "1e400": ('{"a": 1e400}', r"Line 1: the value of 'a' has a number outside"),
    "1e400 in an object": ('{"a": {"b": 1e400}}', r"Line 1: the value of 'a' has a number outside"),
    "1e400 in a list": ('{"a": [1]}\n{"a": [1, -1e400]}', r"Line 2: the value of 'a' has a number outside"),
    "5000 digits": ('{"a": ' + "9" * 5000 + "}", r"Line 1 has a whole number of more than 4,300 digits"),
    "NaN": ('{"a": 1}\n\n{"a": NaN}', r"Line 3 has NaN, which JSON does not know"),
    "-Infinity": ('{"a": [-Infinity]}', r"Line 1 has -Infinity"),
    "a key twice": ('{"a": 1, "b": 1, "a": 2}', r"Line 1 has the key 'a' twice"),
    "a key twice inside": ('{"a": {"b": 1, "b": 1}}', r"Line 1 has the key 'b' twice"),
    "half a pair": ('{"a": "x"}\n{"a": "\\ud83d"}', r"Line 2: the value of 'a' has half of a surrogate pair"),
    "half a pair in a list": ('{"a": ["\\udc00"]}', r"Line 1: the value of 'a' has half of a surrogate pair"),
    "half a pair in a key inside": ('{"a": {"\\udc00": 1}}', r"Line 1: the value of 'a' has half of a surrogate pair"),
    "half a pair in a key": ('{"\\udc00": 1}', r"Line 1: the key '\\udc00' has half of a surrogate pair"),
    "no key": ('{"": 1}', r"Line 1 has a key without a name"),
    "a long key": ('{"' + "a" * 201 + '": 1}', r"Line 1 has a key of more than 200 bytes"),
    "half a million keys": (
        "{" + ",".join(f'"k{number}":1' for number in range(499_990)) + "}",
        r"Line 1 brings the columns to more than 1,000",
    ),
    "a new key in every line": (
        "".join(f'{{"k{number}": 1}}\n' for number in range(1001)),
        r"Line 1001 brings the columns to more than 1,000",
    ),
    "a line of 17 MiB": ('{"a": 1}\n{"a": "' + "x" * (17 * 2**20), r"Line 2 has more than 16,777,216 characters"),
    "a million keys": ("{" + ",".join(f'"k{number}":1' for number in range(10**6)) + "}", r"Line 1 has more than"),
    "millions of objects": ('{"a": [' + "{}," * 3_000_000 + "{}]}", r"Line 1 has more than 500,000 values"),
    "no end of a text": ('{"a": "b', r"Line 1 (is not valid JSON|holds only)"),
    "something after it": ('{"a": 1} x', r"Line 1 goes on after its object"),
    "two objects": ('{"a": 1}{"a": 2}', r"Line 1 goes on after its object"),
    "a number": ("{}\n17", r"Line 2 is not an object"),
    "a list below an object": ('{"a": 1}\n[1]', r"Line 2 is not an object"),
    "an indented object": ('{\n  "a": 1\n}', r"Line 1 holds only the beginning of a value"),
    "a NUL": ('{"a": 1}\n{"a": "\0"}', r"Line 2 has a NUL character"),
    "a control character": ('{"a": "\x01"}', r"Line 1 is not valid JSON"),
    "Latin-1": ('{"a": 1}\n{"a": "é"}'.encode("latin-1"), r"Line 2 is not UTF-8"),
    "half a character": ('{"a": "é'.encode()[:-1], r"Line 1 is not UTF-8"),
    "a gzip archive": (b"\x1f\x8b\x08\x00" + bytes(100), r"The file is a gzip archive"),
    "nothing": ("", r"There is no row with a value"),
    "blank lines": ("\n \n\n", r"There is no row with a value"),
    "empty objects": ("{}\n{}", r"There is no row with a value"),
}
HOSTILE_ARRAYS = {
    "never closed": ('[{"a": 1},\n{"a": 2}\n', r"After row 2 the file ends"),
    "a row never closed": ('[{"a": 1},\n{"a": 2,\n', r"Row 2 \(line 2\) is not valid JSON: .*, in line 3"),
    "a comma too many": ('[{"a": 1},]', r"Row 2 \(line 1\) begins with '\]'"),
    "no comma": ('[{"a": 1}\n{"a": 2}]', r"After row 1 line 2 goes on with '{'"),
    "garbage after it": ('[{"a": 1}]\n\ngarbage', r"Line 3 goes on after the end of the array"),
    "two arrays": ('[{"a": 1}][{"a": 1}]', r"Line 1 goes on after the end of the array"),
    "an array of arrays": ("[[1]]", r"Row 1 \(line 1\) begins with '\['"),
    "an array of texts": ('["a"]', r"Row 1 \(line 1\) begins with '\"'"),
    "no rows": ("[]", r"There is no row with a value"),
    "an open bracket": ("[", r"Row 1 \(line 1\) is missing"),
    "NaN": ('[{"a": 1},\n {"a": NaN}]', r"Row 2 \(line 2\) has NaN"),
    "1e400": ('[{"a": 1}, {"a": 1e400}]', r"Row 2: the value of 'a' has a number outside"),
    "half a pair": ('[{"a": {"b": "\\ud83d"}}]', r"Row 1: the value of 'a' has half of a surrogate pair"),
    "a hundred thousand lists": ("[" * 100_000, r"Row 1 \(line 1\) begins with '\['"),
    "deep": ('[{"a": ' + "[" * 100_000, r"Row 1 \(line 1\) is nested deeper"),
    "a row of 18 MiB": ('[{"a": 1},{"a": "' + "x" * (18 * 2**20), r"Row 2 \(line 1\) has more than 16,777,216 char"),
    "millions of objects": ('[{"a": [' + "{}," * 3_000_000, r"Row 1 \(line 1\) has more than 500,000 values"),
    "one object": ('{"data": [{"a": 1}]}', r"The file is one object, not rows: write an array of objects"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_lines_that_cannot_be_used_are_refused_by_line(tmp_path: Path, name: str):
    text, message = HOSTILE[name]
    with pytest.raises(InvalidFile, match=f"^{message}"):
        reported(tmp_path, text)


@pytest.mark.parametrize("name", HOSTILE_ARRAYS)
def test_arrays_that_cannot_be_used_are_refused_by_row(tmp_path: Path, name: str):
    text, message = HOSTILE_ARRAYS[name]
    with pytest.raises(InvalidFile, match=f"^{message}"):
        reported(tmp_path, text, "data.json")


names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8).filter(
    str.strip
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4))
tables = st.lists(st.dictionaries(names, values, max_size=5), min_size=1, max_size=8).filter(any)


@settings(max_examples=60, deadline=None)
@given(rows=tables, indent=st.sampled_from([None, 0, 3]), ascii=st.booleans(), buffer=st.integers(1, 40))
def test_any_rows_come_through_an_array(rows: list[Any], indent: int | None, ascii: bool, buffer: int):
    check_round_trip(rows, json.dumps(rows, indent=indent, ensure_ascii=ascii), "utf-8", buffer)


@settings(max_examples=60, deadline=None)
@given(
    rows=tables,
    end=st.sampled_from(["\n", "\r\n", "\r", "\n\n"]),
    ascii=st.booleans(),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    buffer=st.integers(1, 40),
)
def test_any_rows_come_through_lines(rows: list[Any], end: str, ascii: bool, encoding: str, buffer: int):
    text = end.join(json.dumps(row, ensure_ascii=ascii) for row in rows)
    check_round_trip(rows, text, encoding, buffer)


def check_round_trip(rows: list[dict[str, Any]], text: str, encoding: str, buffer: int) -> None:
    """Read rows in small steps and in small batches; compare what was found with the rows."""
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_lines, "BUFFER", buffer)
        patch.setattr(text_lines, "BATCH", buffer)
        path = Path(folder) / "data.txt"
        path.write_bytes(text.encode(encoding))
        report = read([local_file(path)], Path(folder))
        assert report.rows == len(rows)
        columns = list(dict.fromkeys(name for row in rows for name in row))
        assert [each.name for each in report.columns] == columns
        for found in report.columns:
            present = [row[found.name] for row in rows if row.get(found.name) is not None]
            assert found.missing == len(rows) - len(present)
            kinds = {float if type(value) is int else type(value) for value in present}
            assert any(each.code == "mixed_types" and each.columns == [found.name] for each in report.defects) == (
                len(kinds) > 1
            )
            if kinds == {dict}:
                assert found.type == "object"
            if kinds == {list}:
                assert found.type in ("list", "messages")
        if text.startswith("[") or encoding != "utf-8":
            assert converted(Path(folder)) == rows


# VmHWM, because the greatest resident size that getrusage tells a new process is that of its parent.
MEASURED = """
import re, sys
from pathlib import Path
from lambdas.processing.json_files import read
from lambdas.processing.source import local_file
read([local_file(Path(sys.argv[1]))], Path(sys.argv[2]))
print(int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["data.jsonl", "data.json"])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, name: str):
    small, large = (peak_memory(tmp_path, name, size * 1_000_000) for size in (50, 200))
    assert large < 256
    assert large < small + 16


@pytest.mark.slow
@pytest.mark.parametrize("item", ['{"a":"ж%d"},', '"ж%d",'])
@pytest.mark.parametrize("name", ["data.jsonl", "data.json"])
def test_memory_is_bounded_for_the_largest_rows(tmp_path: Path, item: str, name: str):
    """Rows of as many values as are taken, and as many characters, all of them two bytes wide."""
    count = 390_000 // sum(map(item.count, ",[{"))
    items = "".join(item % number + " " * (16_000_000 // count - len(item) - 4) for number in range(count))
    row = '{"a":[' + items.rstrip(", ") + '],"b":"ж"}'
    path = tmp_path / name
    path.write_text(f"{row}\n{row}\n" if name == "data.jsonl" else f"[{row},{row}]", encoding="utf-8")
    assert measured(path) < 400


def peak_memory(tmp_path: Path, name: str, size: int) -> int:
    """Return the MiB that it takes to read a file of so many bytes."""
    path = tmp_path / name
    rows = [
        row | {"tokens": ["a", "b"], "pad": "".join(random.Random(3).choices(string.printable, k=300))}
        for row in reviews()
    ]
    array = not name.endswith("l")
    block = (",\n" if array else "\n").join(map(json.dumps, rows))
    with path.open("w") as file:
        file.write("[" + block if array else block)
        for _ in range(size // len(block)):
            file.write((",\n" if array else "\n") + block)
        file.write("]" if array else "\n")
    peak = measured(path)
    path.unlink()
    return peak


def measured(path: Path) -> int:
    """Return the MiB that a process of its own takes to read a file."""
    command = [sys.executable, "-c", MEASURED, str(path), str(path.parent)]
    peak = int(subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout)
    print(path.name, peak, "MiB")
    return peak

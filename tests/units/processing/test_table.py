"""What is found in a table: against pandas, and for values with types of their own.

Run: python -m pytest tests/units/processing/test_table.py
"""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from lambdas.processing import delimited
from lambdas.processing.columns import MISSING
from lambdas.processing.report import InvalidFile, Range, Report, ValueCount
from lambdas.processing.source import InputFile
from lambdas.processing.table import Table

ROWS = 5000


def customers() -> pd.DataFrame:
    """A seeded table with known defects: missing values, repeated rows, constant and mixed columns."""
    chance = np.random.default_rng(11)
    frame = pd.DataFrame(
        {
            "id": np.arange(ROWS),
            "height": chance.normal(170, 10, ROWS).round(2),
            "income": np.where(chance.random(ROWS) < 0.2, np.nan, chance.exponential(30_000, ROWS).round()),
            "label": chance.choice(["yes, please", "no", "perhaps"], ROWS, p=[0.7, 0.2, 0.1]),
            "city": chance.choice([f"Größe {n}" for n in range(300)], ROWS),
            "note": [" ".join(chance.choice(["a", "bb", 'c"c', "d\ne"], n % 9 + 1)) for n in range(ROWS)],
            "flag": chance.choice(["True", "False"], ROWS),
            "day": pd.date_range("2024-01-01", periods=ROWS, freq="h").strftime("%Y-%m-%d %H:%M"),
            "constant": "same",
            "mixed": np.where(np.arange(ROWS) == ROWS - 1, "n/k", (np.arange(ROWS) % 50).astype(str)),
            "nothing": "",
        }
    )
    frame.loc[chance.random(ROWS) < 0.1, "city"] = "NA"
    return pd.concat([frame, frame.iloc[100:150]], ignore_index=True)


def profiled(frame: pd.DataFrame) -> tuple[Report, pd.DataFrame]:
    """What processing says of a CSV file, and the file as pandas reads it."""
    content = frame.to_csv(index=False).encode()
    file = InputFile("customers.csv", len(content), lambda: io.BytesIO(content))
    options: dict[str, Any] = {"na_values": list(MISSING), "keep_default_na": False}
    return delimited.read([file], Path()), pd.read_csv(io.BytesIO(content), **options)


def test_every_figure_of_a_csv_file_is_that_of_pandas() -> None:
    report, frame = profiled(customers())
    assert (report.rows, report.duplicates, report.duplicates_exact) == (
        len(frame),
        int(frame.duplicated().sum()),
        True,
    )
    assert [column.name for column in report.columns] == list(frame)
    types = {column.name: column.type for column in report.columns}
    assert types == {
        "id": "number",
        "height": "number",
        "income": "number",
        "label": "category",
        "city": "category",
        "note": "text",
        "flag": "boolean",
        "day": "datetime",
        "constant": "category",
        "mixed": "category",
        "nothing": "text",
    }
    for column in report.columns:
        values = frame[column.name]
        counts = values.dropna().astype(str).str.strip().value_counts()
        assert (column.missing, column.distinct, column.distinct_exact) == (values.isna().sum(), values.nunique(), True)
        if column.type == "number":
            expected = values.describe()
            for figure in ("min", "max", "mean", "std"):
                assert getattr(column, figure) == pytest.approx(expected[figure], rel=1e-9)
        if column.type in ("category", "boolean"):
            top = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:100]
            assert column.top is not None
            spelled = [(one.value, one.count) for one in column.top]
            assert spelled == top
            assert column.balance == counts.min() / counts.max()
        if column.type == "text" and counts.sum():
            lengths = values.dropna().str.strip().str.len()
            assert column.length is not None
            assert (column.length.min, column.length.max) == (lengths.min(), lengths.max())
            assert column.length.mean == pytest.approx(lengths.mean())


def test_duplicates_past_the_sketch_are_an_estimate() -> None:
    numbers = np.arange(400_000) % 300_000
    table = Table()
    for part in np.array_split(numbers, 20):
        table.add(pa.RecordBatch.from_pydict({"a": part, "b": part.astype(str)}))
    report = table.report()
    assert not report.duplicates_exact
    assert report.duplicates == pytest.approx(100_000, rel=0.03)


def test_values_have_the_types_they_came_with() -> None:
    table = Table()
    table.add(
        pa.RecordBatch.from_pylist(
            [
                {"n": 1, "t": "1", "b": True, "l": ["a", "b"], "o": {"x": 1}, "e": []},
                {"n": None, "t": "", "b": False, "l": ["a"], "o": None, "e": []},
                {"n": 3, "t": " ", "b": True, "l": None, "o": {"x": 1}, "e": None},
            ]
        )
    )
    columns = {column.name: column for column in table.report().columns}
    assert {name: column.type for name, column in columns.items()} == {
        "n": "number",
        "t": "text",
        "b": "boolean",
        "l": "list",
        "o": "object",
        "e": "list",
    }
    assert (columns["n"].missing, columns["n"].mean, columns["o"].missing, columns["o"].distinct) == (1, 2.0, 1, 1)
    assert (columns["t"].missing, columns["t"].empty, columns["t"].distinct) == (0, 2, 3)
    assert columns["b"].top == [ValueCount("true", 2), ValueCount("false", 1)]
    assert (columns["l"].length, columns["l"].top) == (Range(1, 2, 1.5), [ValueCount("a", 2), ValueCount("b", 1)])
    assert (columns["l"].items, columns["l"].balance, columns["e"].empty) == ("text", 0.5, 2)


def test_columns_may_come_and_go_and_their_numbers_widen() -> None:
    table = Table()
    table.add(pa.RecordBatch.from_pylist([{"a": 1}, {"a": 2}]))
    table.add(pa.RecordBatch.from_pylist([{"a": 2.0, "b": "x"}, {"a": 2.0, "b": None}]))
    table.add(pa.RecordBatch.from_pylist([{"b": "x"}]))
    report = table.report()
    a, b = report.columns
    assert (a.type, a.missing, a.distinct, a.mean) == ("number", 1, 2, 1.75)
    assert (b.type, b.missing, b.distinct) == ("category", 3, 1)
    assert report.duplicates == 1  # a number is the same as a float, and absent is null
    assert report.preview.rows == [["1", ""], ["2", ""], ["2.0", "x"], ["2.0", ""], ["", "x"]]


def test_a_column_of_several_types_is_a_defect_with_its_place() -> None:
    table = Table(first_row=1)
    table.add(pa.RecordBatch.from_pylist([{"a": 1}, {"a": 2}]))
    table.add(pa.RecordBatch.from_pylist([{"a": None}, {"a": "two"}, {"a": "three"}]))
    table.add(pa.RecordBatch.from_pylist([{"a": [1]}]), lambda row: f"last.jsonl, row {row + 1}")
    report = table.report()
    assert report.columns[0].type == "text"
    [defect] = report.defects
    assert (defect.code, defect.count, defect.columns) == ("mixed_types", 3, ["a"])
    assert defect.examples == ["row 4", "last.jsonl, row 1"]


def test_readers_may_know_better_what_a_column_holds() -> None:
    table = Table(types={"file_name": "file", "label": "category", "objects": "objects"})
    objects = {"bbox": [[0.0, 0.0, 1.0, 1.0]] * 2, "category": ["cat", "dog"]}
    empty: dict[str, list[Any]] = {"bbox": [], "category": []}
    rows = [
        {"file_name": "1.png", "label": "a", "objects": objects},
        {"file_name": "2.png", "label": "b", "objects": empty},
        {"file_name": "3.png", "label": "c", "objects": objects | {"category": ["cat", "cat"]}},
    ]
    table.add(pa.RecordBatch.from_pylist(rows))
    file, label, boxes = table.report().columns
    assert (file.type, file.top, file.length) == ("file", None, None)
    assert (label.type, label.top) == ("category", [ValueCount(letter, 1) for letter in "abc"])
    assert (boxes.type, boxes.top) == ("objects", [ValueCount("cat", 3), ValueCount("dog", 1)])
    assert (boxes.empty, boxes.length) == (1, Range(0, 2, 4 / 3))


def test_more_columns_than_possible_are_refused() -> None:
    table = Table()
    table.add(pa.RecordBatch.from_pydict({f"c{n}": [n] for n in range(1000)}))
    with pytest.raises(InvalidFile, match="more than 1,000 columns"):
        table.add(pa.RecordBatch.from_pydict({"more": [1]}))


def test_the_preview_holds_the_first_rows_and_cuts_long_cells() -> None:
    table = Table()
    for begin in range(0, 150, 40):
        table.add(pa.RecordBatch.from_pydict({"a": [f"{n}" + "x" * 300 for n in range(begin, begin + 40)]}))
    rows = table.report().preview.rows
    assert len(rows) == 100
    assert rows[41][0] == "41" + "x" * 198 + "…"
    wide = Table()
    wide.add(pa.RecordBatch.from_pydict({f"c{n}": ["x" * 300] * 150 for n in range(1000)}))
    assert len(wide.report().to_json()) < 1_000_000


def test_the_preview_shows_values_of_every_type() -> None:
    table = Table()
    row = {
        "n": 1.5,
        "b": True,
        "l": ["ü", None],
        "o": {"x": b"12"},
        "d": pd.Timestamp("2024-01-31").date(),
        "y": b"123",
    }
    table.add(pa.RecordBatch.from_pylist([row]))
    [shown] = table.report().preview.rows
    assert shown == ["1.5", "true", '["ü", null]', '{"x": "2 bytes"}', "2024-01-31", "3 bytes"]


@pytest.mark.parametrize(
    ("values", "type", "cells"),
    [
        (
            pa.array([1_000_001, None], pa.timestamp("ns", "Europe/Berlin")),
            "datetime",
            ["1970-01-01 00:00:00.001000+00:00", ""],
        ),
        (pa.array([2**62, None], pa.timestamp("s")), "datetime", ["…", ""]),
        (pa.array([b"a", None]), "object", ["1 bytes", ""]),
        (pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int64())), "object", ['[["a", 1]]', ""]),
        (pa.array([[1, 2], None], pa.list_(pa.int64(), 2)), "list", ["[1, 2]", ""]),
        (pa.array(["ü" * 300, None], pa.string_view()), "text", ["ü" * 200 + "…", ""]),
        (pa.array(["a", None]).dictionary_encode(), "text", ["a", ""]),
        (pa.array(['{"a": 1}', None], pa.json_()), "text", ['{"a": 1}', ""]),
        (pa.array([1.5, float("nan")], pa.float16()), "number", ["1.5", "nan"]),
        (pa.array([2**63, None], pa.uint64()), "number", [str(2**63), ""]),
    ],
)
def test_every_type_of_parquet_has_figures_and_a_preview(values: pa.Array, type: str, cells: list[str]) -> None:
    table = Table()
    table.add(pa.RecordBatch.from_arrays([values], ["a"]))
    report = table.report()
    [column] = report.columns
    assert (column.type, column.missing, column.distinct) == (type, 1, 1)
    assert [row[0] for row in report.preview.rows] == cells

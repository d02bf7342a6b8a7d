"""Parquet files against pandas, several in one dataset, and what is refused.

`pytest tests/units/processing/test_parquet.py`
"""

import datetime
import decimal
import hashlib
import io
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lambdas.processing import parquet, parquet_batches
from lambdas.processing.process import process
from lambdas.processing.report import Column, InvalidFile, Report
from lambdas.processing.source import InputFile, local_file

ROWS = 5000


def houses() -> pd.DataFrame:
    """A table of every type that Parquet files have, with missing values and repeated rows, always the same."""
    chance = random.Random(7)
    frame = pd.DataFrame(
        {
            "id": np.arange(ROWS, dtype="uint64"),
            "price": [chance.choice([None, chance.gauss(0, 1e6)]) for _ in range(ROWS)],
            "rooms": pd.array([chance.choice([None, *range(9)]) for _ in range(ROWS)], "Int8"),
            "sold": pd.array([chance.choice([None, True, False]) for _ in range(ROWS)], "boolean"),
            "day": [datetime.date(2020, 1, 1) + datetime.timedelta(chance.randrange(900)) for _ in range(ROWS)],
            "tax": [decimal.Decimal(chance.randrange(10**6)) / 100 for _ in range(ROWS)],
            "city": pd.Categorical([chance.choice(["Köln", "東京", "Oslo"]) for _ in range(ROWS)]),
            "text": [chance.choice([None, "", " ".join(chance.choices("abc", k=9))]) for _ in range(ROWS)],
            "tags": [chance.choices(["a", "b"], k=chance.randrange(4)) for _ in range(ROWS)],
        }
    )
    return frame.iloc[[*range(len(frame)), *range(7)]].reset_index(drop=True)


def reported(*paths: Path) -> Report:
    """What is found in these files."""
    output = paths[0].parent / "output"
    output.mkdir(exist_ok=True)
    report = process([local_file(path) for path in paths], "tabular", "parquet", output)
    assert report.refused is None
    return report


def refusal(*paths: Path) -> str:
    """Why these files are refused."""
    with pytest.raises(InvalidFile) as error:
        parquet.read([local_file(path) for path in paths], paths[0].parent)
    return str(error.value)


def written(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    pq.write_table(pa.table(columns), path, **options)
    return path


def test_the_report_is_what_pandas_finds_in_the_same_file(tmp_path: Path) -> None:
    houses().to_parquet(tmp_path / "data.parquet", row_group_size=1700)
    report = reported(tmp_path / "data.parquet")
    frame = pd.read_parquet(tmp_path / "data.parquet")
    assert (report.rows, report.duplicates) == (len(frame), 7)
    assert [(column.name, column.type) for column in report.columns] == [
        ("id", "number"),
        ("price", "number"),
        ("rooms", "number"),
        ("sold", "boolean"),
        ("day", "datetime"),
        ("tax", "number"),
        ("city", "category"),
        ("text", "text"),
        ("tags", "list"),
    ]
    for column in report.columns:
        values: Any = frame[column.name]
        assert column.missing == values.isna().sum(), column.name
        if column.type == "number":
            same_figures(column, values.astype(float))
        if column.type != "list" and column.distinct_exact:
            assert column.distinct == values.nunique(), column.name
    cities = next(column for column in report.columns if column.name == "city")
    assert {(value.value, value.count) for value in cities.top or []} == set(frame["city"].value_counts().items())
    assert report.preview.rows[0][0] == "0"


def same_figures(column: Column, values: Any) -> None:
    told = (column.min, column.max, column.mean, column.std)
    assert told == pytest.approx((values.min(), values.max(), values.mean(), values.std()), rel=1e-9), column.name


def test_many_columns_are_read_a_few_after_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = houses()
    for number in range(30):
        frame[f"more.{number}"] = np.random.default_rng(number).random(len(frame))
    frame.to_parquet(tmp_path / "data.parquet", row_group_size=1700)
    plainly = reported(tmp_path / "data.parquet")
    monkeypatch.setattr(parquet_batches, "OPEN_BYTES", 0)
    monkeypatch.setattr(parquet_batches, "WINDOW_BYTES", 200_000)
    monkeypatch.setattr(parquet_batches, "BATCH_BYTES", 20_000)
    found = reported(tmp_path / "data.parquet")
    assert (found.rows, found.duplicates, found.preview) == (plainly.rows, plainly.duplicates, plainly.preview)
    for column, same in zip(found.columns, plainly.columns, strict=True):
        if column.type == "number":
            assert (column.mean, column.std) == pytest.approx((same.mean, same.std), rel=1e-12)
        if column.length and same.length:
            assert column.length.mean == pytest.approx(same.length.mean, rel=1e-12)
            column = replace(column, length=replace(column.length, mean=same.length.mean))
        assert replace(column, mean=same.mean, std=same.std) == same


def test_a_file_that_is_not_on_disk_is_read_in_order_once(tmp_path: Path) -> None:
    written(tmp_path / "data.parquet", {"n": list(range(1000))})
    data, opened = (tmp_path / "data.parquet").read_bytes(), []
    file = InputFile("data.parquet", len(data), lambda: opened.append(io.BytesIO(data)) or opened[-1])
    report = process([file], "tabular", "parquet", tmp_path)
    assert (report.rows, report.files[0].sha256) == (1000, hashlib.sha256(data).hexdigest())
    assert len(opened) == 2  # to see where it lies, and to read it
    assert opened[1].closed


def test_several_files_are_one_table_and_a_column_without_values_goes_with_any(tmp_path: Path) -> None:
    paths = [
        written(tmp_path / "a.parquet", {"n": pa.array([1, 2], pa.int32()), "t": pa.array(["x", "y"])}),
        written(tmp_path / "b.parquet", {"n": pa.array([3], pa.int64()), "t": pa.nulls(1)}),
        written(tmp_path / "c.parquet", {"n": pa.array([], pa.int64()), "t": pa.array([], pa.large_string())}),
    ]
    report = reported(*paths)
    assert report.rows == 3
    assert [(column.name, column.type, column.missing) for column in report.columns] == [
        ("n", "number", 0),
        ("t", "text", 1),
    ]
    assert [file.filename for file in report.files] == ["a.parquet", "b.parquet", "c.parquet"]


def test_a_defect_says_in_which_file_it_is(tmp_path: Path) -> None:
    good = {"tokens": pa.array([["a", "b"]]), "tags": pa.array([["O", "O"]])}
    bad = {"tokens": pa.array([["a"], ["a", "b"]]), "tags": pa.array([["O"], ["O"]])}
    report = reported(written(tmp_path / "a.parquet", good), written(tmp_path / "b.parquet", bad))
    assert [(defect.code, defect.examples) for defect in report.defects] == [("unequal_lengths", ["b.parquet row 2"])]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"n": [1], "u": ["x"]}, "b.parquet has other columns than a.parquet, see 't'"),
        ({"t": ["x"], "n": [1]}, "b.parquet has other columns than a.parquet"),
        ({"n": ["1"], "t": ["x"]}, "b.parquet: column 'n' holds string, in a.parquet it holds int64"),
    ],
)
def test_files_of_other_columns_are_refused(tmp_path: Path, columns: dict[str, Any], said: str) -> None:
    first = written(tmp_path / "a.parquet", {"n": [1], "t": ["x"]})
    assert said in refusal(first, written(tmp_path / "b.parquet", columns))


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({" ": [1]}, "column 1 has no name"),
        ({"x" * 201: [1]}, "longer than 200 characters"),
        ({"a": [b"\x00"]}, "holds binary"),
        ({"a": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64()))}, "holds map"),
        ({"a": pa.array([1], pa.duration("s"))}, "holds duration"),
    ],
)
def test_columns_that_no_training_reads_are_refused(tmp_path: Path, columns: dict[str, Any], said: str) -> None:
    assert said in refusal(written(tmp_path / "a.parquet", columns))


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    table = pa.table([pa.array([1]), pa.array([2])], ["a", "a"])
    pq.write_table(table, tmp_path / "a.parquet")
    assert "two columns 'a'" in refusal(tmp_path / "a.parquet")


@pytest.mark.parametrize("compression", ["none", "snappy", "gzip", "brotli", "lz4", "zstd"])
def test_every_compression_is_read(tmp_path: Path, compression: str) -> None:
    path = written(tmp_path / "a.parquet", {"n": list(range(1000))}, compression=compression)
    assert reported(path).columns[0].max == 999


def test_types_of_old_writers_are_read(tmp_path: Path) -> None:
    moments = [datetime.datetime(2024, 1, 2, 3, 4, 5)]
    path = written(tmp_path / "a.parquet", {"at": moments}, use_deprecated_int96_timestamps=True, version="1.0")
    assert reported(path).columns[0].type == "datetime"


def test_a_text_that_many_rows_share_is_read_a_few_rows_at_a_time(tmp_path: Path) -> None:
    long = pa.DictionaryArray.from_arrays(pa.array([0, 1] * 40, pa.int32()), pa.array(["x" * 2**20, "y"]))
    noise = np.random.default_rng(1).bytes(10_000)
    path = written(tmp_path / "a.parquet", {"t": long, "n": [noise.hex()] * 80}, store_schema=False)
    column = reported(path).columns[0]
    assert [value.count for value in column.top or []] == [40, 40]


MEASURED = """
import re, sys
from pathlib import Path
from lambdas.processing.process import process
from lambdas.processing.source import InputFile, local_file
report = process([local_file(Path(sys.argv[1]))], "tabular", "parquet", Path(sys.argv[2]))
print(report.rows, re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""


@pytest.mark.slow
@pytest.mark.parametrize("rows", [2_000_000, 8_000_000])
def test_a_row_group_of_any_size_is_read_in_little_memory(tmp_path: Path, rows: int) -> None:
    """The larger one is a row group of 1 GB."""
    path, schema = tmp_path / "a.parquet", pa.schema([(f"n{number}", pa.float64()) for number in range(16)])
    numbers = np.random.default_rng(1)
    pq.write_table(pa.table([numbers.random(rows) for _ in schema], schema=schema), path, row_group_size=rows)
    assert pq.ParquetFile(path).metadata.num_row_groups == 1
    program = [sys.executable, "-c", MEASURED, str(path), str(tmp_path)]
    done = subprocess.run(program, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3])
    count, kilobytes = map(int, done.stdout.split())
    print(f"{rows:,} rows, {path.stat().st_size >> 20} MiB in a row group: peak {kilobytes >> 10} MiB")
    assert count == rows
    assert kilobytes < 256 * 1024

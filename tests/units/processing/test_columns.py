"""Types and figures of columns, checked against numpy.  `pytest tests/units/processing/test_columns.py`"""

import json
import math
import random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambdas.processing.columns import LONG, MISSING, Moments, UntypedColumn
from lambdas.processing.report import Column, Range, ValueCount
from lambdas.processing.table import MAX_DISTINCT, Table
from training_containers.tabular.features import MISSING_TEXTS

FINITE = st.floats(-1e100, 1e100)


def column(cells: list[str], batch: int = 2**20) -> Column:
    """The figures of one column of a CSV file."""
    table = Table(untyped=True)
    for begin in range(0, len(cells), batch):
        table.add(pa.RecordBatch.from_pydict({"c": cells[begin : begin + batch]}))
    return table.report().columns[0]


@pytest.mark.parametrize(
    ("cells", "type"),
    [
        (["1", "2.5", "-3e4", " 7 "], "number"),
        (["1", "", "NA", "null", "?"], "number"),
        (["0", "1", "1"], "number"),
        (["+1", ".5", "5."], "number"),
        (["1", "two"], "text"),
        (["1_000", "2"], "text"),
        (["١", "2"], "text"),
        (["0x10", "2"], "text"),
        (["inf", "1"], "text"),
        (["1e999", "1"], "text"),
        (["true", "False", "TRUE"], "boolean"),
        (["yes", "no", ""], "boolean"),
        (["2024-01-31", "2024-02-01T10:00:00+01:00"], "datetime"),
        (["2024-01-31 10:00", "2024-02-01"], "datetime"),
        (["2024-02-30", "2024-02-01"], "text"),
        (["2024-01-31", "soon", "soon"], "category"),
        (["2024-01-31", "5"], "text"),
        (["20240131", "2024-01-31"], "text"),
        (["a", "b", "a"], "category"),
        (["a", "b", "c"], "text"),
        (["", "NA"], "text"),
        ([str(n % 21) + "x" for n in range(210)], "category"),
        ([str(n % 21) + "x" for n in range(209)], "text"),
        ([str(n % 1000) + "x" for n in range(20_000)], "category"),
        ([str(n % 1001) + "x" for n in range(20_000)], "text"),
    ],
)
def test_the_type_is_what_all_values_agree_on_however_batches_are_cut(cells: list[str], type: str) -> None:
    assert column(cells).type == type
    assert column(cells, batch=1 if len(cells) < 10 else 999).type == type
    assert column(cells[::-1], batch=1 if len(cells) < 10 else 999).type == type


def test_a_late_value_that_is_no_number_changes_the_type_for_good() -> None:
    found = column(["1"] * 5000 + ["x"] + ["1"] * 5000, batch=1000)
    assert (found.type, found.min, found.mean) == ("category", None, None)
    assert found.top == [ValueCount("1", 10_000), ValueCount("x", 1)]
    assert found.balance == 1 / 10_000


@settings(deadline=None)
@given(st.lists(st.lists(FINITE, max_size=20)))
def test_moments_of_batches_are_those_of_the_whole(batches: list[list[float]]) -> None:
    moments = Moments()
    for batch in batches:
        moments.add(np.array(batch))
    numbers = np.array([number for batch in batches for number in batch])
    found = moments.figures()
    if not len(numbers):
        assert set(found.values()) == {None}
        return
    scale = float(np.abs(numbers).max())
    assert (found["min"], found["max"]) == (numbers.min(), numbers.max())
    assert found["mean"] == pytest.approx(math.fsum(numbers) / len(numbers), rel=1e-12, abs=1e-12 * scale)
    if len(numbers) > 1:
        assert found["std"] == pytest.approx(float(np.std(numbers, ddof=1)), rel=1e-9, abs=1e-9 * scale)
    else:
        assert found["std"] is None


def test_figures_over_many_batches_are_those_of_the_whole() -> None:
    chance = random.Random(7)
    values = [chance.gauss(1e6, 3) for _ in range(100_000)]
    found = column([repr(value) for value in values] + ["", "NA"], batch=1234)
    assert found.missing == 2
    assert (found.min, found.max) == (min(values), max(values))
    assert found.mean == pytest.approx(math.fsum(values) / len(values), rel=1e-12)
    assert found.std == pytest.approx(np.std(values, ddof=1), rel=1e-9)


def test_one_number_has_no_deviation_and_huge_ones_have_no_figure_beyond_floats() -> None:
    assert column(["5"]).std is None
    for cells in (["1e308", "-1e308", "1e308"], ["1e308", "1e308", "-1e308"], ["1e308"] * 3):
        huge = column(cells)
        assert (huge.min, huge.max, huge.std) == (float(min(cells)), 1e308, None)
        assert huge.mean is None or math.isfinite(huge.mean)


def test_distinct_values_are_exact_up_to_the_cap_and_an_estimate_after() -> None:
    exact = column([f"v{n}" for n in range(MAX_DISTINCT)])
    assert (exact.distinct, exact.distinct_exact) == (MAX_DISTINCT, True)
    more = column([f"v{n // 2}" for n in range(MAX_DISTINCT * 10)], batch=10_000)
    assert more.distinct == pytest.approx(MAX_DISTINCT * 5, rel=0.03)
    assert not more.distinct_exact


def test_long_values_that_differ_only_at_the_end_are_distinct() -> None:
    found = column(["x" * 1000 + "a", "x" * 1000 + "b", "x" * 1000 + "a"])
    assert found.distinct == 2
    assert found.top is not None
    assert found.top[0] == ValueCount("x" * LONG + "…", 2)


def test_texts_are_measured_in_characters_without_the_space_around_them() -> None:
    assert column([" größe ", "日本", "\u00a0a\u2003", "", "NA", "bb"]).length == Range(1, 5, 2.5)


def test_memory_does_not_grow_with_the_values() -> None:
    small, large = UntypedColumn(100), UntypedColumn(100)
    for begin in range(0, 50_000, 5000):
        cells = pa.array([f"value {number}" for number in range(begin, begin + 5000)])
        large.add(cells)
        if not begin:
            small.add(cells)
    assert large.values.texts is small.values.texts is None
    assert len(large.values.sketch.hashes) == len(small.values.sketch.hashes) == 100


def test_what_counts_as_missing_is_what_the_trainer_leaves_out() -> None:
    assert set(MISSING_TEXTS) == set(MISSING)


@pytest.mark.parametrize("text", MISSING)
def test_a_missing_value_is_none_with_space_around_it_too(text: str) -> None:
    assert column(["a", text, f" {text}\t"]).missing == 2
    assert column(["a", text + "x", "x" + text]).missing == 0


def test_a_column_is_json_whatever_is_in_it() -> None:
    for cells in (["nan"], ["inf"], ["1e308", "-1e308"], ["\ud7ff"]):
        json.dumps(vars(column(cells)), default=vars, allow_nan=False)

"""Hashes of Arrow arrays: equal where values are, and nowhere else.  `pytest tests/units/processing/test_hashes.py`"""

import datetime
import decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambdas.processing.hashes import LONG, hashes

TEXTS = st.text("ab\0ü", max_size=30) | st.text("ab", min_size=LONG - 8, max_size=LONG + 8)
NUMBERS = st.integers(-(2**63), 2**63 - 1)


def check(values: list[Any], type: pa.DataType | None = None) -> None:
    """Two rows have one hash if their values are equal; null has 0; slices and single rows have the same hashes."""
    array = pa.array(values, type)
    found = hashes(array).tolist()
    for value, hash in zip(values, found, strict=True):
        assert (hash == 0) == (value is None)
        assert all((hash == other) == (value == same) for same, other in zip(values, found, strict=True))
    assert hashes(array[1:]).tolist() == found[1:]
    assert [int(hashes(array[row : row + 1])[0]) for row in range(len(array))] == found


@settings(deadline=None)
@given(st.lists(st.none() | TEXTS))
def test_texts(values: list[str | None]) -> None:
    check(values, pa.string())
    found = hashes(pa.array(values, pa.string())).tolist()
    for type in (pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())):
        assert hashes(pa.array(values, pa.string()).cast(type)).tolist() == found


@settings(deadline=None)
@given(st.lists(st.none() | NUMBERS))
def test_whole_numbers(values: list[int | None]) -> None:
    check(values, pa.int64())


@settings(deadline=None)
@given(st.lists(st.none() | st.floats(allow_nan=False)))
def test_floats(values: list[float | None]) -> None:
    check(values, pa.float64())


@settings(deadline=None)
@given(st.lists(st.none() | st.lists(st.none() | st.integers(0, 3), max_size=4)))
def test_lists(values: list[Any]) -> None:
    check(values, pa.list_(pa.int64()))
    assert (
        hashes(pa.array(values, pa.large_list(pa.int8()))).tolist()
        == hashes(pa.array(values, pa.list_(pa.int64()))).tolist()
    )


@settings(deadline=None)
@given(st.lists(st.none() | st.lists(st.lists(st.sampled_from(["a", "b", ""]), max_size=3), max_size=3)))
def test_lists_of_lists(values: list[Any]) -> None:
    check(values, pa.list_(pa.list_(pa.string())))


@pytest.mark.parametrize(
    "values",
    [
        [True, False, None],
        [{"a": 1, "b": "x"}, {"a": 1, "b": None}, {"a": None, "b": "x"}, None],
        [b"x", b"", None],
        [datetime.date(2024, 1, 1), datetime.date(2024, 1, 2), None],
        [datetime.datetime(2024, 1, 1), datetime.datetime(2024, 1, 1, 1), None],
        [datetime.time(1), datetime.time(2), None],
        [datetime.timedelta(1), datetime.timedelta(2), None],
        [decimal.Decimal("1.50"), decimal.Decimal("2.50"), None],
    ],
)
def test_other_types(values: list[Any]) -> None:
    check(values)


def test_a_number_is_the_same_number_in_every_type() -> None:
    expected = hashes(pa.array([1, 2, 0], pa.int64())).tolist()
    for type in (pa.int8(), pa.uint64(), pa.float32(), pa.float64()):
        assert hashes(pa.array([1, 2, 0], type)).tolist() == expected
    assert hashes(pa.array([1.0, -0.0, float("nan")])).tolist() == [expected[0], expected[2], 0]


def test_fixed_lists_and_maps() -> None:
    pairs = hashes(pa.array([[1, 2], [1, 3]], pa.list_(pa.int64(), 2)))
    assert pairs.tolist() == hashes(pa.array([[1, 2], [1, 3]])).tolist()
    maps = hashes(pa.array([[("a", 1)], [("a", 2)], [("a", 1)], []], pa.map_(pa.string(), pa.int64()))).tolist()
    assert maps[0] == maps[2]
    assert len(set(maps)) == 3

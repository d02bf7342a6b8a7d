"""Column types and figures, checked against the standard library's own.

Run: python -m pytest tests/units/test_dataset_profile.py
"""

import math
import random
import statistics
import tracemalloc
from collections.abc import Iterator

import pytest

from lambdas.common.items import to_item
from lambdas.datasets import profile as module
from lambdas.datasets.csv_file import MAX_COLUMNS, MAX_NAME_BYTES, InvalidFile
from lambdas.datasets.profile import MAX_DISTINCT, MISSING, Column, profile
from lambdas.datasets.schemas import ColumnProfile, ColumnSummary, Dataset, Summary
from training_containers.tabular.features import MISSING_TEXTS


def column(cells: list[str]) -> ColumnProfile:
    """The profile of one column."""
    _, columns, _ = profile(iter([["c"], *([cell] for cell in cells)]))
    return columns[0]


@pytest.mark.parametrize(
    ("cells", "type"),
    [
        (["1", "2.5", "-3e4", " 7 "], "number"),
        (["1", "", "NA", "null", "?"], "number"),
        (["0", "1", "1"], "number"),
        (["1", "two"], "text"),
        (["1_000", "2"], "text"),
        (["inf", "1"], "text"),
        (["true", "False", "TRUE"], "boolean"),
        (["yes", "no", ""], "boolean"),
        (["2024-01-31", "2024-02-01T10:00:00+01:00"], "datetime"),
        (["2024-01-31", "soon", "soon"], "category"),
        (["a", "b", "a"], "category"),
        (["a", "b", "c"], "text"),
        (["", "NA"], "text"),
        ([str(n % 21) + "x" for n in range(210)], "category"),
        ([str(n % 21) + "x" for n in range(209)], "text"),
        ([str(n % 1001) + "x" for n in range(20_000)], "text"),
    ],
)
def test_the_type_is_what_all_values_agree_on(cells: list[str], type: str) -> None:
    assert column(cells).type == type


def test_a_late_value_that_is_no_number_changes_the_type_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH_CHARACTERS", 1000)
    found = column(["1"] * 5000 + ["x"] + ["1"] * 5000)
    assert (found.type, found.min, found.mean) == ("category", None, None)
    assert found.top is not None
    assert [(one.value, one.count) for one in found.top] == [("1", 10_000), ("x", 1)]


def test_figures_over_many_batches_are_those_of_the_whole() -> None:
    chance = random.Random(7)
    values = [chance.gauss(1e6, 3) for _ in range(300_000)]
    found = column([repr(value) for value in values] + ["", "NA"])
    assert found.missing == 2
    assert (found.min, found.max) == (min(values), max(values))
    assert found.mean == pytest.approx(statistics.fmean(values), rel=1e-12)
    assert found.std == pytest.approx(statistics.stdev(values), rel=1e-9)


def test_one_number_has_no_deviation_and_huge_ones_have_no_figure_beyond_floats() -> None:
    assert column(["5"]).std is None
    for cells in (["1e308", "-1e308", "1e308"], ["1e308", "1e308", "-1e308"], ["1e308"] * 3):
        huge = column(cells)
        assert (huge.min, huge.max, huge.std) == (float(min(cells)), 1e308, None)
        assert huge.mean is None or math.isfinite(huge.mean)


def test_distinct_values_are_exact_up_to_the_cap_and_a_lower_bound_after() -> None:
    exact = column([f"v{n}" for n in range(MAX_DISTINCT)])
    assert (exact.distinct, exact.distinct_exact) == (MAX_DISTINCT, True)
    more = column([f"v{n}" for n in range(MAX_DISTINCT * 30)])
    assert more.distinct > MAX_DISTINCT
    assert not more.distinct_exact


def test_long_values_that_differ_only_at_the_end_are_distinct() -> None:
    assert column(["x" * 1000 + "a", "x" * 1000 + "b", "x" * 1000 + "a"]).distinct == 2


def test_a_header_alone_is_no_dataset() -> None:
    with pytest.raises(InvalidFile, match="no rows"):
        profile(iter([["a", "b"]]))


def test_the_preview_holds_the_first_rows_and_cuts_long_cells() -> None:
    _, _, preview = profile(iter([["a"], *([f"{n}" + "x" * 300] for n in range(150))]))
    assert len(preview.rows) == 100
    assert preview.rows[0][0].startswith("0x")
    assert len(preview.rows[0][0]) == 201
    _, _, wide = profile(iter([[f"c{n}" for n in range(1000)], *(["x" * 300] * 1000 for _ in range(150))]))
    assert len(wide.model_dump_json()) < 600_000


def test_memory_stays_flat_however_long_the_file_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DISTINCT_BUDGET", 10_000)
    monkeypatch.setattr(module, "BATCH_CHARACTERS", 100_000)

    def endless(count: int) -> Iterator[list[str]]:
        yield [f"c{n}" for n in range(10)]
        for number in range(count):
            yield [f"value {number} {n}" for n in range(10)]

    def peak(count: int) -> int:
        tracemalloc.start()
        profile(endless(count))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    assert peak(20_000) < 1.1 * peak(5_000)


def test_the_widest_profile_fits_the_record() -> None:
    names = [f"{n:04}".ljust(MAX_NAME_BYTES, "x") for n in range(MAX_COLUMNS)]
    big = 10**12
    columns = [ColumnSummary(name=name, type="category", missing=big, distinct=big) for name in names]
    dataset = Dataset(
        owner="o" * 39,
        id="ds-0000000000000000000",
        name="n" * 100,
        description="d" * 2000,
        type="tabular",
        format="csv",
        filename="f" * 128,
        size=big,
        tags=["t" * 40] * 20,
        key="k" * 200,
        upload_id="u" * 200,
        sha256="0" * 64,
        profile=Summary(rows=big, columns=columns),
    )
    # The wire form is larger than what DynamoDB counts.
    assert len(str(to_item(dataset))) < 400_000


def test_an_empty_batch_of_values_leaves_a_column_as_it_was() -> None:
    found = Column("c", 10)
    found.add(["", "NA"])
    found.add(["1"])
    assert (found.type(), found.missing, found.present) == ("number", 2, 1)


def test_what_counts_as_missing_is_what_the_trainer_leaves_out() -> None:
    assert set(MISSING_TEXTS) == MISSING

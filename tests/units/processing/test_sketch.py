"""The sketch that counts distinct values, against counting them.  `pytest tests/units/processing/test_sketch.py`"""

from collections import Counter
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambdas.processing.hashes import mixed
from lambdas.processing.sketch import Hashes, Sketch

Batches = list[list[int]]


def hashed(values: np.ndarray) -> Hashes:
    return mixed(values.astype(np.uint64))


def sketched(batches: Batches, k: int) -> Sketch:
    sketch = Sketch(k)
    for batch in batches:
        sketch.add(hashed(np.array(batch, np.uint64)))
    return sketch


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 60))), st.integers(61, 100))
def test_below_k_every_count_is_exact(batches: Batches, k: int) -> None:
    sketch = sketched(batches, k)
    counts = Counter(hashed(np.array([value for batch in batches for value in batch], np.uint64)).tolist())
    assert dict(zip(sketch.hashes.tolist(), sketch.counts.tolist(), strict=True)) == counts
    assert (sketch.exact, sketch.distinct()) == (True, len(counts))
    assert sketch.repeated() == sketch.total - len(counts)


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 60))), st.integers(1, 60), st.randoms())
def test_past_k_the_smallest_hashes_stay_with_exact_counts_in_any_order(
    batches: Batches, k: int, chance: Random
) -> None:
    counts = Counter(hashed(np.array([value for batch in batches for value in batch], np.uint64)).tolist())
    kept = {hash: counts[hash] for hash in sorted(counts)[:k]}
    other = list(batches)
    chance.shuffle(other)
    for order in (batches, other, [[value for batch in batches for value in batch]]):
        sketch = sketched(order, k)
        assert dict(zip(sketch.hashes.tolist(), sketch.counts.tolist(), strict=True)) == kept
        assert sketch.exact == (len(counts) <= k)


@pytest.mark.parametrize("distinct", [20_000, 100_000, 1_000_000])
def test_the_estimate_is_within_three_per_cent(distinct: int) -> None:
    chance = np.random.default_rng(distinct)
    values = np.concatenate([np.arange(distinct), chance.integers(0, distinct, distinct)])
    chance.shuffle(values)
    sketch = Sketch(16_384)
    for batch in np.array_split(values, 50):
        sketch.add(hashed(batch))
    assert not sketch.exact
    assert sketch.distinct() == pytest.approx(distinct, rel=0.03)
    assert sketch.repeated() == pytest.approx(distinct, rel=0.03)


def test_where_no_value_repeats_the_estimate_is_the_number_of_values() -> None:
    sketch = Sketch(1000)
    for begin in range(0, 100_000, 10_000):
        sketch.add(hashed(np.arange(begin, begin + 10_000)))
    assert (sketch.exact, sketch.distinct(), sketch.repeated()) == (False, 100_000, 0)

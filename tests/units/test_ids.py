"""Ids: their shape, and that they sort by time. Run: python -m pytest tests/units/test_ids.py"""

import re
import time

import pytest

from lambdas.common.ids import ID_PATTERN, Prefix, earliest_id, new_id


@pytest.mark.parametrize("prefix", ["job", "ds", "mdl", "ep"])
def test_an_id_matches_its_pattern_and_leaves_room_for_batch(prefix: Prefix) -> None:
    id = new_id(prefix)
    assert re.fullmatch(ID_PATTERN, id)
    assert len("AWSBatch") + len(id) + 32 <= 63


def test_ids_of_different_milliseconds_sort_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = []
    for milliseconds in (1, 31, 32, 33, 1_700_000_000_000, 1_700_000_000_001, 2**48 - 1):
        monkeypatch.setattr(time, "time_ns", lambda now=milliseconds: now * 1_000_000)
        ids.append(new_id("ds"))
    assert ids == sorted(ids)
    assert len({len(id) for id in ids}) == 1


def test_ids_of_the_same_millisecond_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 1_700_000_000_000_000_000)
    assert len({new_id("ds") for _ in range(1000)}) == 1000


@pytest.mark.parametrize("milliseconds", [1, 32, 1_700_000_000_000, 2**48 - 1])
def test_the_earliest_id_of_a_time_parts_earlier_ids_from_later_ones(
    milliseconds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = [milliseconds * 1_000_000]
    monkeypatch.setattr(time, "time_ns", lambda: at[0])
    then = [new_id("mdl") for _ in range(50)]
    at[0] -= 1_000_000
    before = [new_id("mdl") for _ in range(50)]
    bound = earliest_id("mdl", milliseconds)
    assert max(before) < bound <= min(then)
    assert re.fullmatch(ID_PATTERN, bound)


def test_times_that_no_id_can_have_are_the_nearest_that_one_can() -> None:
    assert earliest_id("mdl", -5) == earliest_id("mdl", 0)
    assert earliest_id("mdl", 10**18) == earliest_id("mdl", 2**48 - 1)

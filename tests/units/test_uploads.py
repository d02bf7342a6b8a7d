"""How a file is cut into parts. Run: python -m pytest tests/units/test_uploads.py"""

import pytest

from lambdas.common.uploads import MAX_PARTS, MIB, PART_BYTES, part_ranges, part_size

TIB = 1024**4
SIZES = [1, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, MAX_PARTS * PART_BYTES, MAX_PARTS * PART_BYTES + 1, 40 * TIB]


@pytest.mark.parametrize("size", SIZES)
def test_parts_cover_the_file_without_gap_or_overlap_within_s3s_limits(size: int) -> None:
    parts = part_ranges(size)
    assert len(parts) <= MAX_PARTS
    assert [number for number, _, _ in parts] == list(range(1, len(parts) + 1))
    end = 0
    for _, offset, length in parts:
        assert offset == end
        end += length
    assert end == size
    assert all(5 * MIB <= length <= 5 * 1024 * MIB for _, _, length in parts[:-1])
    assert 0 < parts[-1][2] <= part_size(size)


def test_an_empty_file_is_one_empty_part() -> None:
    assert part_ranges(0) == [(1, 0, 0)]

"""Cursors: what goes in comes out, and nothing else is taken. Run: python -m pytest tests/units/test_pages.py"""

import pytest

from lambdas.common.errors import BadRequest
from lambdas.common.pages import decode_cursor, encode_cursor


@pytest.mark.parametrize("sort_key", ["ds-01k9zc3v8m4qj2r7xw0", "a", "ab", "abc", "job-1#00000001", "ü?&/+"])
def test_a_cursor_comes_back_and_needs_no_quoting_in_a_url(sort_key: str) -> None:
    cursor = encode_cursor(sort_key)
    assert decode_cursor(cursor) == sort_key
    assert cursor.replace("-", "").replace("_", "").isalnum()


@pytest.mark.parametrize("cursor", ["***", "a", "/w==", "_w", "ds 1"])
def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(BadRequest) as refused:
        decode_cursor(cursor)
    assert refused.value.errors == [{"field": "cursor", "message": "not a cursor"}]

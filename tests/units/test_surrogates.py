"""Half of a surrogate pair in a body, however it is written.  `pytest tests/units/test_surrogates.py`"""

import pytest

from lambdas.common.surrogates import MESSAGE, problem_of

HALVES = {
    "escaped": b'{"a": "\\ud83d"}',
    "escaped, the second half": b'{"a": "\\uDE00"}',
    "the halves in the wrong order": b'{"a": "\\ude00\\ud83d"}',
    "encoded as if it were a character": b'{"a": "\xed\xa0\xbd"}',
    "in UTF-16": '{"a": "\ud83d"}'.encode("utf-16-le", "surrogatepass"),
    "in UTF-32": '{"a": "\ud83d"}'.encode("utf-32-be", "surrogatepass"),
    "deep inside": b'{"a": [1, {"b": [["\\ud83d"]]}]}',
    "in a name": b'{"a": {"\\ud83d": 1}}',
}
WHOLE = {
    "empty": b"",
    "a pair, escaped": b'{"a": "\\ud83d\\ude00"}',
    "a pair, encoded": '{"a": "\N{GRINNING FACE}"}'.encode(),
    "the escape, escaped": b'{"a": "\\\\ud83d"}',
    "in UTF-16": '{"a": "\N{GRINNING FACE}"}'.encode("utf-16"),
    "a text that is no JSON": b"a,b\n\\ud83d,\\ud83d\n",
    "a form": b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n\\ud83d\r\n--x--\r\n',
    "an image": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\xed\xa0\xbd",
    "too deep to read": b'{"a": ' * 100_000 + b'"\\ud83d"' + b"}" * 100_000,
}


@pytest.mark.parametrize("body", HALVES.values(), ids=HALVES)
def test_half_a_character_is_refused_and_its_field_named(body: bytes) -> None:
    problem = problem_of(body)
    assert problem is not None
    assert problem.detail.startswith("The a holds half a character")
    assert [error["field"] for error in problem.errors or []] == ["a"]


@pytest.mark.parametrize("body", WHOLE.values(), ids=WHOLE)
def test_any_other_body_is_left_to_who_reads_it(body: bytes) -> None:
    assert problem_of(body) is None


def test_fields_with_half_a_name_and_bodies_without_fields_are_named_as_can_be() -> None:
    for body, field in ((b'{"\\ud83d": 1}', "?"), (b'["\\ud83d"]', "body"), (b'"\\ud83d"', "body")):
        problem = problem_of(body)
        assert problem is not None and problem.errors == [{"field": field, "message": MESSAGE}]

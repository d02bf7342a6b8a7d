"""CloudWatch Logs patterns on the local platform.  `pytest tests/units/test_log_patterns.py`"""

import pytest

from local.log_patterns import matches

REFUSED = '{ $.error != "-" }'
STAGE = '{ $.slipway = "local" }'


@pytest.mark.parametrize(
    ("pattern", "message", "found"),
    [
        (STAGE, '{"slipway": "local", "percent": 3}', True),
        (STAGE, '{"slipway": "dev"}', False),
        (STAGE, '{"other": "local"}', False),
        (STAGE, '["slipway", "local"]', False),
        (STAGE, "slipway local", False),
        ("{$.a.b=3}", '{"a": {"b": 3}}', True),
        (REFUSED, '{"error": "UNAUTHORIZED"}', True),
        (REFUSED, '{"error": "-"}', False),
        (REFUSED, '{"other": 1}', False),
        (REFUSED, "text", False),
        ("", "anything", True),
        ("ERROR job", "job: ERROR", True),
        ("ERROR job", "job: fine", False),
    ],
)
def test_pattern_selects_what_aws_selects(pattern: str, message: str, found: bool) -> None:
    assert matches(pattern, message) is found


def test_unknown_patterns_are_refused_rather_than_guessed() -> None:
    with pytest.raises(ValueError, match="no such filter pattern"):
        matches("{ $.a > 3 && $.b = 1 }", "{}")

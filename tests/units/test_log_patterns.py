"""CloudWatch Logs patterns on the local platform.  `pytest tests/units/test_log_patterns.py`"""

import pytest

from local.log_patterns import compiled

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
        ("{$.a.b=3}", '{"a": {"b": true}}', False),
        (REFUSED, '{"error": "UNAUTHORIZED"}', True),
        (REFUSED, '{"error": "-"}', False),
        (REFUSED, '{"status": "200"}', False),
        (REFUSED, '{"error": ["-"]}', False),
        (REFUSED, "START RequestId: 1", False),
        ("{ $.status != 200 }", '{"status": 404}', True),
        ("{ $.status != 200 }", '{"status": 200}', False),
        ('{ $.error = "INTEGRATION_*" }', '{"error": "INTEGRATION_TIMEOUT"}', True),
        ('{ $.error = "INTEGRATION_*" }', '{"error": "UNAUTHORIZED"}', False),
        ('{ $.error = "*" }', '{"error": "any"}', True),
        ('{ $.error = "*" }', "{}", False),
        ("{ $.error NOT EXISTS }", '{"status": 404}', True),
        ("{ $.error NOT EXISTS }", '{"error": null}', False),
        ("{ $.error IS NULL }", '{"error": null}', True),
        ("{ $.error IS NULL }", "{}", False),
        ("{ $.done IS TRUE }", '{"done": true}', True),
        ("{ $.done IS FALSE }", '{"done": 0}', False),
        ("", "anything", True),
        ("ERROR job", "job: ERROR", True),
        ("ERROR job", "job: fine", False),
    ],
)
def test_pattern_selects_what_aws_selects(pattern: str, message: str, found: bool) -> None:
    assert compiled(pattern)(message) is found


def test_unknown_patterns_are_refused_rather_than_guessed() -> None:
    with pytest.raises(ValueError, match="no such filter pattern"):
        compiled("{ $.a > 3 && $.b = 1 }")("{}")

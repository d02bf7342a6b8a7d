"""Filter patterns of CloudWatch Logs, as far as the platform uses them: bare terms and fields, `=` or `!=`."""

import json
import re

FIELD = re.compile(
    r'^\{\s*\$\.(?P<path>[\w.]+)\s*(?P<differs>!)?=\s*(?:"(?P<text>[^"]*)"|(?P<number>-?\d+(?:\.\d+)?))\s*\}$'
)


def matches(pattern: str, message: str) -> bool:
    """Return whether a log event's message matches; raises ValueError for a pattern we do not know.

    Source: "Filter pattern syntax" in the CloudWatch Logs user guide. An event that is not JSON never matches
    a pattern over fields.
    """
    pattern = pattern.strip()
    if not pattern.startswith("{"):
        return all(term in message for term in pattern.split())
    wanted = FIELD.match(pattern)
    if wanted is None:
        raise ValueError(f"The local platform knows no such filter pattern: {pattern}")
    try:
        value = json.loads(message)
        for name in wanted["path"].split("."):
            value = value[name]
    except (ValueError, KeyError, TypeError):
        return False
    equal = value == wanted["text"] if wanted["number"] is None else value == float(wanted["number"])
    return equal != bool(wanted["differs"])

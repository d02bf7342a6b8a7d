"""Filter patterns of CloudWatch Logs, as far as the platform uses them: bare terms, and one condition on a field."""

import fnmatch
import functools
import json
import re
from collections.abc import Callable
from typing import Any

CONDITION = re.compile(
    r"""^\{\s*\$\.(?P<path>[\w.-]+)\s*
        (?: (?P<operator>!?=)\s*(?:"(?P<text>[^"]*)"|(?P<number>-?\d+(?:\.\d+)?))
          | (?P<word>NOT\s+EXISTS|IS\s+NULL|IS\s+TRUE|IS\s+FALSE)
        )\s*\}$""",
    re.VERBOSE,
)
ABSENT = object()
WORDS: dict[str, Callable[[Any], bool]] = {
    "NOT EXISTS": lambda value: value is ABSENT,
    "IS NULL": lambda value: value is None,
    "IS TRUE": lambda value: value is True,
    "IS FALSE": lambda value: value is False,
}


@functools.lru_cache(maxsize=256)
def compiled(pattern: str) -> Callable[[str], bool]:
    """Return the pattern as a function of a message; raises ValueError for a pattern we do not know.

    Source: "Filter pattern syntax" in the CloudWatch Logs user guide. An event that is not JSON never matches
    a pattern over fields; `=` and `!=` match only where the field is a text or a number, so never where it is absent.
    """
    pattern = pattern.strip()
    if not pattern.startswith("{"):
        terms = pattern.split()
        return lambda message: all(term in message for term in terms)
    wanted = CONDITION.match(pattern)
    if wanted is None:
        raise ValueError(f"The local platform knows no such filter pattern: {pattern}")
    path, holds = wanted["path"].split("."), condition(wanted)

    def found(message: str) -> bool:
        if not message.startswith("{"):
            return False
        try:
            event = json.loads(message)
        except ValueError:
            return False
        return holds(field(event, path))

    return found


def condition(wanted: re.Match[str]) -> Callable[[Any], bool]:
    """Return what a pattern asks of its field's value."""
    if wanted["word"]:
        return WORDS[" ".join(wanted["word"].split())]
    equal = wanted["operator"] == "="
    if wanted["number"] is not None:
        number = float(wanted["number"])
        return lambda value: type(value) in (int, float) and (value == number) is equal
    like = re.compile(fnmatch.translate(re.sub(r"([\[?])", r"[\1]", wanted["text"])))  # `*` alone stands for any text
    return lambda value: type(value) in (str, int, float) and bool(like.match(str(value))) is equal


def field(event: Any, path: list[str]) -> Any:
    """Return the value at the path, ABSENT when there is none."""
    for name in path:
        if not isinstance(event, dict) or name not in event:
            return ABSENT
        event = event[name]
    return event

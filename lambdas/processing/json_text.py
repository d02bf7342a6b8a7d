"""Parses one JSON value out of a text, strictly: no key twice, no NaN, neither too deep nor too much of it."""

import json
from collections import Counter
from typing import Any, NoReturn

MAX_DEPTH = 100
MAX_VALUES = 500_000  # of one row: more may not fit into memory
SHORT = 1_000_000  # characters that are not counted: what they hold always fits
TOO_DEEP = f"is nested deeper than {MAX_DEPTH} levels: flatten it"


class Unreadable(Exception):
    """Text that is no JSON we take; the message goes on after `Line 7`."""


class Malformed(Unreadable):
    """Text that is no JSON from the character `at` on, or whose end is missing."""

    def __init__(self, message: str, at: int) -> None:
        super().__init__(message)
        self.at = at


def parse(text: str, start: int = 0) -> tuple[Any, int]:
    """Return the value that begins at a character of a text, and the character after it; raises Unreadable."""
    try:
        value, end = DECODER.raw_decode(text, start)
    except json.JSONDecodeError as error:
        raise Malformed(f"is not valid JSON: {error.msg}", error.pos) from error
    except RecursionError as error:
        raise Unreadable(TOO_DEEP) from error
    except ValueError as error:  # Python reads no number of so many digits
        raise Unreadable("has a whole number of more than 4,300 digits: write it as text") from error
    if text.count("[", start, end) + text.count("{", start, end) > MAX_DEPTH and depth(value) > MAX_DEPTH:
        raise Unreadable(TOO_DEEP)
    return value, end


def refuse_many_values(text: str, start: int = 0) -> None:
    """Raise Unreadable when the text from a character on may hold more than MAX_VALUES values."""
    if len(text) - start > SHORT and sum(text.count(mark, start) for mark in ",[{") > MAX_VALUES:
        raise Unreadable(f"has more than {MAX_VALUES:,} values: make several rows of it")


def depth(value: Any) -> int:
    """Return how many objects and lists lie in each other."""
    levels, level = 0, [value]
    while level := [item for item in level if isinstance(item, dict | list)]:
        levels += 1
        level = [child for item in level for child in (item.values() if isinstance(item, dict) else item)]
    return levels


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of its keys and values; raises Unreadable when a key is there twice."""
    row = dict(pairs)
    if len(row) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise Unreadable(f"has the key {twice[:100]!a} twice: give every value its own key")
    return row


def refuse_constant(name: str) -> NoReturn:
    """Raise Unreadable for NaN, Infinity and -Infinity, which Python's parser would take."""
    raise Unreadable(f"has {name}, which JSON does not know: write null where there is no number")


DECODER = json.JSONDecoder(object_pairs_hook=unique, parse_constant=refuse_constant)

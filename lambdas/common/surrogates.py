"""Half of a surrogate pair in a JSON body: Python reads it, and no record, file or answer can carry it.

JSON may spell one (`"\\ud83d"`), and a text cut in the middle of an emoji has one.
"""

import json
import re
from typing import Any

from lambdas.common.errors import BadRequest, FieldError

# An escape, a half encoded as if it were a character, or UTF-16 and UTF-32, which Python's json reads, too.
SUSPECT = re.compile(rb"\\u[dD][89a-fA-F]|\xed[\xa0-\xbf]|\0")
MESSAGE = "holds half a character (of a surrogate pair, such as \\ud83d), which UTF-8 cannot carry; send whole ones"


def problem_of(body: bytes) -> BadRequest | None:
    """Return the refusal of a body with half a character in it, which names its fields; None for any other body."""
    if not SUSPECT.search(body):
        return None
    try:
        given: Any = json.loads(body)
        fields = given if isinstance(given, dict) else {"body": given}
        wrong = [shown(name) for name, value in fields.items() if not is_whole({name: value})]
    except (ValueError, RecursionError):
        return None  # no JSON, or too deep: who reads it says so
    errors: list[FieldError] = [{"field": field, "message": MESSAGE} for field in wrong]
    return BadRequest(f"The {wrong[0]} {MESSAGE}.", errors=errors) if wrong else None


def is_whole(value: object) -> bool:
    """Return whether all text in a JSON value can be written as UTF-8."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def shown(name: str) -> str:
    """Return a field's name as an answer can carry it."""
    return name.encode(errors="replace").decode()

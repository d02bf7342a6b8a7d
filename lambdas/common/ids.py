"""Identifiers: a short prefix and 19 characters that sort by time of creation."""

import hashlib
import secrets
import time
from typing import Literal

Prefix = Literal["job", "ds", "mdl", "ep", "scr", "inf", "reg", "sch"]

CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
TIME_CHARACTERS = 10  # 48 bits of milliseconds, as in a ULID
RANDOM_CHARACTERS = 9

ID_PATTERN = r"^(job|ds|mdl|ep|scr|inf|reg|sch)-[0-9a-hjkmnp-tv-z]{19}$"


def new_id(prefix: Prefix) -> str:
    """Return e.g. `job-01k9zc3v8m4qj2r7xw0`: at most 23 characters, so that `AWSBatch` + id + 32 hex
    digits is the 63 that SageMaker allows a training job's name."""
    milliseconds = time.time_ns() // 1_000_000
    return f"{prefix}-{_encode(milliseconds, TIME_CHARACTERS)}{_encode(secrets.randbits(45), RANDOM_CHARACTERS)}"


def derived_id(prefix: Prefix, milliseconds: int, source: str) -> str:
    """Return the one id that a source has at that time of the epoch: made again, it is the same."""
    digest = int.from_bytes(hashlib.sha256(source.encode()).digest()[:6], "big") % 2**45
    return f"{prefix}-{_encode(milliseconds, TIME_CHARACTERS)}{_encode(digest, RANDOM_CHARACTERS)}"


def earliest_id(prefix: Prefix, milliseconds: int) -> str:
    """Return what sorts before every id made at that time of the epoch or later, and after every earlier one."""
    within = min(max(milliseconds, 0), 2**48 - 1)
    return f"{prefix}-{_encode(within, TIME_CHARACTERS)}{_encode(0, RANDOM_CHARACTERS)}"


def _encode(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, remainder = divmod(number, 32)
        digits.append(CROCKFORD[remainder])
    return "".join(reversed(digits))

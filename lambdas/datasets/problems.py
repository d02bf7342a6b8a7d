"""What stands between a dataset and a training, in sentences a data scientist can act on, and the words they share."""

from collections.abc import Iterable

from pydantic import BaseModel

MOST_NAMES = 20
LONGEST_NAME = 60


class Problem(BaseModel):
    """`message` says what is wrong, with numbers and first places; `fix` what to change."""

    code: str
    message: str
    fix: str


def quoted(name: str) -> str:
    """Return a stranger's name in quotation marks, on one line and cut."""
    return repr(name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 3] + "...")


def listed(names: Iterable[str]) -> str:
    """Return names in quotation marks, the first ones only, or `none`."""
    names = list(names)
    rest = len(names) - MOST_NAMES
    shown = ", ".join(quoted(name) for name in names[:MOST_NAMES])
    return f"{shown} and {rest:,} more" if rest > 0 else shown or "none"


def either(words: Iterable[str]) -> str:
    """Return e.g. `csv`, `csv or json`, `csv, json or parquet`."""
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last


def counted(count: int, one: str, many: str | None = None) -> str:
    """Return e.g. `1 row`, `2,000 rows`, `2 classes`."""
    return f"1 {one}" if count == 1 else f"{count:,} {many or one + 's'}"

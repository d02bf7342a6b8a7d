"""What an operator reads and answers: one sentence per error, one question before anything is changed."""

import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from botocore.exceptions import BotoCoreError, ClientError


class OperationError(Exception):
    """Something the person at the keyboard can act on: one sentence, with the command to run next."""


def run(main: Callable[[Sequence[str]], int]) -> NoReturn:
    """Run a command on the process's own arguments and exit with its status; what AWS or we refuse is one line."""
    try:
        status = main(sys.argv[1:])
    except OperationError as error:
        sys.exit(str(error))
    except (BotoCoreError, ClientError) as error:
        sys.exit(f"AWS answered: {error}")
    sys.exit(status)


def agreed_beforehand() -> bool:
    """Whether the command was run with YES=1."""
    return os.environ.get("YES") == "1"


def confirmed(question: str) -> bool:
    """Ask `question`; YES=1 answers it. Raises OperationError when nobody is there to answer."""
    if agreed_beforehand():
        return True
    if not sys.stdin.isatty():
        raise OperationError(f"{question} There is no terminal to answer on; run again with YES=1 to agree.")
    return input(f"{question} [y/N] ").strip().lower() in {"y", "yes"}


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return the rows as text in aligned columns; the last column is not padded."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)] if rows else []
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]) for row in rows
    )

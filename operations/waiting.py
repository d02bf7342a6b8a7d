"""Wait for a condition, never for a time."""

import time
from collections.abc import Callable

from operations.terminal import OperationError


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 1800, pause: float = 2) -> None:
    """Return once `condition` holds, asking every `pause` seconds; raises OperationError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise OperationError(f"Waited {seconds / 60:.0f} minutes for {what}; run the command again to go on.")
        time.sleep(pause)

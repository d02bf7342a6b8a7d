"""The settings a function is deployed with, read from its environment variables when they are needed.

stacks/functions.py sets them; a missing one is a deployment error and says so.
"""

import json
import os
from typing import Any


def variable(name: str) -> str:
    """Return the variable `name`; raises RuntimeError when the function was deployed without it."""
    value = os.environ.get(name)
    if value is None:
        raise RuntimeError(f"The function {os.environ.get('POWERTOOLS_SERVICE_NAME')} was deployed without {name}.")
    return value


def optional(name: str) -> str | None:
    """Return the variable `name`, or None when it is absent or empty."""
    return os.environ.get(name) or None


def mapping(name: str) -> dict[str, Any]:
    """Return the JSON object in the variable `name`."""
    return json.loads(variable(name))

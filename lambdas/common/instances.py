"""Which instances may be asked for: those of the stage, and no others, for what they cost."""

from typing import Annotated

from pydantic import StringConstraints

from lambdas.common.environment import mapping
from lambdas.common.errors import BadRequest

InstanceType = Annotated[str, StringConstraints(pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9]+$")]


def allowed_instance_type(wanted: str | None) -> str:
    """Return the instance type to use, the stage's first one for None; raises BadRequest naming those there are."""
    allowed = mapping("INSTANCE_TYPES")
    if wanted is None:
        return next(iter(allowed))
    if wanted not in allowed:
        message = f"This platform has {', '.join(allowed)}; ask its admin for more."
        raise BadRequest(message, errors=[{"field": "instance_type", "message": message}])
    return wanted

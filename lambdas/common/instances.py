"""Which instances may be asked for: those of the stage, and no others, for what they cost."""

import json
import re
from typing import Annotated

from pydantic import StringConstraints

from lambdas.common.environment import mapping, variable
from lambdas.common.errors import BadRequest
from lambdas.common.identity import Caller

InstanceType = Annotated[str, StringConstraints(pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9]+$")]


def has_gpu(instance_type: str) -> bool:
    """Return whether an instance type has NVIDIA GPUs: SageMaker's families g and p do."""
    return re.match(r"ml\.[gp]\d", instance_type) is not None


def image_for(images: dict[str, str], family: str, instance_type: str) -> str:
    """Return a family's image for an instance type: its own for GPUs where it has one."""
    for_gpus = images.get(f"{family}-gpu")
    return for_gpus if for_gpus and has_gpu(instance_type) else images[family]


def allowed_instance_type(wanted: str | None, caller: Caller, field: str = "instance_type") -> str:
    """Return the instance type to use, the first one that the caller may have for None; raises BadRequest naming those.

    Members may be limited to some of the stage's types; admins have all.
    """
    limited = [] if caller.is_admin else json.loads(variable("MEMBER_INSTANCE_TYPES"))
    allowed = [name for name in mapping("INSTANCE_TYPES") if not limited or name in limited]
    if wanted is None:
        return allowed[0]
    if wanted not in allowed:
        message = f"This platform has {', '.join(allowed)} for you; ask its admin for more."
        raise BadRequest(message, errors=[{"field": field, "message": message}])
    return wanted

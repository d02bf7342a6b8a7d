"""Which instances may be asked for: those of the stage, and no others, for what they cost."""

import re
from typing import Annotated

from pydantic import StringConstraints

from lambdas.common.environment import mapping
from lambdas.common.errors import BadRequest

InstanceType = Annotated[str, StringConstraints(pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9]+$")]


def has_gpu(instance_type: str) -> bool:
    """Return whether an instance type has NVIDIA GPUs: SageMaker's families g and p do."""
    return re.match(r"ml\.[gp]\d", instance_type) is not None


def image_for(images: dict[str, str], family: str, instance_type: str) -> str:
    """Return a family's image for an instance type: its own for GPUs where it has one."""
    for_gpus = images.get(f"{family}-gpu")
    return for_gpus if for_gpus and has_gpu(instance_type) else images[family]


def allowed_instance_type(wanted: str | None) -> str:
    """Return the instance type to use, the stage's first one for None; raises BadRequest naming those there are."""
    allowed = mapping("INSTANCE_TYPES")
    if wanted is None:
        return next(iter(allowed))
    if wanted not in allowed:
        message = f"This platform has {', '.join(allowed)}; ask its admin for more."
        raise BadRequest(message, errors=[{"field": "instance_type", "message": message}])
    return wanted

"""CloudFormation's Batch types, which MiniStack lacks, over our Batch."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

BATCH_TYPES = {  # type -> our Batch's noun, the attribute with the ARN, the name property
    "AWS::Batch::ServiceEnvironment": ("service_environment", "ServiceEnvironmentArn", "ServiceEnvironmentName"),
    "AWS::Batch::SchedulingPolicy": ("scheduling_policy", "Arn", "Name"),
    "AWS::Batch::JobQueue": ("job_queue", "JobQueueArn", "JobQueueName"),
}


def handlers(batch: Any) -> dict[str, dict[str, Callable[..., Any]]]:
    """MiniStack's create, update and delete functions of each type. A resource's physical id is its ARN."""
    return {kind: batch_handlers(batch, *details) for kind, details in BATCH_TYPES.items()}


def batch_handlers(batch: Any, noun: str, attribute: str, name: str) -> dict[str, Callable[..., Any]]:
    """The three functions of one noun of our Batch."""

    def create(logical_id: str, props: dict[str, Any], stack_name: str) -> tuple[str, dict[str, str]]:
        generated = f"{stack_name}-{logical_id}-{uuid.uuid4().hex[:12]}"
        arn = getattr(batch, f"create_{noun}")({name: generated, **props})
        return arn, {attribute: arn}

    def update(arn: str, old_props: dict, new_props: dict, stack_name: str) -> tuple[str, dict[str, str]]:
        getattr(batch, f"update_{noun}")(arn, new_props)
        return arn, {attribute: arn}

    def delete(arn: str, props: dict[str, Any]) -> None:
        getattr(batch, f"delete_{noun}")(arn)

    return {"create": create, "update": update, "delete": delete}

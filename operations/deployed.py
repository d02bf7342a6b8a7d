"""What CloudFormation says is deployed for a stage: its two stacks, their resources and their outputs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from operations.account import Account
from operations.terminal import OperationError
from operations.waiting import wait_until


@dataclass(frozen=True)
class Resource:
    """One resource of a stack."""

    type: str  # for instance AWS::S3::Bucket
    logical_id: str
    physical_id: str


def data_stack(stage: str) -> str:
    """Return the name of the stack that holds what people made: tables, buckets, the user pool."""
    return f"slipway-{stage}-data"


def platform_stack(stage: str) -> str:
    """Return the name of the stack that holds everything else."""
    return f"slipway-{stage}-platform"


def find_stack(account: Account, name: str) -> dict[str, Any] | None:
    """Return the stack as DescribeStacks shows it, or None when there is none."""
    try:
        return account.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise


def resources_of(account: Account, stack: str) -> list[Resource]:
    """Return the stack's resources that exist."""
    pages = account.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack)
    return [
        Resource(row["ResourceType"], row["LogicalResourceId"], row["PhysicalResourceId"])
        for page in pages
        for row in page["StackResourceSummaries"]
        if row.get("PhysicalResourceId") and row["ResourceStatus"] != "DELETE_COMPLETE"
    ]


def physical_ids(resources: Sequence[Resource], resource_type: str) -> list[str]:
    """Return the physical ids of the resources of one type."""
    return [resource.physical_id for resource in resources if resource.type == resource_type]


def retained_of(account: Account, stack: str) -> list[Resource]:
    """Return the resources that stay when the stack is deleted."""
    template = account.client("cloudformation").get_template(StackName=stack)["TemplateBody"]
    policies = {name: resource.get("DeletionPolicy", "Delete") for name, resource in template["Resources"].items()}
    return [one for one in resources_of(account, stack) if policies[one.logical_id].startswith("Retain")]


def delete_stack(account: Account, name: str) -> None:
    """Delete a stack and wait until it is gone; raises OperationError, naming the resources that would not go."""
    client = account.client("cloudformation")
    client.delete_stack(StackName=name)

    def gone() -> bool:
        stack = find_stack(account, name)
        if stack is not None and stack["StackStatus"] == "DELETE_FAILED":
            raise OperationError(f"{name} could not be deleted: {stack.get('StackStatusReason')} Then run this again.")
        return stack is None or stack["StackStatus"] == "DELETE_COMPLETE"

    wait_until(gone, f"{name} to be deleted", seconds=3600)


def flat_outputs(stage: str, region: str, stacks: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Return one flat object of the stacks' outputs; `ApiUrl` has no trailing slash."""
    outputs = {
        output["OutputKey"]: output["OutputValue"]
        for stack in stacks
        for output in stack.get("Outputs", [])
        if not output["OutputKey"].startswith("ExportsOutput")
    }
    if "ApiUrl" in outputs:
        outputs["ApiUrl"] = outputs["ApiUrl"].rstrip("/")
    return {**outputs, "Stage": stage, "Region": region}


def outputs_of(account: Account, stage: str) -> dict[str, str]:
    """Return the stage's outputs; raises OperationError when it is not deployed in this account and region."""
    stacks = [find_stack(account, name(stage)) for name in (data_stack, platform_stack)]
    found = [stack for stack in stacks if stack is not None]
    if len(found) < len(stacks):
        raise OperationError(
            f"Stage {stage} is not deployed in {account.id} {account.region}; run `make deploy STAGE={stage}`."
        )
    return flat_outputs(stage, account.region, found)

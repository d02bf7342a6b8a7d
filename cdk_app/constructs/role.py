"""A role with all its permissions in one place, and none added later."""

from collections.abc import Mapping, Sequence
from typing import Any

from aws_cdk import aws_iam as iam
from constructs import Construct


class Role(iam.Role):
    """What a service (`lambda.amazonaws.com`; None: the account's own people) may do: the statements, nothing else."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        service: str | None,
        statements: Sequence[iam.PolicyStatement],
        conditions: Mapping[str, Any] | None = None,
    ) -> None:
        principal = iam.ServicePrincipal(service, conditions=conditions) if service else iam.AccountRootPrincipal()
        super().__init__(
            scope,
            id,
            assumed_by=principal,  # pyright: ignore[reportArgumentType]  jsii names the interface's parameters differently
            inline_policies={"grants": iam.PolicyDocument(statements=statements)},
        )

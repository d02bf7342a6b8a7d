"""One Lambda function: its own role with exactly its grants, and its own log group."""

from collections.abc import Mapping, Sequence

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from cdk_app.constructs.acknowledge import acknowledge
from cdk_app.constructs.log_group import LogGroup
from cdk_app.constructs.role import Role
from cdk_app.settings import Settings


class Function(lambda_.Function):
    """A function of the bundle; `memory` and `disk` (its /tmp) in MiB, `timeout` in seconds."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        settings: Settings,
        code: lambda_.Code,
        handler: str,
        environment: Mapping[str, str],
        statements: Sequence[iam.PolicyStatement],
        memory: int = 512,
        timeout: int = 29,
        disk: int = 512,
    ) -> None:
        log_group = LogGroup(scope, f"{id}Logs", settings=settings)
        write_logs = iam.PolicyStatement(
            actions=["logs:CreateLogStream", "logs:PutLogEvents"], resources=[log_group.log_group_arn]
        )
        role = Role(scope, f"{id}Role", service="lambda.amazonaws.com", statements=[write_logs, *statements])
        super().__init__(
            scope,
            id,
            runtime=lambda_.Runtime.PYTHON_3_13,
            architecture=lambda_.Architecture.ARM_64,
            code=code,
            handler=handler,
            environment=dict(environment),
            memory_size=memory,
            timeout=cdk.Duration.seconds(timeout),
            # None: the least, and what there is without the property.
            ephemeral_storage_size=cdk.Size.mebibytes(disk) if disk > 512 else None,
            # Immutable: every permission is in the grants above, none is added behind the reader's back.
            role=role.without_policy_updates(),
            log_group=log_group,
        )
        self.own_role = role
        acknowledge(self, {"L1": "The code is built and checked for Python 3.13; the runtime moves when that does."})

    def keep_failures(self, queue_arn: str) -> None:
        """Keep in a queue what an asynchronous call failed at three times; the role must be allowed to send there."""
        lambda_.CfnEventInvokeConfig(
            self,
            "Failures",
            function_name=self.function_name,
            qualifier="$LATEST",
            maximum_retry_attempts=2,
            destination_config=lambda_.CfnEventInvokeConfig.DestinationConfigProperty(
                on_failure=lambda_.CfnEventInvokeConfig.OnFailureProperty(destination=queue_arn)
            ),
        )

"""A Step Functions workflow from its ASL file, with a role that may call its own functions only."""

import json
from collections.abc import Mapping
from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from cdk_app.constructs.acknowledge import acknowledge
from cdk_app.constructs.log_group import LogGroup
from cdk_app.constructs.role import Role
from cdk_app.settings import Settings

# Log delivery and tracing have no resource types: IAM takes `*` only.
DELIVER_LOGS = [
    "logs:CreateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:DescribeLogGroups",
    "logs:DescribeResourcePolicies",
    "logs:GetLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:UpdateLogDelivery",
]
TRACE = ["xray:GetSamplingRules", "xray:GetSamplingTargets", "xray:PutTelemetryRecords", "xray:PutTraceSegments"]


class StateMachine(Construct):
    """A standard workflow; `functions` fills the `${Name}` of the ASL file with the ARN of each function."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        settings: Settings,
        definition: Path,
        functions: Mapping[str, lambda_.Function],
    ) -> None:
        super().__init__(scope, id)
        # A name under /aws/vendedlogs/ is covered by one account-wide policy; others fill that policy until it is full.
        log_name = f"/aws/vendedlogs/states/slipway-{settings.stage}/{id}"
        log_group = LogGroup(self, "Logs", settings=settings, name=log_name)
        arns = [function.function_arn for function in functions.values()]
        statements = [
            iam.PolicyStatement(actions=["lambda:InvokeFunction"], resources=arns),
            iam.PolicyStatement(actions=[*DELIVER_LOGS, *TRACE], resources=["*"]),
        ]
        role = Role(self, "Role", service="states.amazonaws.com", statements=statements)
        acknowledge(
            role, {"IAM5[Resource::*]": "Log delivery and tracing have no resource types in IAM: `*` is the only form."}
        )
        machine = sfn.CfnStateMachine(
            self,
            "Machine",
            definition_string=json.dumps(json.loads(definition.read_text())),
            definition_substitutions={name: function.function_arn for name, function in functions.items()},
            role_arn=role.role_arn,
            logging_configuration=sfn.CfnStateMachine.LoggingConfigurationProperty(
                level="ALL",
                include_execution_data=False,
                destinations=[
                    sfn.CfnStateMachine.LogDestinationProperty(
                        cloud_watch_logs_log_group=sfn.CfnStateMachine.CloudWatchLogsLogGroupProperty(
                            log_group_arn=log_group.log_group_arn
                        )
                    )
                ],
            ),
            tracing_configuration=sfn.CfnStateMachine.TracingConfigurationProperty(enabled=True),
        )
        self.arn = machine.ref
        self.executions_arn = cdk.Stack.of(self).format_arn(
            service="states",
            resource="execution",
            resource_name=f"{machine.attr_name}:*",
            arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
        )

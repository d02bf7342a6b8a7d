"""What is counted for GET /metrics: every request's log line, brought to one function by log subscriptions."""

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from cdk_app.constructs.rest_api import RestApi
from cdk_app.settings import Settings
from stacks.api import PUBLIC_ROUTES, ROUTES
from stacks.functions import Functions

ANSWERED = '{ $.message = "request" }'  # what each function of the API writes per request
REFUSED = '{ $.error != "-" }'  # API Gateway's lines of requests that no function answered


class Counting(Construct):
    """The function that counts, and what brings it lines."""

    def __init__(self, scope: Construct, id: str, *, settings: Settings, functions: Functions, api: RestApi) -> None:
        super().__init__(scope, id)
        functions.add("metrics_count")
        self._counting = functions["metrics_count"]
        self._permission = self._may_be_called(settings)
        for key in dict.fromkeys([*ROUTES, *PUBLIC_ROUTES]):
            self._subscribe(key.capitalize(), functions[key].log_group, ANSWERED)
        self._subscribe("Gateway", api.access_log, REFUSED)

    def _may_be_called(self, settings: Settings) -> lambda_.CfnPermission:
        """Allow the log groups of this stage's platform stack, whose names begin with the stack's."""
        stack = cdk.Stack.of(self)
        groups = stack.format_arn(
            service="logs",
            resource="log-group",
            resource_name=f"slipway-{settings.stage}-platform-*:*",
            arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
        )
        return lambda_.CfnPermission(
            self,
            "Permission",
            action="lambda:InvokeFunction",
            function_name=self._counting.function_arn,
            principal="logs.amazonaws.com",
            source_account=stack.account,
            source_arn=groups,
        )

    def _subscribe(self, id: str, group: logs.ILogGroup, pattern: str) -> None:
        subscription = logs.CfnSubscriptionFilter(
            self,
            f"{id}Lines",
            log_group_name=group.log_group_name,
            filter_pattern=pattern,
            destination_arn=self._counting.function_arn,
        )
        subscription.add_dependency(self._permission)  # CloudWatch Logs tries the destination at once

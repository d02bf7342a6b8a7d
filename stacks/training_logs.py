"""Progress while training runs: SageMaker's log group, which belongs to the account, subscribed for this stage."""

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from cdk_app.constructs.acknowledge import acknowledge_wildcards
from cdk_app.constructs.function import Function
from cdk_app.custom_resources import SOURCES
from cdk_app.settings import Settings

LOG_GROUP = "/aws/sagemaker/TrainingJobs"


class TrainingLogs(Construct):
    """The subscription of `progress` to this stage's lines.

    A custom resource, because the group is there or not, depending on whether the account ever trained: a
    declared group fails in one case, a declared subscription in the other.
    """

    def __init__(self, scope: Construct, id: str, *, settings: Settings, progress: lambda_.Function) -> None:
        super().__init__(scope, id)
        group = cdk.Stack.of(self).format_arn(
            service="logs",
            resource="log-group",
            resource_name=f"{LOG_GROUP}:*",
            arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
        )
        permission = lambda_.CfnPermission(
            self,
            "Permission",
            action="lambda:InvokeFunction",
            function_name=progress.function_arn,
            principal="logs.amazonaws.com",
            source_account=cdk.Stack.of(self).account,
            source_arn=group,
        )
        actions = ["CreateLogGroup", "DeleteSubscriptionFilter", "PutRetentionPolicy", "PutSubscriptionFilter"]
        function = Function(
            self,
            "Function",
            settings=settings,
            code=lambda_.Code.from_asset(str(SOURCES), exclude=["__pycache__", "__init__.py"]),
            handler="training_logs.handler",
            environment={},
            statements=[iam.PolicyStatement(actions=[f"logs:{action}" for action in actions], resources=[group])],
            memory=128,
            timeout=60,
        )
        acknowledge_wildcards(
            function.own_role, {group: "The streams of the one log group that all training writes to."}
        )
        resource = cdk.CustomResource(
            self,
            "Subscription",
            service_token=function.function_arn,
            properties={
                "LogGroup": LOG_GROUP,
                "FilterName": f"slipway-{settings.stage}",
                "FilterPattern": f'{{ $.slipway = "{settings.stage}" }}',
                "DestinationArn": progress.function_arn,
                "RetentionDays": settings.log_retention_days,
            },
        )
        resource.node.add_dependency(permission)
        generated = resource.node.default_child
        assert isinstance(generated, cdk.CfnResource)
        generated.add_property_override("ServiceTimeout", 120)  # seconds; the option of the same name writes a string
        cdk.CfnOutput(self, "Warning", value=resource.get_att_string("Warning")).override_logical_id(
            "TrainingLogsWarning"
        )

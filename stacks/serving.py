"""Where models are served: endpoints are made at run time, so what is deployed of them is what their names may be."""

import aws_cdk as cdk

from cdk_app.settings import Settings

# Application Auto Scaling's own role, which the first who scales an endpoint in an account makes.
SCALING_SERVICE = "sagemaker.application-autoscaling.amazonaws.com"
SCALING_ROLE = "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"


def endpoint_resources(stack: cdk.Stack, settings: Settings) -> dict[str, list[str]]:
    """Return the ARNs of this stage's endpoints, configurations and models by the names that the grants use."""

    def named(resource: str) -> list[str]:
        name = f"slipway-{settings.stage}-*"
        return [stack.format_arn(service="sagemaker", resource=resource, resource_name=name)]

    return {
        "endpoints": named("endpoint"),
        "endpoint-configs": named("endpoint-config"),
        "endpoint-models": named("model"),
        "endpoint-alarms": [
            stack.format_arn(
                service="cloudwatch",
                resource="alarm",
                resource_name=f"slipway-{settings.stage}-*",
                arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
            )
        ],
        "endpoint-logs": [
            stack.format_arn(
                service="logs",
                resource="log-group",
                resource_name=f"/aws/sagemaker/Endpoints/slipway-{settings.stage}-*:*",
                arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
            )
        ],
        "scalable-targets": [
            stack.format_arn(service="application-autoscaling", resource="scalable-target", resource_name="*")
        ],
        "scaling-alarms": [
            stack.format_arn(
                service="cloudwatch",
                resource="alarm",
                resource_name=f"TargetTracking-endpoint/slipway-{settings.stage}-*",
                arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
            )
        ],
        "scaling-role": [
            f"arn:{stack.partition}:iam::{stack.account}:role/aws-service-role/{SCALING_SERVICE}/{SCALING_ROLE}"
        ],
    }

"""Where models are served: endpoints are made at run time, so what is deployed of them is what their names may be."""

import aws_cdk as cdk

from cdk_app.settings import Settings


def endpoint_resources(stack: cdk.Stack, settings: Settings) -> dict[str, list[str]]:
    """Return the ARNs of this stage's endpoints, configurations and models by the names that the grants use."""

    def named(resource: str) -> list[str]:
        name = f"slipway-{settings.stage}-*"
        return [stack.format_arn(service="sagemaker", resource=resource, resource_name=name)]

    logs = stack.format_arn(
        service="logs",
        resource="log-group",
        resource_name=f"/aws/sagemaker/Endpoints/slipway-{settings.stage}-*:*",
        arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
    )
    return {
        "endpoint-logs": [logs],
        "endpoints": named("endpoint"),
        "endpoint-configs": named("endpoint-config"),
        "endpoint-models": named("model"),
    }

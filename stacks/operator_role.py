"""What the people who run a stage's endpoints may do from a shell: look at them, call them, read what they print.

Making and deleting goes through the API, which knows who owns what. So this role creates nothing, passes no role, and
has no keys: people of the account take it for an hour at a time.
"""

import aws_cdk as cdk

from cdk_app.constructs.acknowledge import acknowledge_wildcards
from cdk_app.constructs.role import Role
from cdk_app.settings import Settings
from stacks.execution_role import allow

STACKS = "CloudFormation puts an id of its own behind the name of each of the stage's two stacks."
ENDPOINTS = "Endpoints are made at run time; the names of this stage's begin with slipway-<stage>-."


def operator_role(stack: cdk.Stack, settings: Settings) -> Role:
    """Return the role that people of this account may take, if their own permissions let them take roles."""
    name, colon = f"slipway-{settings.stage}-", cdk.ArnFormat.COLON_RESOURCE_NAME
    stacks = [
        stack.format_arn(service="cloudformation", resource="stack", resource_name=f"{name}{part}/*")
        for part in ("data", "platform")
    ]
    endpoints, configs, models = (
        stack.format_arn(service="sagemaker", resource=resource, resource_name=f"{name}*")
        for resource in ("endpoint", "endpoint-config", "model")
    )
    logs = stack.format_arn(
        service="logs", resource="log-group", resource_name=f"/aws/sagemaker/Endpoints/{name}*:*", arn_format=colon
    )
    given = [
        allow("cloudformation:DescribeStacks", *stacks),  # the outputs: where the API is
        allow("sagemaker:DescribeEndpoint sagemaker:InvokeEndpoint", endpoints),
        allow("sagemaker:DescribeEndpointConfig", configs),
        allow("sagemaker:DescribeModel", models),
        allow("logs:DescribeLogStreams logs:FilterLogEvents logs:GetLogEvents", logs),
    ]
    role = Role(stack, "OperatorRole", service=None, statements=given)
    named = dict.fromkeys((endpoints, configs, models, logs), ENDPOINTS)
    acknowledge_wildcards(role, dict.fromkeys(stacks, STACKS) | named)
    return role

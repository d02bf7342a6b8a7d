"""The role that bearers of OpenAI clients are signed with: the endpoints function's to assume, and nobody else's.

It may call any endpoint of the stage; each session of it is narrowed to one by the policy that the function passes.
"""

import aws_cdk as cdk
import jsii
from aws_cdk import aws_iam as iam
from constructs import Construct

from cdk_app.constructs.acknowledge import acknowledge_wildcards
from cdk_app.settings import Settings
from stacks.execution_role import allow
from stacks.functions import Functions
from stacks.wildcards import WILDCARDS

LONGEST = cdk.Duration.hours(1)  # of a session that a role's session begins
CALL = "CallWithBearerToken has no resource type in IAM: `*` is the only form."


class TokenRole:
    """The role, whose ARN the function needs before there is the function that the role trusts."""

    def __init__(self, stack: cdk.Stack, settings: Settings, functions: Functions) -> None:
        # By its path the function knows the role, not by its ARN: each would wait for the other to be made.
        self._path = f"/slipway-{settings.stage}-token/"
        self._arn = Later()
        # SageMaker's; the name becomes the function's, once made.
        self._endpoints = functions.resources["endpoints"] + functions.resources["inference-components"]
        functions.resources["token-role"] = [
            stack.format_arn(service="iam", region="", resource="role", resource_name=f"{self._path.strip('/')}/*")
        ]
        functions.variables["TOKEN_ROLE_ARN"] = cdk.Lazy.string(self._arn)  # pyright: ignore[reportArgumentType]

    def add(self, scope: Construct, functions: Functions) -> None:
        """Make the role, now that the function is there."""
        role = iam.Role(
            scope,
            "TokenRole",
            path=self._path,
            assumed_by=iam.ArnPrincipal(functions["endpoints"].own_role.role_arn),  # pyright: ignore[reportArgumentType]
            max_session_duration=LONGEST,
            inline_policies={
                "grants": iam.PolicyDocument(
                    statements=[
                        allow("sagemaker:CallWithBearerToken", "*"),
                        allow("sagemaker:InvokeEndpoint", *self._endpoints),
                    ]
                )
            },
        )
        acknowledge_wildcards(role, {"*": CALL} | dict.fromkeys(self._endpoints, WILDCARDS["endpoints"]))
        self._arn.value = role.role_arn


@jsii.implements(cdk.IStableStringProducer)
class Later:
    """A text that is known by the time the template is written."""

    value = ""

    def produce(self) -> str:
        """Return it."""
        return self.value

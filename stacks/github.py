"""The stack that lets a GitHub repository's workflows into the account, without a key: two roles, taken by OIDC.

Pull requests may look at what would change; only the stage's environment, which GitHub guards with its reviewers, may
deploy. Neither role can do anything by itself but take the roles that `cdk bootstrap` made. An app of its own, because
it is deployed once, by a person: `make github STAGE=dev REPOSITORY=owner/name`.
"""

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from constructs import Construct

from cdk_app.constructs.acknowledge import acknowledge_wildcards

ISSUER = "token.actions.githubusercontent.com"
AUDIENCE = "sts.amazonaws.com"  # what configure-aws-credentials asks GitHub's token for
LOOKING = ["lookup"]
DEPLOYING = ["deploy", "file-publishing", "image-publishing", "lookup"]
STACK_ID = "CloudFormation puts an id of its own behind a stack's name."


class GitHubStack(cdk.Stack):
    """The roles of one stage; `provider_arn` is the account's OIDC provider for GitHub where it has one already."""

    def __init__(self, scope: Construct, *, stage: str, repository: str, provider_arn: str | None) -> None:
        super().__init__(scope, f"slipway-{stage}-github")
        self._stage = stage
        self._provider = provider_arn or self._provider_of_the_account()
        deploy = self._role("Deploy", f"repo:{repository}:environment:{stage}", DEPLOYING)
        diff = self._role("Diff", f"repo:{repository}:pull_request", LOOKING)
        cdk.CfnOutput(self, "DeployRoleArn", value=deploy.role_arn)
        cdk.CfnOutput(self, "DiffRoleArn", value=diff.role_arn)

    def _provider_of_the_account(self) -> str:
        """An account has one provider per issuer, whoever made it: it stays when this stack goes."""
        provider = iam.OidcProviderNative(
            self,
            "Provider",
            url=f"https://{ISSUER}",
            client_ids=[AUDIENCE],
            removal_policy=cdk.RemovalPolicy.RETAIN,
        )
        return provider.oidc_provider_arn

    def _role(self, id: str, subject: str, bootstrap_roles: list[str]) -> iam.Role:
        """Return a role for the tokens of exactly one subject (GitHub, "OpenID Connect reference", example claims)."""
        claims = {f"{ISSUER}:aud": AUDIENCE, f"{ISSUER}:sub": subject}
        stacks = [
            self.format_arn(service="cloudformation", resource="stack", resource_name=f"slipway-{self._stage}-{part}/*")
            for part in ("data", "platform")
        ]
        given = [
            iam.PolicyStatement(actions=["sts:AssumeRole"], resources=list(map(self._bootstrap_role, bootstrap_roles))),
            iam.PolicyStatement(actions=["ssm:GetParameter"], resources=[self._bootstrap_version()]),
            iam.PolicyStatement(actions=["cloudformation:DescribeStacks"], resources=stacks),
        ]
        role = iam.Role(
            self,
            id,
            assumed_by=iam.FederatedPrincipal(  # pyright: ignore[reportArgumentType]  jsii names its parameters differently
                self._provider, {"StringEquals": claims}, "sts:AssumeRoleWithWebIdentity"
            ),
            inline_policies={"grants": iam.PolicyDocument(statements=given)},
            max_session_duration=cdk.Duration.hours(1),
        )
        acknowledge_wildcards(role, dict.fromkeys(stacks, STACK_ID))
        return role

    def _bootstrap_role(self, name: str) -> str:
        role = f"cdk-{cdk.DefaultStackSynthesizer.DEFAULT_QUALIFIER}-{name}-role-{self.account}-{self.region}"
        return self.format_arn(service="iam", region="", resource="role", resource_name=role)

    def _bootstrap_version(self) -> str:
        name = f"cdk-bootstrap/{cdk.DefaultStackSynthesizer.DEFAULT_QUALIFIER}/version"
        return self.format_arn(service="ssm", resource="parameter", resource_name=name)


def github_app(outdir: str | None = None, **context: str) -> cdk.App:
    """Return the app with this stack alone; the context names `stage`, `repository` and perhaps `provider_arn`."""
    app = cdk.App(outdir=outdir, context=context or None)
    asked = {name: app.node.try_get_context(name) for name in ("stage", "repository", "provider_arn")}
    GitHubStack(app, **asked)
    return app


if __name__ == "__main__":
    github_app().synth()

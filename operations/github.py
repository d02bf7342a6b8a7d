"""`make github STAGE=dev REPOSITORY=owner/name`: let that repository's workflows deploy the stage, without a key."""

import re
import sys
from collections.abc import Sequence

from operations import toolkit
from operations.account import Account, account_of
from operations.deployed import find_stack
from operations.settings import settings_of
from operations.terminal import OperationError, confirmed, run

ISSUER = "token.actions.githubusercontent.com"
REPOSITORY = re.compile(r"[A-Za-z0-9-]{1,39}/[A-Za-z0-9._-]{1,100}")


def main(arguments: Sequence[str]) -> int:
    """Deploy the stack of the roles: arguments are the stage and the repository; returns 1 when the answer is no."""
    stage, repository = arguments
    settings_of(stage)
    if stage == "local":
        raise OperationError("GitHub cannot reach the platform on this machine; name a stage on AWS, as in STAGE=dev.")
    if not REPOSITORY.fullmatch(repository):
        raise OperationError(f"{repository!r} is no repository; give it as REPOSITORY=owner/name.")
    account = account_of(stage)
    if toolkit.bootstrap_version(account) < toolkit.BOOTSTRAP_VERSION:
        raise OperationError(f"The account is not bootstrapped yet; run `make deploy STAGE={stage}` once by hand.")
    app = ["--app", f"{sys.executable} -m stacks.github", *context_of(account, stage, repository)]
    toolkit.cdk(account, "diff", *app)
    if not confirmed(f"Let {repository} deploy stage {stage} of account {account.id} in {account.region}?"):
        return 1
    toolkit.cdk(account, "deploy", *app, "--require-approval", "never")
    print("\n".join(next_steps(account, stage, repository)))
    return 0


def context_of(account: Account, stage: str, repository: str) -> list[str]:
    """Return the context that the stack is made of; the provider is named when the account has one already."""
    given = {"stage": stage, "repository": repository} | provider_of(account)
    return [part for name, value in given.items() for part in ("--context", f"{name}={value}")]


def provider_of(account: Account) -> dict[str, str]:
    """Return the ARN of the account's OIDC provider for GitHub as context, or nothing when it has none."""
    found = account.client("iam").list_open_id_connect_providers()["OpenIDConnectProviderList"]
    arns = [provider["Arn"] for provider in found if provider["Arn"].endswith(f"/{ISSUER}")]
    return {"provider_arn": arns[0]} if arns else {}


def next_steps(account: Account, stage: str, repository: str) -> list[str]:
    """Return what is left to do at GitHub, as commands."""
    stack = find_stack(account, f"slipway-{stage}-github") or {}
    roles = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
    settings = f"https://github.com/{repository}/settings/environments"
    return [
        f"1. Make the environment {stage} and give it reviewers: {settings}",
        "2. Tell the workflows where to go:",
        f"   gh variable set AWS_REGION --repo {repository} --body {account.region}",
        f"   gh variable set AWS_DIFF_ROLE_ARN --repo {repository} --body {roles.get('DiffRoleArn')}",
        f"   gh variable set AWS_DEPLOY_ROLE_ARN --repo {repository} --env {stage} --body {roles.get('DeployRoleArn')}",
    ]


if __name__ == "__main__":
    run(main)

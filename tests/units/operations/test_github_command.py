"""Whom `make github` lets in, and where.  `pytest tests/units/operations`"""

import pytest

from operations import github
from operations.terminal import OperationError

OURS = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"
OTHER = "arn:aws:iam::123456789012:oidc-provider/example.com"


@pytest.mark.parametrize(("arns", "context"), [([OTHER], {}), ([OTHER, OURS], {"provider_arn": OURS}), ([], {})])
def test_the_accounts_own_provider_is_found(scripted, arns: list[str], context: dict[str, str]):
    answer = {"OpenIDConnectProviderList": [{"Arn": arn} for arn in arns]}
    scripted.script("iam", ("list_open_id_connect_providers", {}, answer))
    assert github.provider_of(scripted) == context


@pytest.mark.parametrize("repository", ["acme", "acme/", "acme/a b", "acme/platform:ref", "*/platform", "a/b/c"])
def test_what_is_no_repository_is_refused(repository: str):
    with pytest.raises(OperationError, match="owner/name"):
        github.main(["dev", repository])


def test_the_platform_on_this_machine_is_out_of_githubs_reach():
    with pytest.raises(OperationError, match="STAGE=dev"):
        github.main(["local", "acme/platform"])


def test_what_is_left_to_do_names_both_roles(scripted):
    outputs = [{"OutputKey": key, "OutputValue": f"arn:{key}"} for key in ("DeployRoleArn", "DiffRoleArn")]
    stack = {"StackName": "slipway-dev-github", "CreationTime": 0, "StackStatus": "CREATE_COMPLETE", "Outputs": outputs}
    scripted.script("cloudformation", ("describe_stacks", {"StackName": "slipway-dev-github"}, {"Stacks": [stack]}))
    told = "\n".join(github.next_steps(scripted, "dev", "acme/platform"))
    assert "AWS_DIFF_ROLE_ARN --repo acme/platform --body arn:DiffRoleArn" in told
    assert "AWS_DEPLOY_ROLE_ARN --repo acme/platform --env dev --body arn:DeployRoleArn" in told

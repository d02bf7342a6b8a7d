"""What GitHub's workflows may do, and what they are: roles for one repository, actions pinned, commands that exist.

Run: python -m pytest tests/infra/test_github.py
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import cdk_nag
import pytest
import yaml

from stacks.github import github_app
from tests.infra.synthesis import ROOT, listed, readable

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
TOOLS = Path(sys.executable).parent
CLAIMS = "token.actions.githubusercontent.com"
PINNED = re.compile(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> cdk.App:
    """The app for an account without a provider, synthesised."""
    made = github_app(str(tmp_path_factory.mktemp("github")), stage="dev", repository="acme/platform")
    made.synth()
    return made


@pytest.fixture(scope="module")
def template(app: cdk.App) -> dict[str, Any]:
    return json.loads((Path(app.outdir) / "slipway-dev-github.template.json").read_text())


def roles(template: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return each role's properties by the first word of its logical id."""
    found = {id: made for id, made in template["Resources"].items() if made["Type"] == "AWS::IAM::Role"}
    return {re.sub(r"[0-9A-F]{8}$", "", id): made["Properties"] for id, made in found.items()}


def taken(role: dict[str, Any]) -> list[str]:
    """Return the names of the roles that a role may take."""
    statements = role["Policies"][0]["PolicyDocument"]["Statement"]
    taking = [statement for statement in statements if statement["Action"] == "sts:AssumeRole"]
    assert len(taking) == 1
    found = [re.search(r"role/cdk-hnb659fds-([a-z-]+)-role-", readable(arn)) for arn in listed(taking[0]["Resource"])]
    return [match[1] for match in found if match]


@pytest.mark.parametrize(
    ("role", "subject", "bootstrap_roles"),
    [
        ("Deploy", "repo:acme/platform:environment:dev", ["deploy", "file-publishing", "image-publishing", "lookup"]),
        ("Diff", "repo:acme/platform:pull_request", ["lookup"]),
    ],
)
def test_a_role_is_for_one_subject_and_takes_only_the_cdks_roles(
    template: dict[str, Any], role: str, subject: str, bootstrap_roles: list[str]
):
    made = roles(template)[role]
    (trusted,) = made["AssumeRolePolicyDocument"]["Statement"]
    assert trusted["Action"] == "sts:AssumeRoleWithWebIdentity"
    assert trusted["Condition"] == {"StringEquals": {f"{CLAIMS}:aud": "sts.amazonaws.com", f"{CLAIMS}:sub": subject}}
    assert taken(made) == bootstrap_roles
    statements = made["Policies"][0]["PolicyDocument"]["Statement"]
    actions = {action for statement in statements for action in listed(statement["Action"])}
    assert actions == {"sts:AssumeRole", "ssm:GetParameter", "cloudformation:DescribeStacks"}
    assert "ManagedPolicyArns" not in made


def test_the_accounts_provider_is_used_where_there_is_one_and_stays_where_it_is_made(tmp_path: Path, template: Any):
    (provider,) = [made for made in template["Resources"].values() if made["Type"] == "AWS::IAM::OIDCProvider"]
    assert (provider["DeletionPolicy"], provider["UpdateReplacePolicy"]) == ("Retain", "Retain")
    arn = f"arn:aws:iam::111111111111:oidc-provider/{CLAIMS}"
    github_app(str(tmp_path), stage="prod", repository="acme/platform", provider_arn=arn).synth()
    other = json.loads((tmp_path / "slipway-prod-github.template.json").read_text())
    assert {made["Type"] for made in other["Resources"].values()} == {"AWS::IAM::Role"}
    trusted = [made["AssumeRolePolicyDocument"]["Statement"][0]["Principal"] for made in roles(other).values()]
    assert trusted == [{"Federated": arn}] * 2


def test_linters_and_rules_find_nothing_in_the_stack(app: cdk.App):
    templates = [str(path) for path in Path(app.outdir).glob("*.template.json")]
    command = [TOOLS / "cfn-lint", "--config-file", ROOT / ".cfnlintrc.yaml", *templates]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr
    assert [str(found.rule_name) for found in cdk_nag.AwsSolutionsChecks(app).validate_scope(app).violations] == []


def test_zizmor_finds_nothing_in_the_workflows():
    command = [TOOLS / "zizmor", "--offline", "--no-progress", "--quiet", *WORKFLOWS]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_commit_and_commands_are_targets_of_the_makefile(workflow: Path):
    text = workflow.read_text()
    used = re.findall(r"uses: (.*)", text)
    assert used
    assert [line for line in used if not PINNED.fullmatch(line)] == []
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    steps = [step for job in yaml.safe_load(text)["jobs"].values() for step in job["steps"]]
    made = [re.findall(r"make ((?:[a-z][a-z-]* ?)+)", step["run"]) for step in steps if "run" in step]
    assert all(made)
    assert {target for found in made for words in found for target in words.split()} <= targets


def test_the_same_action_is_the_same_commit_everywhere():
    used = {line for workflow in WORKFLOWS for line in re.findall(r"uses: (.*)", workflow.read_text())}
    assert len(used) == len({line.split("@")[0] for line in used})

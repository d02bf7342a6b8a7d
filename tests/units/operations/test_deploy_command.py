"""What is checked before a deployment, and how a person is asked.  `pytest tests/units/operations`"""

import io
import json
from pathlib import Path

import pytest
from botocore.exceptions import ClientError, NoCredentialsError, ProfileNotFound

from operations import deploy, terminal, toolkit
from operations.account import aws_account, why_refused
from operations.terminal import OperationError

REPOSITORY = "cdk-hnb659fds-container-assets-123456789012-eu-west-1"
REFUSAL = {"Error": {"Code": "ExpiredToken", "Message": "The security token included in the request is expired"}}


@pytest.fixture
def assembly(tmp_path: Path) -> Path:
    """A cloud assembly with one image."""
    name = "cdk-hnb659fds-container-assets-${AWS::AccountId}-${AWS::Region}"
    destination = {"repositoryName": name, "imageTag": "abc", "assumeRoleArn": "arn"}
    images = {"abc": {"source": {"directory": "asset.abc"}, "destinations": {"current": destination}}}
    (tmp_path / "slipway-dev-platform.assets.json").write_text(json.dumps({"dockerImages": images}))
    return tmp_path


def looked_up(scripted, code: str | None) -> None:
    arguments = {"repositoryName": REPOSITORY, "imageIds": [{"imageTag": "abc"}]}
    if code is None:
        scripted.script("ecr", ("describe_images", arguments, {"imageDetails": []}))
    else:
        scripted.script("ecr")
        scripted.stubbers["ecr"].add_client_error("describe_images", code, expected_params=arguments)


@pytest.mark.parametrize(
    ("code", "docker", "refused"),
    [
        (None, False, False),
        ("ImageNotFoundException", False, True),
        ("RepositoryNotFoundException", False, True),
        ("ImageNotFoundException", True, False),
        ("AccessDeniedException", False, False),
    ],
)
def test_docker_is_needed_only_for_an_image_that_is_not_published(
    scripted, assembly: Path, monkeypatch: pytest.MonkeyPatch, code: str | None, docker: bool, refused: bool
):
    looked_up(scripted, code)
    monkeypatch.setattr(toolkit, "docker_answers", lambda: docker)
    if refused:
        with pytest.raises(OperationError, match="start Docker"):
            deploy.require_docker(scripted, assembly)
    else:
        deploy.require_docker(scripted, assembly)


def test_docker_that_is_not_installed_does_not_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not toolkit.docker_answers()


@pytest.mark.parametrize(
    ("error", "command"),
    [
        (NoCredentialsError(), "aws configure sso"),
        (ProfileNotFound(profile="team"), "aws configure list-profiles"),
        (ClientError(REFUSAL, "GetCallerIdentity"), "aws sso login --profile team"),
    ],
)
def test_whoever_cannot_be_recognised_is_told_what_to_run(
    monkeypatch: pytest.MonkeyPatch, error: NoCredentialsError | ProfileNotFound | ClientError, command: str
):
    monkeypatch.setenv("AWS_PROFILE", "team")
    assert f"`{command}`" in why_refused(error)


def test_without_a_region_the_variable_to_set_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(OperationError, match="AWS_REGION="):
        aws_account()


def test_nothing_is_agreed_to_where_nobody_can_answer(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(terminal.sys, "stdin", io.StringIO("y\n"))
    monkeypatch.delenv("YES", raising=False)
    with pytest.raises(OperationError, match="YES=1"):
        terminal.confirmed("Destroy stage dev?")
    monkeypatch.setenv("YES", "1")
    assert terminal.confirmed("Destroy stage dev?")


@pytest.mark.parametrize(("answer", "agreed"), [("y", True), ("Yes", True), ("", False), ("no", False), ("yep", False)])
def test_only_a_yes_is_a_yes(monkeypatch: pytest.MonkeyPatch, answer: str, agreed: bool):
    monkeypatch.delenv("YES", raising=False)
    monkeypatch.setattr(terminal.sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda question: answer)
    assert terminal.confirmed("Deploy?") == agreed


def test_columns_of_a_table_are_aligned():
    assert terminal.table([["ok", "docker", "answers"], ["MISSING", "x", "no"]]) == (
        "ok       docker  answers\nMISSING  x       no"
    )

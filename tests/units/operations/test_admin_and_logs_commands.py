"""Appointing an admin and reading logs, on a bare emulator.  `pytest tests/units/operations`"""

import re
import time
from typing import Any

import pytest

from operations import admin, logs
from operations.account import Account
from operations.deployed import flat_outputs, outputs_of
from operations.terminal import OperationError


def test_a_new_admin_signs_in_with_the_printed_password_and_must_change_it(
    deployed: Account, capsys: pytest.CaptureFixture[str]
):
    assert admin.main(["local", "ada", "ada@example.org"]) == 0
    printed = capsys.readouterr().out
    password = re.search(r"with a new one: (\S+)", printed)
    assert password is not None
    outputs = outputs_of(deployed, "local")
    answer = deployed.client("cognito-idp").initiate_auth(
        AuthFlow="USER_PASSWORD_AUTH",
        ClientId=outputs["UserPoolClientId"],
        AuthParameters={"USERNAME": "ada", "PASSWORD": password[1]},
    )
    assert answer["ChallengeName"] == "NEW_PASSWORD_REQUIRED"
    assert groups(deployed, outputs["UserPoolId"], "ada") == ["admin"]


def test_an_account_that_exists_keeps_its_password_and_doing_it_twice_is_no_error(
    deployed: Account, capsys: pytest.CaptureFixture[str]
):
    pool = outputs_of(deployed, "local")["UserPoolId"]
    deployed.client("cognito-idp").admin_create_user(UserPoolId=pool, Username="bob")
    for _ in range(2):
        assert admin.main(["local", "bob"]) == 0
    assert "password" not in capsys.readouterr().out
    assert groups(deployed, pool, "bob") == ["admin"]


def test_an_account_that_does_not_exist_needs_an_address_to_be_created(deployed: Account):
    with pytest.raises(OperationError, match="make admin USERNAME=eve EMAIL=<address> STAGE=local"):
        admin.main(["local", "eve"])


def groups(account: Account, pool: str, username: str) -> list[str]:
    answer = account.client("cognito-idp").admin_list_groups_for_user(UserPoolId=pool, Username=username)
    return [group["GroupName"] for group in answer["Groups"]]


def test_a_temporary_password_has_every_class_of_characters():
    for _ in range(50):
        password = admin.temporary_password()
        assert all(set(password) & set(characters) for characters in admin.CLASSES)
        assert "'" not in password and '"' not in password and "\\" not in password


def test_the_lines_of_a_request_are_found_and_those_of_others_are_not(
    deployed: Account, capsys: pytest.CaptureFixture[str]
):
    write(deployed, "/slipway/test/access", "function", '{"request_id": "r-1", "status": 404}', '{"request_id": "r-2"}')
    assert logs.main(["local", "request", "r-1"]) == 0
    printed = capsys.readouterr().out
    assert '"status": 404' in printed and "r-2" not in printed


def test_an_unknown_request_and_an_unknown_job_are_said_to_be_unknown(deployed: Account):
    for kind, identifier in (("request", "r-404"), ("job", "job-404")):
        with pytest.raises(OperationError, match=f"no {kind} {identifier}"):
            logs.main(["local", kind, identifier])


def test_a_job_shows_each_training_job_made_for_it_with_its_reason_and_its_containers_words(
    emulator: Account, monkeypatch: pytest.MonkeyPatch
):
    name = "AWSBatchjob-1x" + "0" * 32
    write(emulator, logs.TRAINING_LOGS, f"{name}/algo-1-1", "loading", "no column 'y'")
    write(emulator, logs.TRAINING_LOGS, "AWSBatchjob-2/algo-1-1", "another job's line")
    rows = {"TrainingJobSummaries": [{"TrainingJobName": name}, {"TrainingJobName": "AWSBatchjob-2-not-started"}]}

    class SageMaker:
        def get_paginator(self, operation: str) -> "SageMaker":
            assert operation == "list_training_jobs"
            return self

        def paginate(self, **arguments: str) -> list[dict[str, Any]]:
            assert arguments["NameContains"] == "job-1x"
            return [rows]

        def describe_training_job(self, TrainingJobName: str) -> dict[str, str]:
            return {"TrainingJobStatus": "Failed", "FailureReason": "no target"}

    real = Account.client
    monkeypatch.setattr(Account, "client", lambda self, s: SageMaker() if s == "sagemaker" else real(self, s))
    lines = list(logs.job_lines(emulator, "job-1x"))
    assert lines[0] == f"{name}  Failed  no target"
    assert [line.split("  ", 1)[1] for line in lines[1:3]] == ["loading", "no column 'y'"]
    assert len(lines) == 4  # the second training job has printed nothing


def write(account: Account, group: str, stream: str, *messages: str) -> None:
    client = account.client("logs")
    if not client.describe_log_groups(logGroupNamePrefix=group)["logGroups"]:
        client.create_log_group(logGroupName=group)
    client.create_log_stream(logGroupName=group, logStreamName=stream)
    at = int(time.time() * 1000)
    events = [{"timestamp": at + order, "message": message} for order, message in enumerate(messages)]
    client.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)


def test_outputs_are_flat_and_the_api_url_has_no_trailing_slash():
    stacks = [
        {"Outputs": [{"OutputKey": "UserPoolId", "OutputValue": "pool"}]},
        {"Outputs": [{"OutputKey": "ApiUrl", "OutputValue": "https://x.execute-api.eu-west-1.amazonaws.com/api/"}]},
    ]
    assert flat_outputs("dev", "eu-west-1", stacks) == {
        "ApiUrl": "https://x.execute-api.eu-west-1.amazonaws.com/api",
        "Region": "eu-west-1",
        "Stage": "dev",
        "UserPoolId": "pool",
    }


def test_a_stage_that_is_not_deployed_names_the_command_that_deploys_it(emulator: Account):
    with pytest.raises(OperationError, match="make deploy STAGE=prod"):
        outputs_of(emulator, "prod")

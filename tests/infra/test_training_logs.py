"""The custom resource that subscribes to SageMaker's log group, which belongs to the whole account.

Run: python -m pytest tests/infra/test_training_logs.py
"""

import json
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from cdk_app.custom_resources import training_logs

PROPERTIES = {
    "LogGroup": "/aws/sagemaker/TrainingJobs",
    "FilterName": "slipway-dev",
    "FilterPattern": '{ $.slipway = "dev" }',
    "DestinationArn": "arn:aws:lambda:us-east-1:111111111111:function:progress",
    "RetentionDays": "30",
}


class Logs:
    """CloudWatch Logs with or without the group, remembering what was asked of it; `fails` maps operation to error."""

    def __init__(self, **fails: str) -> None:
        self.exceptions = boto3.client("logs", "us-east-1").exceptions
        self.fails = fails
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def __getattr__(self, operation: str) -> Any:
        def call(**arguments: Any) -> None:
            self.calls.append((operation, arguments))
            if code := self.fails.get(operation):
                error = self.exceptions.from_code(code)
                raise (error if error is not ClientError else ClientError)({"Error": {"Code": code}}, operation)

        return call

    def called(self) -> list[str]:
        """Return the operations in order."""
        return [operation for operation, _ in self.calls]


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What CloudFormation was told."""
    told: list[dict[str, Any]] = []
    monkeypatch.setattr(training_logs, "respond", lambda url, answer: told.append(json.loads(json.dumps(answer))))
    return told


def request(logs: Logs, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have CloudFormation ask for something."""
    monkeypatch.setattr(training_logs.boto3, "client", lambda service: logs)
    event = {"RequestType": kind, "ResourceProperties": PROPERTIES, "ResponseURL": "https://cloudformation"}
    training_logs.handler(event | {"StackId": "s", "RequestId": "r", "LogicalResourceId": "l"}, None)


@pytest.mark.parametrize("kind", ["Create", "Update"])
def test_a_group_that_is_new_is_made_with_our_retention(kind: str, answers: Any, monkeypatch: Any) -> None:
    logs = Logs()
    request(logs, kind, monkeypatch)
    assert logs.called() == ["create_log_group", "put_retention_policy", "put_subscription_filter"]
    assert logs.calls[1][1]["retentionInDays"] == 30
    assert logs.calls[2][1]["filterPattern"] == '{ $.slipway = "dev" }'
    assert (answers[0]["Status"], answers[0]["Data"]) == ("SUCCESS", {"Warning": ""})


def test_somebody_elses_group_keeps_its_retention(answers: Any, monkeypatch: Any) -> None:
    logs = Logs(create_log_group="ResourceAlreadyExistsException")
    request(logs, "Create", monkeypatch)
    assert logs.called() == ["create_log_group", "put_subscription_filter"]
    assert answers[0]["Status"] == "SUCCESS"


def test_a_full_group_is_a_warning_and_no_failed_deployment(answers: Any, monkeypatch: Any) -> None:
    request(Logs(put_subscription_filter="LimitExceededException"), "Create", monkeypatch)
    assert answers[0]["Status"] == "SUCCESS"
    assert "no room" in answers[0]["Data"]["Warning"]


def test_deleting_removes_the_subscription_and_nothing_else(answers: Any, monkeypatch: Any) -> None:
    logs = Logs()
    request(logs, "Delete", monkeypatch)
    assert logs.calls == [
        ("delete_subscription_filter", {"logGroupName": PROPERTIES["LogGroup"], "filterName": "slipway-dev"})
    ]
    assert answers[0]["Status"] == "SUCCESS"


def test_deleting_what_is_gone_already_is_no_error(answers: Any, monkeypatch: Any) -> None:
    request(Logs(delete_subscription_filter="ResourceNotFoundException"), "Delete", monkeypatch)
    assert answers[0]["Status"] == "SUCCESS"


def test_any_other_error_reaches_cloudformation_instead_of_an_hours_wait(answers: Any, monkeypatch: Any) -> None:
    request(Logs(create_log_group="AccessDeniedException"), "Create", monkeypatch)
    assert answers[0]["Status"] == "FAILED"
    assert "AccessDeniedException" in answers[0]["Reason"]

"""What the commands are tried on: a bare emulator with two small stacks, and an account with scripted answers."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from operations.account import Account, account_of
from tests.platform import Platform

DATA = {
    "Users": {"Type": "AWS::Cognito::UserPool", "Properties": {"UserPoolName": "users"}},
    "Admins": {
        "Type": "AWS::Cognito::UserPoolGroup",
        "Properties": {"GroupName": "admin", "UserPoolId": {"Ref": "Users"}},
    },
    "Client": {
        "Type": "AWS::Cognito::UserPoolClient",
        "Properties": {"UserPoolId": {"Ref": "Users"}, "ExplicitAuthFlows": ["ALLOW_USER_PASSWORD_AUTH"]},
    },
    "Files": {
        "Type": "AWS::S3::Bucket",
        "Properties": {"VersioningConfiguration": {"Status": "Enabled"}},
    },
}
PLATFORM = {
    "Access": {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": "/slipway/test/access"}},
    "Audit": {
        "Type": "AWS::Logs::LogGroup",
        "DeletionPolicy": "Retain",
        "Properties": {"LogGroupName": "/slipway/test/audit"},
    },
}


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """The platform's process of a home of its own, with nothing deployed, as the account of stage `local`."""
    platform = Platform(tmp_path_factory.mktemp("home"), deploy_app=False)
    before = os.environ.get("SLIPWAY_HOME")
    os.environ["SLIPWAY_HOME"] = str(platform.home)
    try:
        platform.up()
        yield account_of("local")
    finally:
        platform.down()
        os.environ.pop("SLIPWAY_HOME")
        if before is not None:
            os.environ["SLIPWAY_HOME"] = before


@pytest.fixture
def deployed(emulator: Account) -> Iterator[Account]:
    """The emulator with small stacks under the names of stage `local`."""
    client = emulator.client("cloudformation")
    for part, resources, outputs in (
        ("data", DATA, {"UserPoolId": "Users", "UserPoolClientId": "Client", "FilesBucket": "Files"}),
        ("platform", PLATFORM, {"ApiUrl": "Access"}),
    ):
        template = {"Resources": resources, "Outputs": {name: {"Value": {"Ref": ref}} for name, ref in outputs.items()}}
        client.create_stack(StackName=f"slipway-local-{part}", TemplateBody=json.dumps(template))
        client.get_waiter("stack_create_complete").wait(
            StackName=f"slipway-local-{part}", WaiterConfig={"Delay": 1, "MaxAttempts": 30}
        )
    yield emulator
    for part in ("platform", "data"):
        client.delete_stack(StackName=f"slipway-local-{part}")
        client.get_waiter("stack_delete_complete").wait(
            StackName=f"slipway-local-{part}", WaiterConfig={"Delay": 1, "MaxAttempts": 30}
        )


@dataclass(frozen=True)
class Scripted(Account):
    """An account whose services give the answers of a script, in order; botocore checks every request's shape."""

    clients: dict[str, Any] = field(default_factory=dict)
    stubbers: dict[str, Stubber] = field(default_factory=dict)

    def script(self, service: str, *answers: tuple[str, dict[str, Any], dict[str, Any]]) -> None:
        """Expect calls of a service: operation, arguments, answer."""
        client = self.clients.setdefault(service, self.session.client(service))
        stubber = self.stubbers.setdefault(service, Stubber(client))
        for operation, arguments, answer in answers:
            stubber.add_response(operation, answer, arguments)
        stubber.activate()

    def client(self, service: str, seconds: int = 60) -> Any:
        return self.clients[service]


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    """An account on AWS that answers as told, and at the end was asked for all that was told."""
    session = boto3.Session("AKIAEXAMPLE", "secret", region_name="eu-west-1")
    account = Scripted("123456789012", "eu-west-1", session, {})
    yield account
    for stubber in account.stubbers.values():
        stubber.assert_no_pending_responses()

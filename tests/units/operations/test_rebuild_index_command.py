"""Rebuilding the registry, with a small function in place of ours.  `pytest tests/units/operations`"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from operations import rebuild_index
from operations.account import Account
from operations.terminal import OperationError

PAGES = """
def handler(event, context):
    return {None: {"restored": 2, "cursor": "ada/"}, "ada/": {"restored": 1, "cursor": None}}[event["cursor"]]
"""
BROKEN = "def handler(event, context):\n    raise ValueError('S3 does not answer')\n"
TABLES = {noun: noun for noun in ("models", "endpoints", "jobs")}
KEY = [{"AttributeName": "owner", "KeyType": "HASH"}, {"AttributeName": "id", "KeyType": "RANGE"}]


def function(code: str) -> dict[str, Any]:
    """Return the resources of a function called as ours is."""
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    return {
        "ModelsRebuildRole": {
            "Type": "AWS::IAM::Role",
            "Properties": {"AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [trust]}},
        },
        "ModelsRebuild12345678": {
            "Type": "AWS::Lambda::Function",
            "Properties": {
                "Runtime": "python3.13",
                "Handler": "index.handler",
                "Role": {"Fn::GetAtt": ["ModelsRebuildRole", "Arn"]},
                "Code": {"ZipFile": code},
            },
        },
    }


@pytest.fixture
def registry(emulator: Account, request: pytest.FixtureRequest) -> Iterator[Account]:
    """Tables with an endpoint and its version, and the function that the test names."""
    dynamodb, cloudformation = emulator.client("dynamodb"), emulator.client("cloudformation")
    stack, template = "slipway-local-platform", json.dumps({"Resources": function(request.param)})
    cloudformation.create_stack(StackName=stack, TemplateBody=template, Capabilities=["CAPABILITY_IAM"])
    cloudformation.get_waiter("stack_create_complete").wait(StackName=stack, WaiterConfig={"Delay": 1})
    for noun in TABLES:
        types = [{"AttributeName": key["AttributeName"], "AttributeType": "S"} for key in KEY]
        dynamodb.create_table(TableName=noun, KeySchema=KEY, AttributeDefinitions=types, BillingMode="PAY_PER_REQUEST")
        emulator.client("ssm").put_parameter(Name=f"/slipway/local/{noun}-table", Value=noun, Type="String")
    yield emulator
    for noun in TABLES:
        dynamodb.delete_table(TableName=noun)
        emulator.client("ssm").delete_parameter(Name=f"/slipway/local/{noun}-table")
    cloudformation.delete_stack(StackName=stack)
    cloudformation.get_waiter("stack_delete_complete").wait(StackName=stack, WaiterConfig={"Delay": 1})


def put_version(account: Account, owner: str, id: str) -> None:
    account.client("dynamodb").put_item(TableName="models", Item={"owner": {"S": owner}, "id": {"S": id}})


def put_endpoint(account: Account, id: str, version: str, owner: str = "ada", holds: bool = True) -> dict[str, Any]:
    """Store an endpoint of ada's that serves that version of the owner's; return it."""
    item = {
        "owner": {"S": "ada"},
        "id": {"S": id},
        "model": {"M": {"model_id": {"S": "iris"}, "user_id": {"S": owner}}},
        "model_version_id": {"S": version},
        "holds_model": {"BOOL": holds},
    }
    account.client("dynamodb").put_item(TableName="endpoints", Item=item)
    return item


def put_job(account: Account, id: str, version: str | None, status: str = "running") -> None:
    """Store a job of ada's that goes on from that version of hers, or from nothing."""
    item: dict[str, Any] = {"owner": {"S": "ada"}, "id": {"S": id}, "status": {"S": status}}
    base = {"base_model": {"M": {"model_id": {"S": "iris"}}}, "base_model_id": {"S": version}} if version else {}
    account.client("dynamodb").put_item(TableName="jobs", Item=item | base)


def holds_of(account: Account, owner: str, id: str) -> set[str]:
    key = {"owner": {"S": owner}, "id": {"S": id}}
    item = account.client("dynamodb").get_item(TableName="models", Key=key)["Item"]
    return set(item.get("holds", {"SS": []})["SS"])


@pytest.mark.parametrize("registry", [PAGES], indirect=True)
def test_every_page_is_restored_and_then_the_holds_of_endpoints_and_jobs(
    registry: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    put_version(registry, "bob", "mdl-1")
    put_version(registry, "ada", "mdl-2")
    put_endpoint(registry, "ep-1", "mdl-1", owner="bob")  # another's shared model
    put_endpoint(registry, "ep-2", "mdl-2", holds=False)  # its deployment failed
    put_endpoint(registry, "ep-3", "mdl-gone")
    put_job(registry, "job-1", "mdl-2")
    put_job(registry, "job-2", "mdl-2", status="completed")  # it has let go
    put_job(registry, "job-3", None)
    put_job(registry, "job-4", "mdl-gone", status="pending")
    for _ in range(2):  # again does no harm
        assert rebuild_index.main(["local"]) == 0
        printed = capsys.readouterr().out
        assert "Restored 3 model versions that stage local lacked; 1 endpoints and 1 jobs hold theirs." in printed
        for holder in ("ep-3", "job-4"):
            assert f"{holder} uses a version that is not in the registry" in printed
    assert (holds_of(registry, "bob", "mdl-1"), holds_of(registry, "ada", "mdl-2")) == ({"ep-1"}, {"job-1"})


@pytest.mark.parametrize("registry", [PAGES], indirect=True)
def test_an_endpoint_that_has_let_go_meanwhile_holds_nothing(registry: Account) -> None:
    put_version(registry, "ada", "mdl-1")
    seen = put_endpoint(registry, "ep-1", "mdl-1")
    put_endpoint(registry, "ep-1", "mdl-1", holds=False)
    assert rebuild_index.hold(registry, rebuild_index.HOLDERS["endpoints"], TABLES, seen) == "endpoints"
    assert holds_of(registry, "ada", "mdl-1") == set()


@pytest.mark.parametrize("registry", [BROKEN], indirect=True)
def test_a_page_that_fails_is_said_to_have_failed(registry: Account) -> None:
    with pytest.raises(OperationError, match=r"failed: S3 does not answer\. What is restored stays"):
        rebuild_index.main(["local"])


def test_a_stage_without_the_function_names_the_command_that_deploys_it(deployed: Account) -> None:
    with pytest.raises(OperationError, match="make deploy STAGE=local"):
        rebuild_index.main(["local"])

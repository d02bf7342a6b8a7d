"""The `scan` workflow as it is deployed, with small functions in place of ours: rounds, and a file that breaks.

Run: python -m pytest tests/api/test_scan_workflow.py
"""

import io
import json
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

pytestmark = pytest.mark.thorough

DEFINITION = Path(__file__).parents[2] / "lambdas" / "models" / "scan.asl.json"
FILES = [{"filename": name, "size": 1, "url": f"https://s3/{name}"} for name in ("a.onnx", "breaks.bin", "c.json")]
# Gives two files a round, keeps each round's reports in a table, and at the end all of them.
PROCESS = """
import boto3, json
TABLE, FILES = "scan-rounds", json.loads('%s')
def handler(event, context):
    client = boto3.client("dynamodb")
    key = {"id": {"S": event["id"]}}
    found = json.loads(client.get_item(TableName=TABLE, Key=key).get("Item", {"reports": {"S": "[]"}})["reports"]["S"])
    if event["step"] == "next":
        seen = {report["filename"] for report in found}
        left = [file for file in FILES if file["filename"] not in seen]
        return {"owner": event["owner"], "id": event["id"], "files": left[:2]}
    if event["step"] == "record":
        found += event["reports"]
        client.put_item(TableName=TABLE, Item=key | {"reports": {"S": json.dumps(found)}})
        return {}
    return {"owner": event["owner"], "reports": found}
"""
SCAN = """
def handler(event, context):
    if event["filename"] == "breaks.bin":
        raise RecursionError("deep" * 10000)
    return {"filename": event["filename"], "seen": sorted(event)}
"""


@pytest.fixture(scope="module")
def machine(stage: None) -> Iterator[str]:
    """The workflow, with functions that are in the emulator only."""
    role = boto3.client("iam").create_role(RoleName="scan-test", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    boto3.client("iam").put_role_policy(
        RoleName="scan-test",
        PolicyName="all",
        PolicyDocument=json.dumps({"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}),
    )
    boto3.client("dynamodb").create_table(
        TableName="scan-rounds",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    sources = {"ModelsProcessArn": PROCESS % json.dumps(FILES), "ModelsScanArn": SCAN}
    text = DEFINITION.read_text().replace('"IntervalSeconds": 5', '"IntervalSeconds": 1')
    for name, source in sources.items():
        text = text.replace(f"${{{name}}}", function(name, source, role))
    stepfunctions = boto3.client("stepfunctions")
    arn = stepfunctions.create_state_machine(name="scan-test", roleArn=role, definition=text)["stateMachineArn"]
    yield arn
    stepfunctions.delete_state_machine(stateMachineArn=arn)


def function(name: str, source: str, role: str) -> str:
    """Make a function of a few lines; return its ARN."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as code:
        code.writestr("index.py", source)
    made = boto3.client("lambda").create_function(
        FunctionName=name,
        Runtime="python3.13",
        Handler="index.handler",
        Role=role,
        Code={"ZipFile": archive.getvalue()},
        Timeout=30,
    )
    return made["FunctionArn"]


def output_of(machine: str, name: str) -> dict[str, Any]:
    """Run the workflow to its end and return what it gives."""
    stepfunctions = boto3.client("stepfunctions")
    event = json.dumps({"owner": "ada", "id": name})
    arn = stepfunctions.start_execution(stateMachineArn=machine, name=name, input=event)["executionArn"]
    deadline = time.monotonic() + 60
    while (found := stepfunctions.describe_execution(executionArn=arn))["status"] == "RUNNING":
        assert time.monotonic() < deadline, "the workflow does not end"
        time.sleep(0.05)
    assert found["status"] == "SUCCEEDED", found
    return json.loads(found["output"])


def test_every_file_is_scanned_and_one_that_breaks_the_scanner_is_reported_as_such(machine: str) -> None:
    output = output_of(machine, "mdl-1")
    assert output["owner"] == "ada"
    first, broken, last = output["reports"]
    assert first == {"filename": "a.onnx", "seen": ["filename", "size", "url"]}
    assert (broken["filename"], set(broken)) == ("breaks.bin", {"filename", "error"})
    assert "deepdeep" in broken["error"]
    assert len(broken["error"]) == 500  # forty causes in full would be more than a workflow's input holds
    assert last["filename"] == "c.json"

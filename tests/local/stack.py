"""A small template with one of each thing that the emulator's hooks are about."""

from __future__ import annotations

import json
from typing import Any

ECHO = """
import json, os
def handler(event, context):
    print(json.dumps({"seen": event}))
    return {"statusCode": 200, "body": json.dumps({
        "event_path": event.get("path"),
        "endpoint": os.environ["AWS_ENDPOINT_URL"],
        "s3": os.environ["SLIPWAY_S3_ENDPOINT"],
        "leaked": [name for name in ("AWS_PROFILE", "PYTHONDONTWRITEBYTECODE") if name in os.environ],
        "length": len(event.get("body") or ""),
    })}
"""
SILENT = "def handler(event, context):\n    return {}\n"
SLOW = "import time\ndef handler(event, context):\n    time.sleep(40)\n    return {'statusCode': 200, 'body': ''}\n"
TOKEN = """
import boto3, os
def handler(event, context):
    if event["name"] == "broken":
        raise ValueError("this submission fails")
    boto3.client("dynamodb").put_item(
        TableName=os.environ["TABLE"], Item={"id": {"S": event["name"]}, "token": {"S": event["token"]}})
"""
NOTE = """
import boto3, json, os
def handler(event, context):
    boto3.client("dynamodb").put_item(TableName=os.environ["TABLE"], Item={
        "id": {"S": event["detail-type"] + "/" + event["detail"].get("name", event["id"])},
        "detail": {"S": json.dumps(event["detail"])}})
"""


def role(*statements: dict[str, Any], service: str = "lambda.amazonaws.com") -> dict[str, Any]:
    """An IAM role that `service` may assume and that has these statements."""
    trust = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    policy = {"PolicyName": "p", "PolicyDocument": {"Version": "2012-10-17", "Statement": list(statements)}}
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [trust]},
            "Policies": [policy] if statements else [],
        },
    }


def allow(action: str, resource: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource}


def function(code: str, role_name: str, timeout: int = 10) -> dict[str, Any]:
    return {
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "Runtime": "python3.13",
            "Handler": "index.handler",
            "Role": {"Fn::GetAtt": [role_name, "Arn"]},
            "Timeout": timeout,
            "Code": {"ZipFile": code},
            "Environment": {"Variables": {"TABLE": {"Ref": "Table"}}},
        },
    }


def arn(name: str) -> dict[str, Any]:
    return {"Fn::GetAtt": [name, "Arn"]}


def machine(role_name: str, task: dict[str, Any]) -> dict[str, Any]:
    """A state machine of one task, which sends what it catches to a failed end."""
    definition = {"StartAt": "Task", "States": {"Task": {"Type": "Task", "End": True, **task}}}
    return {
        "Type": "AWS::StepFunctions::StateMachine",
        "Properties": {
            "RoleArn": arn(role_name),
            "DefinitionString": json.dumps(definition),
            "DefinitionSubstitutions": {"Token": arn("Token"), "Echo": arn("Echo"), "Slow": arn("Slow")},
        },
    }


def proxy(function_name: str) -> dict[str, Any]:
    function_arn = "${" + function_name + ".Arn}"
    uri = f"arn:aws:apigateway:${{AWS::Region}}:lambda:path/2015-03-31/functions/{function_arn}/invocations"
    return {
        "Type": "AWS::ApiGateway::Method",
        "Properties": {
            "RestApiId": {"Ref": "Api"},
            "ResourceId": {"Ref": f"{function_name}Resource"},
            "HttpMethod": "ANY",
            "AuthorizationType": "NONE",
            "Integration": {"Type": "AWS_PROXY", "IntegrationHttpMethod": "POST", "Uri": {"Fn::Sub": uri}},
        },
    }


def path(part: str) -> dict[str, Any]:
    properties = {"RestApiId": {"Ref": "Api"}, "ParentId": {"Fn::GetAtt": ["Api", "RootResourceId"]}, "PathPart": part}
    return {"Type": "AWS::ApiGateway::Resource", "Properties": properties}


CALLBACK = {"Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken"}
PAYLOAD = {"FunctionName": "${Token}", "Payload": {"name.$": "$.name", "token.$": "$$.Task.Token"}}
TABLE = {
    "Type": "AWS::DynamoDB::Table",
    "Properties": {
        "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
    },
}
RESOURCES: dict[str, Any] = {
    "Table": TABLE,
    "Bucket": {"Type": "AWS::S3::Bucket"},
    "TlsOnly": {
        "Type": "AWS::S3::BucketPolicy",
        "Properties": {
            "Bucket": {"Ref": "Bucket"},
            "PolicyDocument": {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Effect": "Deny",
                        "Principal": {"AWS": "*"},
                        "Action": "s3:*",
                        "Resource": {"Fn::Sub": "${Bucket.Arn}/*"},
                        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                    }
                ],
            },
        },
    },
    "WriterRole": role(
        allow("dynamodb:PutItem", arn("Table")),
        allow("s3:GetObject", {"Fn::Sub": "${Bucket.Arn}/*"}),
        allow("sagemaker:DescribeTrainingJob", "arn:aws:sagemaker:*:*:training-job/allowed-*"),
        allow("sagemaker:DescribeProcessingJob", "arn:aws:sagemaker:*:*:processing-job/allowed-*"),
        allow("sagemaker:CreateTrainingJob", "*"),
        allow("iam:PassRole", arn("PassableRole")),
    ),
    "PassableRole": role(service="sagemaker.amazonaws.com"),
    "Echo": function(ECHO, "WriterRole"),
    "Silent": function(SILENT, "WriterRole"),
    "Slow": function(SLOW, "WriterRole", timeout=60),
    "Token": function(TOKEN, "WriterRole"),
    "Note": function(NOTE, "WriterRole"),
    "MachineRole": role(allow("lambda:InvokeFunction", [arn("Token"), arn("Slow")]), service="states.amazonaws.com"),
    "EmptyRole": role(service="states.amazonaws.com"),
    "Waiting": machine("MachineRole", {**CALLBACK, "Parameters": PAYLOAD}),
    "Impatient": machine("MachineRole", {**CALLBACK, "Parameters": PAYLOAD, "HeartbeatSeconds": 1}),
    "Forbidden": machine("EmptyRole", {"Resource": "${Echo}"}),
    "Working": machine("MachineRole", {"Resource": "${Slow}"}),
    "Rule": {
        "Type": "AWS::Events::Rule",
        "Properties": {
            "EventPattern": {"source": ["aws.states"], "detail": {"status": ["FAILED", "SUCCEEDED", "ABORTED"]}},
            "Targets": [{"Id": "note", "Arn": arn("Note")}],
        },
    },
    "Api": {"Type": "AWS::ApiGateway::RestApi", "Properties": {"Name": "hooks", "BinaryMediaTypes": ["*/*"]}},
    "EchoResource": path("echo"),
    "SlowResource": path("slow"),
    "EchoMethod": proxy("Echo"),
    "SlowMethod": proxy("Slow"),
    "Deployment": {
        "Type": "AWS::ApiGateway::Deployment",
        "DependsOn": ["EchoMethod", "SlowMethod"],
        "Properties": {"RestApiId": {"Ref": "Api"}},
    },
    "Stage": {
        "Type": "AWS::ApiGateway::Stage",
        "Properties": {"RestApiId": {"Ref": "Api"}, "DeploymentId": {"Ref": "Deployment"}, "StageName": "api"},
    },
}
OUTPUT_NAMES = ("Table", "Bucket", "Echo", "Silent", "Waiting", "Impatient", "Forbidden", "Working", "Api")


def template() -> str:
    """The template's text."""
    outputs: dict[str, Any] = {name: {"Value": {"Ref": name}} for name in OUTPUT_NAMES}
    outputs |= {name: {"Value": arn(name)} for name in ("WriterRole", "PassableRole", "EmptyRole")}
    return json.dumps({"Resources": RESOURCES, "Outputs": outputs})

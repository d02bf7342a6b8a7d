"""A template with functions that log and fail, one that takes logs, and an API with an access log and tokens."""

from __future__ import annotations

import json
from typing import Any

from cdk_app.constructs.rest_api import ACCESS_LOG
from tests.local.stack import TABLE, allow, arn, function, role

WRITER = """
import os, signal, time
def handler(event, context):
    for line in event["lines"]:
        print(line)
    time.sleep(event.get("seconds", 0))
    if event.get("die"):
        os.kill(os.getpid(), signal.SIGKILL)
    return context.log_stream_name if event.get("stream") else None
"""
TAKER = """
import base64, boto3, gzip, json, os, signal
table = boto3.client("dynamodb")
def count(key, field):
    return table.update_item(
        TableName=os.environ["TABLE"], Key={"id": {"S": key}}, UpdateExpression=f"ADD {field} :one",
        ExpressionAttributeValues={":one": {"N": "1"}}, ReturnValues="ALL_NEW")["Attributes"]
def handler(event, context):
    data = json.loads(gzip.decompress(base64.b64decode(event["awslogs"]["data"])))
    assert data["messageType"] == "DATA_MESSAGE" and data["owner"] == "000000000000"
    for found in data["logEvents"]:
        message = json.loads(found["message"])
        message.setdefault("id", message.get("request_id"))
        times = int(count(message["id"], "tries")["tries"]["N"])
        if message.get("kill", 0) >= times:
            os.kill(os.getpid(), signal.SIGKILL)
        if message.get("fail", 0) >= times:
            raise ValueError("this event fails")
        count(message["id"], "taken")
    count(f"{data['logGroup']} {data['logStream']}", "batches")
"""
ANSWERS = """
import json
def handler(event, context):
    if event["path"].endswith("crash"):
        raise ValueError("the function crashes")
    if event["path"].endswith("odd"):
        return {"no": "proxy response"}
    status = int((event.get("queryStringParameters") or {}).get("status", "200"))
    return {"statusCode": status, "body": json.dumps(event["requestContext"])}
"""


def group(name: str) -> dict[str, Any]:
    return {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": {"Fn::Sub": name}}}


def subscription(group_name: str, pattern: str) -> dict[str, Any]:
    properties = {"LogGroupName": {"Ref": group_name}, "FilterPattern": pattern, "DestinationArn": arn("Taker")}
    return {"Type": "AWS::Logs::SubscriptionFilter", "Properties": properties}


def resource(part: str) -> dict[str, Any]:
    properties = {"RestApiId": {"Ref": "Api"}, "ParentId": {"Fn::GetAtt": ["Api", "RootResourceId"]}, "PathPart": part}
    return {"Type": "AWS::ApiGateway::Resource", "Properties": properties}


def method(resource_name: str, **properties: Any) -> dict[str, Any]:
    uri = "arn:aws:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/${Answers.Arn}/invocations"
    return {
        "Type": "AWS::ApiGateway::Method",
        "Properties": {
            "RestApiId": {"Ref": "Api"},
            "ResourceId": {"Ref": resource_name},
            "HttpMethod": "ANY",
            "AuthorizationType": "NONE",
            "Integration": {"Type": "AWS_PROXY", "IntegrationHttpMethod": "POST", "Uri": {"Fn::Sub": uri}},
            **properties,
        },
    }


def answer(kind: str, status: str | None = None) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "RestApiId": {"Ref": "Api"},
        "ResponseType": kind,
        "ResponseTemplates": {"application/json": json.dumps({"code": kind, "request_id": "$context.requestId"})},
    }
    return {
        "Type": "AWS::ApiGateway::GatewayResponse",
        "Properties": properties | ({"StatusCode": status} if status else {}),
    }


TOKENS = {"AuthorizationType": "COGNITO_USER_POOLS", "AuthorizerId": {"Ref": "Authorizer"}}
RESOURCES: dict[str, Any] = {
    "Table": TABLE,
    "Role": role(allow("dynamodb:UpdateItem", arn("Table"))),
    "Writer": function(WRITER, "Role", timeout=60),
    "Taker": function(TAKER, "Role"),
    "Answers": function(ANSWERS, "Role"),
    "WriterLog": group("/aws/lambda/${Writer}"),
    "Queue": {"Type": "AWS::SQS::Queue"},
    "AccessLog": group("/access/${AWS::StackName}"),
    "WriterSubscription": subscription("WriterLog", '{ $.to = "taker" }'),
    "Pool": {"Type": "AWS::Cognito::UserPool", "Properties": {"UserPoolName": "observed"}},
    "Domain": {
        "Type": "AWS::Cognito::UserPoolDomain",
        "Properties": {"Domain": {"Fn::Sub": "tests-${AWS::StackName}"}, "UserPoolId": {"Ref": "Pool"}},
    },
    "Scopes": {
        "Type": "AWS::Cognito::UserPoolResourceServer",
        "Properties": {
            "Identifier": "observed",
            "Name": "observed",
            "UserPoolId": {"Ref": "Pool"},
            "Scopes": [{"ScopeName": "read", "ScopeDescription": "Read."}],
        },
    },
    "Client": {
        "Type": "AWS::Cognito::UserPoolClient",
        "DependsOn": ["Scopes"],
        "Properties": {
            "UserPoolId": {"Ref": "Pool"},
            "GenerateSecret": True,
            "AllowedOAuthFlows": ["client_credentials"],
            "AllowedOAuthFlowsUserPoolClient": True,
            "AllowedOAuthScopes": ["observed/read"],
        },
    },
    "Api": {"Type": "AWS::ApiGateway::RestApi", "Properties": {"Name": "observed", "BinaryMediaTypes": ["*/*"]}},
    "Authorizer": {
        "Type": "AWS::ApiGateway::Authorizer",
        "Properties": {
            "Name": "tokens",
            "RestApiId": {"Ref": "Api"},
            "Type": "COGNITO_USER_POOLS",
            "IdentitySource": "method.request.header.Authorization",
            "ProviderARNs": [arn("Pool")],
        },
    },
    "OpenResource": resource("open"),
    "CrashResource": resource("crash"),
    "OddResource": resource("odd"),
    "GuardedResource": resource("guarded"),
    "ScopedResource": resource("scoped"),
    "OpenMethod": method("OpenResource"),
    "CrashMethod": method("CrashResource"),
    "OddMethod": method("OddResource"),
    "GuardedMethod": method("GuardedResource", **TOKENS),
    "ScopedMethod": method("ScopedResource", **TOKENS, AuthorizationScopes=["observed/read"]),
    "Default4xx": answer("DEFAULT_4XX"),
    "Default5xx": answer("DEFAULT_5XX", "500"),
    "NoRoute": answer("MISSING_AUTHENTICATION_TOKEN", "404"),
    "Deployment": {
        "Type": "AWS::ApiGateway::Deployment",
        "DependsOn": ["OpenMethod", "CrashMethod", "OddMethod", "GuardedMethod", "ScopedMethod"],
        "Properties": {"RestApiId": {"Ref": "Api"}},
    },
    "Stage": {
        "Type": "AWS::ApiGateway::Stage",
        "Properties": {
            "RestApiId": {"Ref": "Api"},
            "DeploymentId": {"Ref": "Deployment"},
            "StageName": "api",
            "AccessLogSetting": {"DestinationArn": arn("AccessLog"), "Format": json.dumps(ACCESS_LOG)},
        },
    },
}
OUTPUT_NAMES = ("Table", "Writer", "Taker", "Answers", "WriterLog", "AccessLog", "Pool", "Client", "Api", "Queue")


def template() -> str:
    """The template's text."""
    return json.dumps({"Resources": RESOURCES, "Outputs": {name: {"Value": {"Ref": name}} for name in OUTPUT_NAMES}})

"""Which resources and roles a SageMaker or Batch request names, for the IAM check. Pure functions.

Sources: the service authorization reference of SageMaker and Batch; `batch:SubmitServiceJob` needs a job queue and
a service job, `sagemaker:CreateEndpoint` and `UpdateEndpoint` an endpoint and its configuration; whoever makes
something with tags needs `sagemaker:AddTags` or `batch:TagResource` on it too.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from typing import Any
from urllib.parse import unquote

SAGEMAKER_NAMES = {  # request member -> resource type; the first member that the operation is about comes first
    "TrainingJobName": "training-job",
    "ProcessingJobName": "processing-job",
    "InferenceComponentName": "inference-component",
    "EndpointName": "endpoint",
    "EndpointConfigName": "endpoint-config",
    "ModelName": "model",
}


def resources(service: str, operation: str, path: str, body: bytes, region: str, account: str) -> list[str]:
    """The ARNs that the caller needs `operation` on; `["*"]` for an operation without a resource."""
    request = json_object(body)
    prefix = f"arn:aws:{service}:{region}:{account}"
    if service == "batch":
        return batch_resources(operation, path, request, prefix)
    if path.startswith("/endpoints/"):
        return [f"{prefix}:endpoint/{unquote(path.split('/')[2])}"]
    if operation.startswith("List") and "ResourceArn" not in request:
        return ["*"]
    if "ResourceArn" in request:
        return [request["ResourceArn"]]
    wanted = SAGEMAKER_NAMES
    if operation in ("CreateEndpointConfig", "DescribeEndpointConfig", "DeleteEndpointConfig"):
        wanted = {"EndpointConfigName": "endpoint-config"}
    return [f"{prefix}:{kind}/{request[name]}" for name, kind in wanted.items() if name in request] or ["*"]


def called_component(path: str, headers: dict[str, str], region: str, account: str) -> list[str]:
    """The ARN of the inference component that a call of an endpoint names, which the caller needs beside its own."""
    name = headers.get("x-amzn-sagemaker-inference-component")
    of_an_endpoint = path.startswith("/endpoints/") and name
    return [f"arn:aws:sagemaker:{region}:{account}:inference-component/{name}"] if of_an_endpoint else []


def batch_resources(operation: str, path: str, request: dict[str, Any], prefix: str) -> list[str]:
    """The ARNs of a Batch request; a name given as an ARN is one already."""

    def arn(kind: str, name: str) -> str:
        return name if name.startswith("arn:") else f"{prefix}:{kind}/{name}"

    if path.startswith("/v1/tags/"):
        return [unquote(path.removeprefix("/v1/tags/"))]
    if operation == "SubmitServiceJob":
        return [arn("job-queue", request.get("jobQueue", "")), f"{prefix}:service-job/*"]
    if "jobId" in request:
        return [arn("service-job", request["jobId"])]
    if "jobQueue" in request and not operation.startswith("List"):
        return [arn("job-queue", request["jobQueue"])]
    return ["*"]


def tagged(service: str, operation: str, path: str, body: bytes, region: str, account: str) -> list[tuple[str, str]]:
    """The (action, ARN) that a request which makes something with tags needs besides the permission to make it."""
    request = json_object(body)
    if operation in ("AddTags", "TagResource") or not (request.get("Tags") or request.get("tags")):
        return []
    named = resources(service, operation, path, body, region, account)
    return [("batch:TagResource", named[-1]) if service == "batch" else ("sagemaker:AddTags", named[0])]


def passed_roles(service: str, operation: str, body: bytes) -> list[str]:
    """The roles that a request hands to SageMaker: the caller needs `iam:PassRole` on each."""
    request = json_object(body)
    if service == "batch" and operation == "SubmitServiceJob":
        request = json_object(str(request.get("serviceRequestPayload", "")).encode())
    roles = (request.get("RoleArn"), request.get("ExecutionRoleArn"))
    return [role for role in roles if isinstance(role, str)]


def role_key(role_arn: str, secret: str) -> dict[str, str]:
    """Session credentials for the role, made from this platform's secret: the same role always gets the same ones."""
    digest = hmac.new(secret.encode(), role_arn.encode(), hashlib.sha512).hexdigest()
    return {
        "access_key_id": f"ASIA{digest[:16].upper()}",
        "secret_access_key": digest[16:56],
        "session_token": digest[56:],
    }


def log_group_resource(arn: str, headers: dict[str, str]) -> str:
    """The ARN that AWS judges a call on a log group by: it ends in `:log-stream:`, so policies say `<group>:*`.

    Only the tagging calls are judged by the bare ARN (CloudWatch Logs, "log group ARNs in IAM policies").
    """
    bare = re.fullmatch(r"arn:[^:]+:logs:[^:]*:[^:]*:log-group:[^:]+", arn)
    tagging = "Tag" in headers.get("x-amz-target", "")
    return f"{arn}:log-stream:" if bare and not tagging else arn


def json_object(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`, or an empty one: the service itself answers a malformed request."""
    try:
        content = json.loads(body)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}

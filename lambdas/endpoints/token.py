"""Bearer tokens for OpenAI's clients: good for one endpoint, for minutes, and straight to SageMaker.

A token is a presigned call in base64 and carries the signer's whole authority, so it is signed by a session of the
token role that may do nothing but call this endpoint, never by the function itself ("Invoke endpoints with
OpenAI-compatible APIs" of the SageMaker Developer Guide).
"""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from lambdas.common import aws
from lambdas.common.environment import variable
from lambdas.common.errors import Conflict
from lambdas.common.store import iso
from lambdas.endpoints.invocation import SERVING
from lambdas.endpoints.schemas import Endpoint

HOST = "sagemaker.amazonaws.com"
PREFIX = "sagemaker-api-key-"
SHORTEST_SESSION = 900  # seconds that STS lets a session live at least; the token may die before


class TokenRequest(BaseModel):
    """How long a token is to live."""

    model_config = ConfigDict(extra="forbid")

    expires_in: int = Field(default=900, ge=1, le=3600, description="Seconds. A token cannot be taken back.")


class Token(BaseModel):
    """What an OpenAI client needs: `OpenAI(base_url=..., api_key=token)`."""

    token: str
    base_url: str
    expires_at: str


def mint(endpoint: Endpoint, seconds: int) -> Token:
    """Return a token for one endpoint; raises Conflict when it is not in service."""
    if endpoint.status not in SERVING:
        raise Conflict(f"The endpoint {endpoint.id} is {endpoint.status}; take a token once it is in_service.")
    session = aws.client("sts").assume_role(
        RoleArn=variable("TOKEN_ROLE_ARN"),
        RoleSessionName=endpoint.owner,  # the audit trail says whose endpoint was called
        DurationSeconds=max(seconds, SHORTEST_SESSION),
        Policy=json.dumps(policy(*arns(endpoint))),
    )
    runtime = aws.client("sagemaker-runtime").meta
    component = f"/inference-components/{endpoint.endpoint_name}" if endpoint.host else ""
    return Token(
        token=signed(session["Credentials"], runtime.region_name, seconds),
        base_url=f"{runtime.endpoint_url}/endpoints/{endpoint.sagemaker_endpoint}{component}/openai/v1",
        expires_at=iso(datetime.now(UTC) + timedelta(seconds=seconds)),
    )


def policy(*arns: str) -> dict[str, Any]:
    """Return what the holder of a token may do: call these and nothing else."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "sagemaker:CallWithBearerToken", "Resource": "*"},
            {"Effect": "Allow", "Action": "sagemaker:InvokeEndpoint", "Resource": list(arns)},
        ],
    }


def arns(endpoint: Endpoint) -> list[str]:
    """Return the ARNs of SageMaker's endpoint and of its component, which are in the account of the role."""
    _, partition, _, _, account, _ = variable("TOKEN_ROLE_ARN").split(":", 5)
    region = aws.client("sagemaker-runtime").meta.region_name
    prefix = f"arn:{partition}:sagemaker:{region}:{account}"
    component = [f"{prefix}:inference-component/{endpoint.endpoint_name}"] if endpoint.host else []
    return [f"{prefix}:endpoint/{endpoint.sagemaker_endpoint}", *component]


def signed(credentials: dict[str, Any], region: str, seconds: int) -> str:
    """Return the token that these credentials sign, good for so many seconds."""
    from botocore.auth import SigV4QueryAuth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    key = Credentials(credentials["AccessKeyId"], credentials["SecretAccessKey"], credentials["SessionToken"])
    call = AWSRequest("POST", f"https://{HOST}/", headers={"host": HOST}, params={"Action": "CallWithBearerToken"})
    SigV4QueryAuth(key, "sagemaker", region, expires=seconds).add_auth(call)
    return PREFIX + base64.b64encode(f"{str(call.url).removeprefix('https://')}&Version=1".encode()).decode()

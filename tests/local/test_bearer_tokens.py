"""Bearer tokens against the emulator's own IAM: good for what their session may do, while they live, as signed.

`pytest tests/local/test_bearer_tokens.py`
"""

import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from ministack.core import responses
from ministack.services import iam, sts

from local import bearer_tokens
from local.home import ACCOUNT
from local.sagemaker.protocol import ServiceError

KEY = {"AccessKeyId": "ASIABEARERTOKENS0001", "SecretAccessKey": "secret", "SessionToken": "session"}
CALL = ("sagemaker:CallWithBearerToken", "*")
PREFIX = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:endpoint"


def statements(*resources: str) -> str:
    allowed = [
        {"Effect": "Allow", "Action": CALL[0], "Resource": "*"},
        {"Effect": "Allow", "Action": "sagemaker:InvokeEndpoint", "Resource": list(resources)},
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": allowed})


def invoke(name: str) -> list[tuple[str, str]]:
    return [CALL, ("sagemaker:InvokeEndpoint", f"{PREFIX}/{name}")]


@pytest.fixture(autouse=True)
def session() -> Iterator[dict[str, Any]]:
    """A session of a role that may call every endpoint of ours, narrowed to one."""
    responses.set_request_account_id(ACCOUNT)
    iam._roles["tokens"] = {
        "RoleName": "tokens",
        "Arn": f"arn:aws:iam::{ACCOUNT}:role/tokens",
        "AttachedPolicies": [],
        "InlinePolicies": {"grants": statements(f"{PREFIX}/ours-*")},
    }
    made: dict[str, Any] = {
        "Arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/tokens/ada",
        "UserId": "AROATOKENS:ada",
        "SecretAccessKey": KEY["SecretAccessKey"],
        "SessionToken": KEY["SessionToken"],
        "Expiration": time.time() + 900,
        "AccountId": ACCOUNT,
        "PrincipalType": "AssumedRole",
        "SessionPolicies": {"Policy": statements(f"{PREFIX}/ours-a"), "PolicyArns": []},
    }
    sts.register_session(KEY["AccessKeyId"], made)
    yield made
    sts._sessions.pop(KEY["AccessKeyId"], None)
    del iam._roles["tokens"]


def call(seconds: int = 900, region: str = "us-east-1", service: str = "sagemaker", secret: str = "secret") -> str:
    """A presigned call as tokens hold it."""
    credentials = Credentials(KEY["AccessKeyId"], secret, KEY["SessionToken"])
    host = bearer_tokens.HOST
    request = AWSRequest("POST", f"https://{host}/", headers={"host": host}, params={"Action": "CallWithBearerToken"})
    SigV4QueryAuth(credentials, service, region, expires=seconds).add_auth(request)
    return f"{str(request.url).removeprefix('https://')}&Version=1"


def token(text: str) -> str:
    return bearer_tokens.PREFIX + base64.b64encode(text.encode()).decode()


def refused(given: str, name: str = "ours-a") -> str:
    with pytest.raises(ServiceError) as error:
        bearer_tokens.check(given, invoke(name))
    assert error.value.status == 403
    return error.value.code


def test_a_token_is_good_for_the_endpoint_of_its_session() -> None:
    bearer_tokens.check(token(call()), invoke("ours-a"))


@pytest.mark.parametrize("name", ["ours-b", "ours-a2", "theirs", "*"])
def test_it_is_good_for_no_other(name: str) -> None:
    assert refused(token(call()), name) == "AccessDeniedException"


def test_a_session_without_a_policy_of_its_own_may_do_what_its_role_may(session: dict[str, Any]) -> None:
    session["SessionPolicies"] = None
    bearer_tokens.check(token(call()), invoke("ours-b"))
    assert refused(token(call()), "theirs") == "AccessDeniedException"


def test_it_ends_at_its_own_time_and_with_its_session(session: dict[str, Any]) -> None:
    short = token(call(seconds=60))
    bearer_tokens.check(short, invoke("ours-a"))
    assert bearer_tokens.is_expired(time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() - 3)), "1")
    assert refused(token(call(seconds=13 * 3600))) == "ExpiredTokenException"  # nobody's may live so long
    session["Expiration"] = time.time() - 1
    assert refused(token(call())) == "ExpiredTokenException"


@pytest.mark.parametrize(
    "forged",
    [
        call().replace("X-Amz-Expires=900", "X-Amz-Expires=3600"),
        call(secret="guessed"),
        call().replace("Action=CallWithBearerToken", "Action=ListEndpoints"),
        call().replace("session", "another"),
        call(region="eu-west-1"),
        call(service="bedrock"),
        call().replace("sagemaker.amazonaws.com/", "sagemaker.amazonaws.com/x"),
        call().replace("sagemaker.amazonaws.com/", "bedrock.amazonaws.com/"),
        call().replace(KEY["AccessKeyId"], "ASIANOBODYS000000000"),
        "nonsense",
        "",
    ],
)
def test_what_was_not_signed_so_is_refused(forged: str) -> None:
    refused(token(forged))


@pytest.mark.parametrize("text", ["", "sk-abc", "sagemaker-api-key-", "sagemaker-api-key-ä", "sagemaker-api-key-@@"])
def test_what_is_no_token_is_refused(text: str) -> None:
    assert refused(text) == "UnrecognizedClientException"

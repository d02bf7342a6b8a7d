"""Cognito's tokens for programs, through the front door.  `pytest tests/local/test_tokens_for_programs.py`"""

from __future__ import annotations

import pytest
import requests

from local.deploy import write_urls
from local.front_door import MAX_FORM_BYTES
from tests.local.small import Small

FORM = {"grant_type": "client_credentials", "scope": "observed/read"}


@pytest.fixture
def url(small: Small) -> str:
    return f"http://localhost:{small.process.port}/oauth2/token"


@pytest.fixture
def client(small: Small, observed_stack: dict[str, str]) -> tuple[str, str]:
    """The id and the secret of a program's client."""
    id = observed_stack["Client"]
    found = small.client("cognito-idp").describe_user_pool_client(UserPoolId=observed_stack["Pool"], ClientId=id)
    return id, found["UserPoolClient"]["ClientSecret"]


def test_a_programs_token_has_the_scope_and_reaches_the_function(
    url: str, client: tuple[str, str], observed_api: str
) -> None:
    answer = requests.post(url, data=FORM, auth=client)
    assert answer.status_code == 200, answer.text
    assert answer.json()["token_type"] == "Bearer"
    headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    for path in ("/scoped", "/guarded"):  # the emulator's authorizer is laxer than AWS's on the second
        seen = requests.get(f"{observed_api}{path}", headers=headers).json()["authorizer"]["claims"]
        assert (seen["token_use"], seen["scope"], seen["client_id"]) == ("access", "observed/read", client[0])
    assert "cognito:username" not in seen


def test_the_secret_may_be_in_the_form(url: str, client: tuple[str, str]) -> None:
    answer = requests.post(url, data={**FORM, "client_id": client[0], "client_secret": client[1]})
    assert answer.json()["access_token"]


def test_another_secret_or_scope_gets_no_token(url: str, client: tuple[str, str]) -> None:
    assert requests.post(url, data=FORM, auth=(client[0], "wrong")).status_code in (400, 401)
    assert requests.post(url, data={**FORM, "scope": "observed/write"}, auth=client).status_code == 400
    assert requests.post(url, data=FORM).status_code in (400, 401)


def test_without_a_token_a_guarded_route_stays_shut(observed_api: str) -> None:
    assert requests.get(f"{observed_api}/scoped").status_code == 401


def test_nothing_else_of_cognito_is_reached(small: Small, url: str) -> None:
    for method, path in (("GET", "/oauth2/token"), ("POST", "/oauth2/authorize"), ("POST", "/oauth2/token/x")):
        answer = requests.request(method, f"http://localhost:{small.process.port}{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    sneaked = requests.post(url, data="{}", headers={"X-Amz-Target": "AWSCognitoIdentityProviderService.ListUserPools"})
    assert "UserPools" not in sneaked.text


def test_a_long_form_is_refused(url: str) -> None:
    assert requests.post(url, data=b"x" * (MAX_FORM_BYTES + 1)).status_code == 413


def test_the_token_url_is_written_where_the_stage_has_one(small: Small, url: str) -> None:
    before = small.outputs
    small.files.write(
        "outputs.json", {**before, "TokenUrl": "https://slipway.auth.us-east-1.amazoncognito.com/oauth2/token"}
    )
    write_urls(small.files, small.process)
    assert (small.outputs["TokenUrl"], small.outputs["ApiUrl"]) == (url, small.api_url)
    small.files.write("outputs.json", before)
    write_urls(small.files, small.process)
    assert "TokenUrl" not in small.outputs

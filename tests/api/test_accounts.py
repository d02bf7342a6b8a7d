"""Accounts through their API: register, confirm, sign in, forget, close; and what admins do.

Run: python -m pytest tests/api/test_accounts.py
"""

import base64
import json
import os
from collections.abc import Callable
from typing import Any

import boto3
import pytest

from lambdas.accounts import tasks
from lambdas.common.errors import BadRequest, Conflict, Forbidden
from tests.api.client import ApiClient

PASSWORD = "correct-horse-7"
SIGN_UP_CODE = "123456"  # the emulator's, always
RESET_CODE = "654321"


def registration(client: ApiClient, **changes: Any) -> dict[str, Any]:
    return {"username": client.username, "email": f"{client.username}@example.org", "password": PASSWORD} | changes


def open_account(client: ApiClient, **changes: Any) -> None:
    assert client.post("/auth/register", registration(client, **changes)).status == 201
    assert client.post("/auth/confirm", {"username": client.username, "code": SIGN_UP_CODE}).status == 200


def sign_in(client: ApiClient, password: str = PASSWORD) -> dict[str, Any]:
    answer = client.post("/auth/login", {"username": client.username, "password": password})
    assert answer.status == 200, answer.body
    return answer.body


def claims_of(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


@pytest.fixture
def ada(api: Callable[..., ApiClient]) -> ApiClient:
    """A client whose account does not exist yet."""
    return api("accounts")


@pytest.fixture
def member(ada: ApiClient) -> ApiClient:
    """A client with a confirmed account."""
    open_account(ada, full_name="Ada Lovelace")
    return ada


def test_registering_asks_for_the_code_and_confirming_lets_one_sign_in(ada: ApiClient) -> None:
    registered = ada.post("/auth/register", registration(ada))
    assert (registered.status, registered.body["confirmed"]) == (201, False)
    early = ada.post("/auth/login", {"username": ada.username, "password": PASSWORD})
    assert early.status == 403
    assert "/auth/confirm" in early.body["detail"]
    assert ada.post("/auth/confirm", {"username": ada.username, "code": "000000"}).status == 400
    assert ada.post("/auth/confirm", {"username": ada.username, "code": SIGN_UP_CODE}).status == 200
    tokens = sign_in(ada)
    assert tokens["token_type"] == "Bearer"
    assert tokens["expires_in"] > 0
    claims = claims_of(tokens["id_token"])
    assert (claims["token_use"], claims["cognito:username"]) == ("id", ada.username)


def test_a_taken_username_is_a_conflict_and_a_known_address_is_not(
    member: ApiClient, api: Callable[..., ApiClient]
) -> None:
    again = member.post("/auth/register", registration(member, email="other@example.org"))
    assert (again.status, again.body["code"]) == (409, "conflict")
    assert "mail" not in again.body["detail"]
    other = api("accounts")
    same_address = f"{member.username}@example.org"
    assert other.post("/auth/register", registration(other, email=same_address)).status == 201


def test_a_weak_password_is_refused_with_the_field_and_the_reason(ada: ApiClient) -> None:
    answer = ada.post("/auth/register", registration(ada, password="short"))
    assert answer.status == 400
    assert answer.body["errors"][0]["field"] == "password"
    assert "8" in answer.body["errors"][0]["message"]


@pytest.mark.parametrize("username", ["A", "a", "Ada", "-ada", "a" * 40, "ada_l", "search", "admin", "ada\n"])
def test_usernames_that_cannot_be_owners_are_refused(ada: ApiClient, username: str) -> None:
    answer = ada.post("/auth/register", registration(ada, username=username))
    assert answer.status == 400
    assert answer.body["errors"][0]["field"] == "username"


def test_a_wrong_password_and_an_unknown_user_look_the_same(member: ApiClient) -> None:
    wrong = member.post("/auth/login", {"username": member.username, "password": "wrong-horse-7"})
    unknown = member.post("/auth/login", {"username": "nobody-at-all", "password": PASSWORD})
    assert wrong.status == unknown.status == 401
    assert wrong.body == unknown.body
    assert wrong.body["detail"] == "Wrong username or password."


def test_a_refresh_token_gives_new_tokens_until_logout(member: ApiClient) -> None:
    refresh_token = sign_in(member)["refresh_token"]
    renewed = member.post("/auth/refresh", {"refresh_token": refresh_token})
    assert renewed.status == 200
    assert renewed.body["refresh_token"] == refresh_token
    assert claims_of(renewed.body["id_token"])["cognito:username"] == member.username
    assert member.post("/auth/logout", {"refresh_token": refresh_token}).status == 204
    over = member.post("/auth/refresh", {"refresh_token": refresh_token})
    assert (over.status, over.body["code"]) == (401, "unauthenticated")


def test_a_forgotten_password_is_set_anew_with_the_code(member: ApiClient) -> None:
    assert member.post("/auth/forgot-password", {"username": member.username}).status == 202
    reset = {"username": member.username, "code": RESET_CODE, "new_password": "another-horse-8"}
    wrong = member.post("/auth/reset-password", reset | {"code": "000000"})
    assert (wrong.status, wrong.body["errors"][0]["field"]) == (400, "code")
    weak = member.post("/auth/reset-password", reset | {"new_password": "short"})
    assert (weak.status, weak.body["errors"][0]["field"]) == (400, "new_password")
    assert member.post("/auth/reset-password", reset).status == 200
    sign_in(member, "another-horse-8")
    assert member.post("/auth/login", {"username": member.username, "password": PASSWORD}).status == 401


def test_asking_for_a_code_never_says_whether_the_account_exists(member: ApiClient) -> None:
    for path in ("/auth/forgot-password", "/auth/confirm"):
        known = member.post(path, {"username": member.username})
        unknown = member.post(path, {"username": "nobody-at-all"})
        assert known.body == unknown.body
        assert known.status == unknown.status
    body = {"username": "nobody-at-all", "code": RESET_CODE, "new_password": "another-horse-8"}
    assert member.post("/auth/reset-password", body).body["code"] == "bad_request"


def test_a_temporary_password_must_be_replaced_at_the_first_sign_in(ada: ApiClient) -> None:
    boto3.client("cognito-idp").admin_create_user(
        UserPoolId=os.environ["USER_POOL_ID"], Username=ada.username, TemporaryPassword="temporary-1"
    )
    login = {"username": ada.username, "password": "temporary-1"}
    first = ada.post("/auth/login", login)
    assert first.status == 403
    assert "new_password" in first.body["detail"]
    assert ada.post("/auth/login", login | {"new_password": PASSWORD}).status == 200
    sign_in(ada)


def test_me_is_read_and_renamed(member: ApiClient) -> None:
    me = member.get("/auth/me")
    assert me.status == 200
    assert (me.body["username"], me.body["full_name"], me.body["group"]) == (member.username, "Ada Lovelace", "member")
    assert me.body["created_at"].endswith("Z")
    assert member.patch("/auth/me", {"full_name": "Ada King"}).body["full_name"] == "Ada King"
    assert member.get("/auth/me").body["full_name"] == "Ada King"


@pytest.mark.parametrize(
    "body", [{"group": "admin"}, {"full_name": "Ada", "email": "x@example.org"}, {}, {"full_name": ""}]
)
def test_me_takes_nothing_but_a_full_name(member: ApiClient, body: dict[str, str]) -> None:
    assert member.patch("/auth/me", body).status == 400


def test_no_token_and_an_access_token_are_refused(member: ApiClient) -> None:
    assert member.call("GET", "/auth/me", claims={}).status == 401
    access = member.claims() | {"token_use": "access"}
    assert member.call("GET", "/auth/me", claims=access).body["code"] == "unauthenticated"


def test_a_deleted_account_is_gone_and_its_name_is_never_given_again(member: ApiClient) -> None:
    assert member.delete("/auth/me").status == 204
    assert member.post("/auth/login", {"username": member.username, "password": PASSWORD}).status == 401
    assert member.get("/auth/me").status == 404
    again = member.post("/auth/register", registration(member))
    assert (again.status, again.body["detail"]) == (409, "The username is taken; choose another.")
    with pytest.raises(Conflict):
        tasks.pre_sign_up(sign_up_event(member.username), None)


def test_an_account_that_owns_something_is_not_deleted(member: ApiClient, api: Callable[..., ApiClient]) -> None:
    datasets = api("datasets", username=member.username)
    body = {"name": "d", "type": "tabular", "format": "csv", "files": [{"filename": "d.csv", "size": 1}]}
    dataset = datasets.post("/datasets", body).body["id"]
    refused = member.delete("/auth/me")
    assert refused.status == 409
    assert "datasets" in refused.body["detail"]
    sign_in(member)
    assert datasets.delete(f"/datasets/{dataset}").status == 204
    assert member.delete("/auth/me").status == 204


def test_admins_list_all_accounts_page_by_page(member: ApiClient, api: Callable[..., ApiClient]) -> None:
    open_account(api("accounts"))
    admin = api("accounts", group="admin")
    seen, url = [], "/auth/users?limit=1"
    while True:
        page = admin.get(url).body
        seen += [account["username"] for account in page["items"]]
        if page["next_cursor"] is None:
            break
        url = f"/auth/users?limit=1&cursor={page['next_cursor']}"
    assert member.username in seen
    assert len(seen) == len(set(seen)) >= 2


def test_only_admins_manage_accounts(member: ApiClient, api: Callable[..., ApiClient]) -> None:
    for client in (member, api("accounts", group="viewer"), api("accounts", group="administrators")):
        assert client.get("/auth/users").status == 403
        assert client.patch(f"/auth/users/{member.username}", {"group": "admin"}).status == 403


def test_an_admin_moves_an_account_between_groups(member: ApiClient, api: Callable[..., ApiClient]) -> None:
    admin = api("accounts", group="admin")
    for group in ("viewer", "admin", "member"):
        changed = admin.patch(f"/auth/users/{member.username}", {"group": group})
        assert (changed.status, changed.body["group"]) == (200, group)
        assert claims_of(sign_in(member)["id_token"])["cognito:groups"] == [group]


def test_an_account_shut_out_can_neither_sign_in_nor_refresh(member: ApiClient, api: Callable[..., ApiClient]) -> None:
    admin = api("accounts", group="admin")
    refresh_token = sign_in(member)["refresh_token"]
    assert admin.patch(f"/auth/users/{member.username}", {"enabled": False}).body["enabled"] is False
    assert member.post("/auth/login", {"username": member.username, "password": PASSWORD}).status == 401
    assert member.post("/auth/refresh", {"refresh_token": refresh_token}).status == 401
    assert admin.patch(f"/auth/users/{member.username}", {"enabled": True}).body["enabled"] is True
    sign_in(member)


def test_admins_cannot_lock_themselves_out(api: Callable[..., ApiClient]) -> None:
    admin = api("accounts", group="admin")
    assert admin.patch(f"/auth/users/{admin.username}", {"group": "member"}).status == 409


def test_changing_an_unknown_account_is_not_found(api: Callable[..., ApiClient]) -> None:
    assert api("accounts", group="admin").patch("/auth/users/nobody-at-all", {"enabled": False}).status == 404


def sign_up_event(username: str, email: str = "ada@example.org", source: str = "PreSignUp_SignUp") -> dict[str, Any]:
    """The event of Cognito's developer guide, "Pre sign-up Lambda trigger"."""
    return {
        "version": "1",
        "triggerSource": source,
        "region": "us-east-1",
        "userPoolId": "us-east-1_abcdefghi",
        "userName": username,
        "callerContext": {"awsSdkVersion": "aws-sdk-unknown-unknown", "clientId": "abc"},
        "request": {"userAttributes": {"email": email}, "validationData": {}},
        "response": {"autoConfirmUser": False, "autoVerifyEmail": False, "autoVerifyPhone": False},
    }


@pytest.mark.parametrize(
    ("mode", "auto_confirm", "confirmed"),
    [("open", "true", True), ("open", "false", False), ("open", None, False), ("domains", "true", False)],
)
def test_the_trigger_confirms_at_once_only_where_the_stage_and_an_open_sign_up_say_so(
    monkeypatch: pytest.MonkeyPatch, mode: str, auto_confirm: str | None, confirmed: bool
) -> None:
    monkeypatch.setenv("SIGN_UP", mode)
    monkeypatch.setenv("SIGN_UP_DOMAINS", "example.org")
    if auto_confirm:
        monkeypatch.setenv("AUTO_CONFIRM", auto_confirm)
    event = tasks.pre_sign_up(sign_up_event("newcomer"), None)
    assert event["response"]["autoConfirmUser"] is confirmed
    assert event["response"]["autoVerifyEmail"] is False


def test_the_trigger_enforces_what_the_api_says(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadRequest):
        tasks.pre_sign_up(sign_up_event("Ada"), None)
    with pytest.raises(BadRequest):
        tasks.pre_sign_up(sign_up_event("admin"), None)
    tasks.pre_sign_up(sign_up_event("admin", source="PreSignUp_AdminCreateUser"), None)
    monkeypatch.setenv("SIGN_UP", "invite")
    with pytest.raises(Forbidden):
        tasks.pre_sign_up(sign_up_event("newcomer"), None)
    tasks.pre_sign_up(sign_up_event("newcomer", source="PreSignUp_AdminCreateUser"), None)


def test_by_invitation_nobody_registers(ada: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGN_UP", "invite")
    refused = ada.post("/auth/register", registration(ada))
    assert refused.status == 403
    assert "admin" in refused.body["detail"]

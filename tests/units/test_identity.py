"""Who is calling, from the authorizer's claims. Run: python -m pytest tests/units/test_identity.py"""

from typing import Any

import pytest

from lambdas.common.errors import Unauthenticated
from lambdas.common.identity import Caller, caller_of, groups_of, role_of


def event(claims: dict[str, Any] | None) -> dict[str, Any]:
    return {"requestContext": {"authorizer": {"claims": claims}} if claims is not None else {}}


@pytest.mark.parametrize(
    "claim", [["admin", "viewer"], "[admin viewer]", "admin,viewer", "admin, viewer", "admin viewer"]
)
def test_groups_are_read_in_every_form_they_come_in(claim: object) -> None:
    assert groups_of(claim) == {"admin", "viewer"}


@pytest.mark.parametrize("claim", [None, "", "[]", [], 7])
def test_no_group_is_no_group(claim: object) -> None:
    assert groups_of(claim) == set()


@pytest.mark.parametrize(
    ("groups", "role"),
    [
        (set(), "member"),
        ({"member"}, "member"),
        ({"viewer"}, "viewer"),
        ({"viewer", "member"}, "member"),
        ({"viewer", "admin"}, "admin"),
        ({"administrators"}, "member"),
        ({"not-admin"}, "member"),
    ],
)
def test_the_strongest_group_is_the_role(groups: set[str], role: str) -> None:
    assert role_of(groups) == role


def test_the_caller_is_the_user_of_the_id_token() -> None:
    claims = {"token_use": "id", "cognito:username": "ada", "cognito:groups": "[viewer]", "email": "ada@example.org"}
    assert caller_of(event(claims)) == Caller("ada", "viewer", "ada@example.org")


@pytest.mark.parametrize(
    "claims",
    [
        None,
        {},
        {"token_use": "access", "username": "ada"},
        {"token_use": "access", "cognito:username": "ada"},
        {"token_use": "id"},
        {"token_use": "id", "cognito:username": ""},
        {"cognito:username": "ada"},
    ],
)
def test_anything_but_an_id_token_is_unauthenticated(claims: dict[str, Any] | None) -> None:
    with pytest.raises(Unauthenticated):
        caller_of(event(claims))


def test_an_event_without_authorizer_is_unauthenticated() -> None:
    with pytest.raises(Unauthenticated):
        caller_of({"requestContext": {"authorizer": None}})

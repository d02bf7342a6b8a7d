"""Who may open an account. Run: python -m pytest tests/units/test_sign_up.py"""

from functools import partial

import pytest
from botocore.exceptions import ClientError

from lambdas.accounts.cognito import our_errors
from lambdas.accounts.sign_up import SignUpPolicy, check_sign_up, check_username
from lambdas.common.errors import BadRequest, Forbidden, TooManyRequests, Unauthenticated

OPEN = SignUpPolicy("open", frozenset())
DOMAINS = SignUpPolicy("domains", frozenset({"example.org"}))


def test_without_a_setting_nobody_signs_up() -> None:
    with pytest.raises(Forbidden):
        check_sign_up("ada", "ada@example.org", SignUpPolicy.of({}))


def test_the_domain_list_is_read_tolerantly() -> None:
    policy = SignUpPolicy.of({"SIGN_UP": "domains", "SIGN_UP_DOMAINS": " Example.org, lab.example.com,"})
    assert policy.domains == {"example.org", "lab.example.com"}
    check_sign_up("ada", "ada@EXAMPLE.ORG", policy)


@pytest.mark.parametrize(
    "email",
    ["ada@example.com", "ada@sub.example.org", "ada@notexample.org", "ada@example.org@evil.com", "", "example.org@"],
)
def test_an_address_of_another_domain_is_kept_out(email: str) -> None:
    with pytest.raises(Forbidden):
        check_sign_up("ada", email, DOMAINS)


def test_an_unknown_mode_keeps_everyone_out() -> None:
    with pytest.raises(Forbidden):
        check_sign_up("ada", "ada@example.org", SignUpPolicy("opn", frozenset()))


@pytest.mark.parametrize(
    "username", ["", "a", "-a", "A1", "a_b", "a.b", "a b", "a" * 40, "ada\n", "uploads", "compare"]
)
def test_a_username_that_cannot_be_a_path_segment_is_refused(username: str) -> None:
    with pytest.raises(BadRequest):
        check_username(username)


@pytest.mark.parametrize("username", ["ada", "a1", "0x", "a-b-", "a" * 39])
def test_other_usernames_are_free(username: str) -> None:
    check_username(username)


def test_official_names_are_only_given_by_admins() -> None:
    check_username("admin")
    with pytest.raises(BadRequest):
        check_sign_up("admin", "ada@example.org", OPEN)


def raised(code: str, message: str = "") -> Exception:
    """What comes out of a sign-in when Cognito says `code`."""
    error = ClientError({"Error": {"Code": code, "Message": message}}, "InitiateAuth")
    wrong_password = partial(Unauthenticated, "Wrong username or password.")
    with pytest.raises(Exception) as caught, our_errors(NotAuthorizedException=wrong_password):
        raise error
    return caught.value


def test_cognitos_lock_out_is_not_taken_for_a_wrong_password() -> None:
    locked = raised("NotAuthorizedException", "Password attempts exceeded")
    assert isinstance(locked, TooManyRequests)
    assert locked.retry_after
    wrong = raised("NotAuthorizedException", "Incorrect username or password.")
    assert isinstance(wrong, Unauthenticated)


def test_each_failure_is_a_new_error() -> None:
    assert raised("ExpiredCodeException") is not raised("ExpiredCodeException")


def test_what_nobody_can_act_on_passes_unchanged() -> None:
    assert isinstance(raised("InternalErrorException"), ClientError)

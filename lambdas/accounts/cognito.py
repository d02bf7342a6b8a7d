"""Cognito as this noun sees it: its public self-service client, and its errors in our words."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

from botocore.exceptions import ClientError

from lambdas.common.aws import error_code
from lambdas.common.errors import (
    BadRequest,
    Conflict,
    Forbidden,
    NotFound,
    SlipwayError,
    TooManyRequests,
    Unavailable,
)

Failure = Callable[[], SlipwayError]

username_taken = partial(Conflict, "The username is taken; choose another.")
wrong_code = partial(
    BadRequest,
    "The code is wrong or has expired; ask for a new one.",
    errors=[{"field": "code", "message": "wrong or expired"}],
)
locked_out = partial(TooManyRequests, "Too many failed attempts; wait 15 minutes and try again.", retry_after=900)

# Cognito's errors in our words (API reference of cognito-idp, "Errors" of each operation).
FAILURES: dict[str, Failure] = {
    "UsernameExistsException": username_taken,
    "UserNotFoundException": partial(NotFound, "There is no such account."),
    "UserNotConfirmedException": partial(
        Forbidden,
        "The account is not confirmed yet; send the e-mailed code to POST /auth/confirm, "
        "or only the username to get a new code.",
    ),
    "PasswordResetRequiredException": partial(
        Forbidden, "The password must be set anew; start with POST /auth/forgot-password."
    ),
    "CodeMismatchException": wrong_code,
    "ExpiredCodeException": wrong_code,
    "AliasExistsException": partial(
        Conflict, "This e-mail address belongs to another account; sign in with that one or register another address."
    ),
    "CodeDeliveryFailureException": partial(
        Unavailable, "The e-mail could not be sent; try again in a minute.", retry_after=60
    ),
    "UserLambdaValidationException": partial(
        Forbidden, "The sign-up rules of this platform refuse the account; ask an admin for one."
    ),
    "UnsupportedTokenTypeException": partial(
        BadRequest,
        "This is not a refresh token.",
        errors=[{"field": "refresh_token", "message": "not a refresh token"}],
    ),
    "TooManyRequestsException": partial(
        TooManyRequests, "Too many requests; wait a minute and try again.", retry_after=60
    ),
    "LimitExceededException": partial(
        TooManyRequests, "Too many attempts; wait 15 minutes and try again.", retry_after=900
    ),
    "TooManyFailedAttemptsException": locked_out,
}


@cache
def self_service() -> Any:
    """Return the client for what people do themselves: unsigned, as the app client is public.

    So no permission of ours takes part in it, and what Cognito allows anyone is all it can do.
    """
    import boto3
    from botocore import UNSIGNED
    from botocore.config import Config

    retries = {"mode": "standard", "max_attempts": 4}
    config = Config(signature_version=UNSIGNED, retries=retries, connect_timeout=3, read_timeout=20)
    return boto3.client("cognito-idp", config=config)


@contextmanager
def our_errors(password_field: str = "password", **meanings: Failure) -> Iterator[None]:
    """Raise Cognito's errors as ours; `meanings` says what an error's name means for this call in particular."""
    try:
        yield
    except ClientError as error:
        raise translated(error, password_field, FAILURES | meanings) from error


def translated(error: ClientError, password_field: str, failures: dict[str, Failure]) -> Exception:
    """Return our error for one of Cognito's, or the error itself when a person can do nothing about it."""
    code, message = error_code(error), error.response["Error"].get("Message", "").rstrip(".")
    if code == "NotAuthorizedException" and "attempts exceeded" in message:
        return locked_out()  # Cognito's lock-out has the name of a wrong password
    if code == "InvalidPasswordException":
        reason = message.removeprefix("Password did not conform with policy: ")
        return BadRequest(
            f"The password is not strong enough: {reason}.", errors=[{"field": password_field, "message": reason}]
        )
    if code == "InvalidParameterException":
        return BadRequest(f"The request is not valid: {message}.")
    return failures[code]() if code in failures else error

"""What people do with their own account. Cognito keeps users, passwords and codes; nothing of them is stored here."""

import os
from functools import partial
from typing import Any, Literal

from lambdas.accounts import tombstones
from lambdas.accounts.cognito import our_errors, self_service, username_taken, wrong_code
from lambdas.accounts.schemas import Confirmation, Login, Message, Registered, Registration, ResetPassword, Tokens
from lambdas.accounts.sign_up import SignUpPolicy, check_sign_up
from lambdas.common.aws import error_code
from lambdas.common.environment import variable
from lambdas.common.errors import Forbidden, Unauthenticated

wrong_password = partial(Unauthenticated, "Wrong username or password.")
session_over = partial(Unauthenticated, "The refresh token is no longer valid; sign in again with POST /auth/login.")
by_invitation = partial(Forbidden, "Accounts here are by invitation; ask an admin of this platform for one.")
# What Cognito says to a request for a code when it sends none: no such user, nothing verified to send it to,
# confirmed already, disabled. Whoever asks learns none of it.
NO_CODE_SENT = {"UserNotFoundException", "InvalidParameterException", "NotAuthorizedException"}


def register(new: Registration) -> Registered:
    """Open an account; raises Conflict for a taken username, Forbidden by the sign-up policy, BadRequest.

    Nothing in the answer depends on whether the e-mail address is known.
    """
    check_sign_up(new.username, new.email, SignUpPolicy.of(os.environ))
    if tombstones.is_buried(new.username):
        raise username_taken()
    attributes = {"email": new.email} | ({"name": new.full_name} if new.full_name else {})
    with our_errors(NotAuthorizedException=by_invitation):
        answer = self_service().sign_up(
            ClientId=client_id(),
            Username=new.username,
            Password=new.password.get_secret_value(),
            UserAttributes=[{"Name": name, "Value": value} for name, value in attributes.items()],
        )
    if answer["UserConfirmed"]:
        return Registered(username=new.username, confirmed=True, detail="Sign in with POST /auth/login.")
    detail = "A code was sent to the e-mail address; send it to POST /auth/confirm."
    return Registered(username=new.username, confirmed=False, detail=detail)


def confirm(confirmation: Confirmation) -> Message:
    """Confirm an account with the e-mailed code, or send a new code; raises BadRequest for a wrong one."""
    if confirmation.code is None:
        send_code("resend_confirmation_code", confirmation.username)
        return Message(detail="If this account waits for confirmation, a new code was sent to its e-mail address.")
    with our_errors(NotAuthorizedException=wrong_code, UserNotFoundException=wrong_code):
        self_service().confirm_sign_up(
            ClientId=client_id(), Username=confirmation.username, ConfirmationCode=confirmation.code
        )
    return Message(detail="The account is confirmed; sign in with POST /auth/login.")


def login(login: Login) -> Tokens:
    """Exchange a password for tokens; raises Unauthenticated, Forbidden when something must be done first."""
    name, password = login.username, login.password.get_secret_value()
    with our_errors("new_password", NotAuthorizedException=wrong_password, UserNotFoundException=wrong_password):
        answer = self_service().initiate_auth(
            ClientId=client_id(),
            AuthFlow="USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": name, "PASSWORD": password},
        )
        if answer.get("ChallengeName") == "NEW_PASSWORD_REQUIRED":
            if login.new_password is None:
                raise Forbidden("This password is temporary; send `new_password` as well to choose your own.")
            answer = self_service().respond_to_auth_challenge(
                ClientId=client_id(),
                ChallengeName="NEW_PASSWORD_REQUIRED",
                Session=answer["Session"],
                ChallengeResponses={"USERNAME": name, "NEW_PASSWORD": login.new_password.get_secret_value()},
            )
    if "AuthenticationResult" not in answer:
        raise Forbidden(f"The account asks for {answer.get('ChallengeName')}, which this API does not offer.")
    return tokens(answer["AuthenticationResult"])


def refresh(refresh_token: str) -> Tokens:
    """Exchange a refresh token for new tokens; raises Unauthenticated. The refresh token itself stays the same."""
    with our_errors(NotAuthorizedException=session_over, UserNotFoundException=session_over):
        answer = self_service().initiate_auth(
            ClientId=client_id(),
            AuthFlow="REFRESH_TOKEN_AUTH",
            AuthParameters={"REFRESH_TOKEN": refresh_token},
        )
    return tokens({"RefreshToken": refresh_token} | answer["AuthenticationResult"])


def logout(refresh_token: str) -> None:
    """End the session of a refresh token; an ID token made from it stays good until it expires."""
    with our_errors(NotAuthorizedException=session_over, UnauthorizedException=session_over):
        self_service().revoke_token(ClientId=client_id(), Token=refresh_token)


def forgot_password(username: str) -> Message:
    """Send a code for a new password; the answer is the same whether or not the account exists."""
    send_code("forgot_password", username)
    return Message(detail="If the account exists, a code was sent to its e-mail; send it to POST /auth/reset-password.")


def reset_password(reset: ResetPassword) -> Message:
    """Set a new password with the e-mailed code; raises BadRequest for a wrong code or a weak password."""
    with our_errors("new_password", NotAuthorizedException=wrong_code, UserNotFoundException=wrong_code):
        self_service().confirm_forgot_password(
            ClientId=client_id(),
            Username=reset.username,
            ConfirmationCode=reset.code,
            Password=reset.new_password.get_secret_value(),
        )
    return Message(detail="The password is changed; sign in with POST /auth/login.")


def send_code(operation: Literal["resend_confirmation_code", "forgot_password"], username: str) -> None:
    """Have Cognito e-mail a code to the account, if there is one; raises TooManyRequests, Unavailable."""
    with our_errors():
        try:
            getattr(self_service(), operation)(ClientId=client_id(), Username=username)
        except Exception as error:
            if error_code(error) not in NO_CODE_SENT:
                raise


def tokens(result: dict[str, Any]) -> Tokens:
    """Return Cognito's AuthenticationResult in our names."""
    return Tokens(
        id_token=result["IdToken"],
        access_token=result["AccessToken"],
        refresh_token=result["RefreshToken"],
        expires_in=result["ExpiresIn"],
    )


def client_id() -> str:
    """Return the id of the public app client."""
    return variable("USER_POOL_CLIENT_ID")

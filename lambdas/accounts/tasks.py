"""Cognito's pre-sign-up trigger: the client id is public, so the rules are enforced where every sign-up passes."""

import os
from typing import Any

from lambdas.accounts.sign_up import SignUpPolicy, check_sign_up, check_username
from lambdas.accounts.tombstones import is_buried
from lambdas.common.errors import Conflict, SlipwayError
from lambdas.common.observability import logger

BY_ADMIN = "PreSignUp_AdminCreateUser"


def pre_sign_up(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Return the event, confirmed at once where AUTO_CONFIRM says so; raises, which refuses the account.

    AUTO_CONFIRM is a stage's setting, `true` only where no mail can be sent (stage `local`), and counts only
    with SIGN_UP=open: in mode `domains` the e-mailed code is what proves the domain.
    Event: Cognito developer guide, "Pre sign-up Lambda trigger".
    """
    username = event["userName"]
    policy = SignUpPolicy.of(os.environ)
    by_admin = event["triggerSource"] == BY_ADMIN
    try:
        if by_admin:
            check_username(username)
        else:
            check_sign_up(username, event["request"]["userAttributes"].get("email", ""), policy)
        if is_buried(username):
            raise Conflict("The username is taken; choose another.")
    except SlipwayError as error:
        logger.info("sign-up refused", extra={"username": username, "reason": error.detail})
        raise
    if policy.mode == "open" and not by_admin and os.environ.get("AUTO_CONFIRM") == "true":
        event["response"]["autoConfirmUser"] = True
    return event

"""Who is calling: read from the verified token that API Gateway's authorizer passed on, and from nothing else."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from lambdas.common.errors import Forbidden, Unauthenticated

Role = Literal["admin", "member", "viewer"]
METRICS_SCOPE = "slipway/metrics.read"  # cdk_app/constructs/metrics_client.py names it, too


@dataclass(frozen=True)
class Caller:
    """The person or program behind a request; `username` is the owner of what they make."""

    username: str
    role: Role
    email: str | None = None

    @property
    def is_admin(self) -> bool:
        return self.role == "admin"

    @property
    def may_write(self) -> bool:
        return self.role != "viewer"


def caller_of(event: Mapping[str, Any]) -> Caller:
    """Return the caller of an API Gateway proxy event; raises Unauthenticated unless it carries ID-token claims."""
    claims = claims_of(event)
    # The emulator's authorizer also lets access tokens through where AWS's does not.
    if claims.get("token_use") != "id" or not claims.get("cognito:username"):
        raise Unauthenticated("Send the ID token of POST /auth/login as `Authorization: Bearer <id_token>`.")
    return Caller(
        username=claims["cognito:username"],
        role=role_of(groups_of(claims.get("cognito:groups"))),
        email=claims.get("email"),
    )


def reader_of_metrics(event: Mapping[str, Any]) -> str:
    """Return the client id of a program whose access token has the scope of the metrics, or an admin's username.

    Raises Unauthenticated for any other access token, Forbidden for anybody else.
    """
    claims = claims_of(event)
    if claims.get("token_use") == "access" and METRICS_SCOPE in str(claims.get("scope", "")).split():
        return str(claims.get("client_id"))
    caller = caller_of(event)
    if not caller.is_admin:
        raise Forbidden(
            "Metrics are for admins, and for programs whose token has the scope slipway/metrics.read: ask your "
            "platform's admin for the metrics client."
        )
    return caller.username


def claims_of(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the claims of the token that API Gateway's authorizer verified, none without one."""
    return (event.get("requestContext", {}).get("authorizer") or {}).get("claims") or {}


def groups_of(claim: object) -> set[str]:
    """Return the groups in a `cognito:groups` claim, which arrives as a list, `a,b` or `[a b]`."""
    if isinstance(claim, str):
        return set(re.findall(r"[A-Za-z0-9_-]+", claim))
    return {str(group) for group in claim} if isinstance(claim, list) else set()


def role_of(groups: set[str]) -> Role:
    """Return the strongest role that the groups give; none means member."""
    if "admin" in groups:
        return "admin"
    return "viewer" if "viewer" in groups and "member" not in groups else "member"

"""Who may open an account: pure rules, asked by the API for a clear answer and by Cognito's trigger to enforce them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from lambdas.common.errors import BadRequest, Forbidden

USERNAME = re.compile(r"[a-z0-9][a-z0-9-]{1,38}")
# A username is a segment of paths such as /ai-models/{username}/{name}; these are taken by routes.
ROUTE_WORDS = frozenset({"search", "upload", "uploads", "compare"})
# Names that would pass for the platform's own voice; an admin may still hand them out.
OFFICIAL_WORDS = frozenset({"admin", "administrator", "root", "slipway", "support"})


@dataclass(frozen=True)
class SignUpPolicy:
    """`mode` is open, domains or invite; `domains` are lower-case and count only in the mode of that name."""

    mode: str
    domains: frozenset[str]

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "SignUpPolicy":
        """Return the policy a function is deployed with; without one, nobody signs up by themselves."""
        names = environment.get("SIGN_UP_DOMAINS", "").split(",")
        domains = frozenset(name.strip().lower() for name in names if name.strip())
        return cls(environment.get("SIGN_UP", "invite"), domains)


def check_username(username: str) -> None:
    """Raise BadRequest when nobody may have this username."""
    if not USERNAME.fullmatch(username):
        message = "use 2 to 39 lower-case letters, digits and dashes, beginning with a letter or digit"
        raise BadRequest(f"The username is not valid: {message}.", errors=[{"field": "username", "message": message}])
    if username in ROUTE_WORDS:
        raise reserved(username)


def check_sign_up(username: str, email: str, policy: SignUpPolicy) -> None:
    """Raise BadRequest for a username one may not choose oneself, Forbidden when the policy keeps the person out."""
    check_username(username)
    if username in OFFICIAL_WORDS:
        raise reserved(username)
    if policy.mode == "open":
        return
    if policy.mode != "domains":
        raise Forbidden("Accounts here are by invitation; ask an admin of this platform for one.")
    if email.rpartition("@")[2].lower() not in policy.domains:
        raise Forbidden("Accounts here are for certain e-mail domains only; use your work address or ask an admin.")


def reserved(username: str) -> BadRequest:
    """Return the error for a username that is a reserved word."""
    return BadRequest(
        f"The username {username} is reserved; choose another.",
        errors=[{"field": "username", "message": "is a reserved word"}],
    )

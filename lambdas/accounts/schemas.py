"""What /auth takes and gives."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints

from lambdas.common.identity import Role

Username = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{1,38}$"),
    Field(description="2 to 39 lower-case letters, digits and dashes; it never changes.", examples=["ada"]),
]
SignInName = Annotated[str, StringConstraints(min_length=1, max_length=128)]  # the username, or a verified e-mail
Email = Annotated[
    str,
    StringConstraints(pattern=r"^[^@\s]{1,64}@[^@\s]+\.[^@\s.]+$", max_length=254),
    Field(examples=["ada@example.org"]),
]
FullName = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$")
]
Password = Annotated[SecretStr, Field(min_length=1, max_length=99, description="The deployment sets the policy.")]
Code = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^\d{4,10}$")]
Token = Annotated[SecretStr, Field(min_length=1, max_length=8192)]


class Body(BaseModel):
    """A request body: fields nobody knows are refused."""

    model_config = ConfigDict(extra="forbid")


class Registration(Body):
    """A new account."""

    username: Username
    email: Email
    full_name: FullName | None = None
    password: Password


class Confirmation(Body):
    """The code from the e-mail; without one, a new code is sent."""

    username: Username
    code: Code | None = None


class Login(Body):
    """`new_password` is needed once, by people whom an admin gave a temporary password."""

    username: SignInName
    password: Password
    new_password: Password | None = None


class Refresh(Body):
    """The refresh token of the last sign-in."""

    refresh_token: Token


class Logout(Body):
    """The refresh token of the session to end."""

    refresh_token: Token


class ForgotPassword(Body):
    """Whose password to set anew."""

    username: SignInName


class ResetPassword(Body):
    """The e-mailed code, and the password it allows to set."""

    username: SignInName
    code: Code
    new_password: Password


class MeUpdate(Body):
    """What you may change of your own account."""

    full_name: FullName


class AccountUpdate(Body):
    """What an admin may change of an account; what is left out stays."""

    group: Role | None = None
    enabled: bool | None = None


class Registered(BaseModel):
    """A new account, and what its owner does next."""

    username: str
    confirmed: bool
    detail: str


class Message(BaseModel):
    """What happened, and what to do next."""

    detail: str


class Tokens(BaseModel):
    """Send `id_token` as `Authorization: Bearer`; `expires_in` is in seconds."""

    id_token: str
    access_token: str
    refresh_token: str
    expires_in: int
    token_type: Literal["Bearer"] = "Bearer"


class AccountPublic(BaseModel):
    """`confirmed` is false until the e-mailed code came back; `group` counts from the next sign-in."""

    username: str
    email: str | None
    full_name: str | None
    group: Role
    enabled: bool
    confirmed: bool
    created_at: str

"""The routes of /auth. The first seven take no token: they are how one gets one."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from lambdas.accounts import directory, service
from lambdas.accounts.schemas import (
    AccountPublic,
    AccountUpdate,
    Confirmation,
    ForgotPassword,
    Login,
    Logout,
    Message,
    MeUpdate,
    Refresh,
    Registered,
    Registration,
    ResetPassword,
    Tokens,
)
from lambdas.common.dependencies import Admin, Caller
from lambdas.common.pages import Page

router = APIRouter(prefix="/auth", tags=["accounts"])

# Cognito's own limits: 60 users a page, and its page tokens are long.
Limit = Annotated[int, Query(ge=1, le=60, description="Accounts per page.")]
Cursor = Annotated[str | None, Query(max_length=8192, description="`next_cursor` of the page before.")]
AccountName = Annotated[str, Path(max_length=128)]


@router.post("/register", status_code=201)
def register(registration: Registration) -> Registered:
    """Open an account."""
    return service.register(registration)


@router.post("/confirm")
def confirm(confirmation: Confirmation) -> Message:
    """Confirm an account with the e-mailed code, or have a new one sent."""
    return service.confirm(confirmation)


@router.post("/login")
def login(login: Login) -> Tokens:
    """Sign in; send the `id_token` as `Authorization: Bearer <id_token>` from then on."""
    return service.login(login)


@router.post("/refresh")
def refresh(refresh: Refresh) -> Tokens:
    """Get new tokens without the password."""
    return service.refresh(refresh.refresh_token.get_secret_value())


@router.post("/logout", status_code=204)
def logout(logout: Logout) -> None:
    """End a session: its refresh token no longer works; its ID token stays good until it expires."""
    service.logout(logout.refresh_token.get_secret_value())


@router.post("/forgot-password", status_code=202)
def forgot_password(forgot: ForgotPassword) -> Message:
    """Ask for a code to set a new password; the answer never says whether the account exists."""
    return service.forgot_password(forgot.username)


@router.post("/reset-password")
def reset_password(reset: ResetPassword) -> Message:
    """Set a new password with the e-mailed code."""
    return service.reset_password(reset)


@router.get("/me")
def get_me(caller: Caller) -> AccountPublic:
    """Read your account."""
    return directory.account(caller.username)


@router.patch("/me")
def update_me(caller: Caller, update: MeUpdate) -> AccountPublic:
    """Change your full name."""
    return directory.rename(caller, update)


@router.delete("/me", status_code=204)
def delete_me(caller: Caller) -> None:
    """Delete your account for good; nobody can take its username again. Refused while you own anything."""
    directory.delete_account(caller)


@router.get("/users")
def list_users(admin: Admin, limit: Limit = 20, cursor: Cursor = None) -> Page[AccountPublic]:
    """List all accounts. Admins only."""
    return directory.accounts(limit, cursor)


@router.patch("/users/{username}")
def update_user(admin: Admin, username: AccountName, update: AccountUpdate) -> AccountPublic:
    """Change an account's group, or shut it out and let it in again. Admins only."""
    return directory.update_account(admin, username, update)

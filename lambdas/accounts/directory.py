"""Accounts as the directory knows them: what a signed-in person sees and changes of theirs, and an admin of all."""

from datetime import UTC
from typing import Any

from lambdas.accounts import tombstones
from lambdas.accounts.cognito import our_errors
from lambdas.accounts.schemas import AccountPublic, AccountUpdate, MeUpdate
from lambdas.common import aws
from lambdas.common.environment import variable
from lambdas.common.errors import Conflict
from lambdas.common.identity import Caller, Role, role_of
from lambdas.common.pages import Page, decode_cursor, encode_cursor

GROUPS: tuple[Role, ...] = ("admin", "member", "viewer")
# Where what an account owns is recorded.
TABLES = {"datasets": "DATASETS_TABLE", "models": "MODELS_TABLE", "jobs": "JOBS_TABLE", "endpoints": "ENDPOINTS_TABLE"}


def account(username: str) -> AccountPublic:
    """Return an account; raises NotFound."""
    with our_errors():
        user = users().admin_get_user(**named(username))
    return public(user, user["UserAttributes"], group_of(username))


def rename(caller: Caller, update: MeUpdate) -> AccountPublic:
    """Change the caller's full name; raises NotFound when the account was deleted meanwhile."""
    with our_errors():
        users().admin_update_user_attributes(
            **named(caller.username), UserAttributes=[{"Name": "name", "Value": update.full_name}]
        )
    return account(caller.username)


def delete_account(caller: Caller) -> None:
    """Delete the caller's account for good; raises Conflict while they own anything.

    The username is retired first: a crash in between leaves an account that can be deleted again, never a name
    that a stranger could take. The caller's ID tokens stay good until they expire.
    """
    nouns = [noun for noun, table in TABLES.items() if owns_any(caller.username, variable(table))]
    if nouns:
        raise Conflict(f"The account still owns {' and '.join(nouns)}; delete those first.")
    tombstones.bury(caller.username)
    with our_errors():
        users().admin_delete_user(**named(caller.username))


def owns_any(username: str, table: str) -> bool:
    """Return whether the user owns a record in this table."""
    pages = (
        aws.client("dynamodb")
        .get_paginator("query")
        .paginate(
            TableName=table,
            KeyConditionExpression="#owner = :owner",
            FilterExpression="attribute_exists(revision)",  # records, not what else a noun keeps beside them
            ExpressionAttributeNames={"#owner": "owner"},
            ExpressionAttributeValues={":owner": {"S": username}},
            ProjectionExpression="id",
        )
    )
    return any(page["Items"] for page in pages)


def accounts(limit: int, cursor: str | None) -> Page[AccountPublic]:
    """Return a page of all accounts, in Cognito's order."""
    start = {"PaginationToken": decode_cursor(cursor)} if cursor else {}
    with our_errors():
        answer = users().list_users(UserPoolId=variable("USER_POOL_ID"), Limit=limit, **start)
        # Cognito lists users without their groups: one call each.
        items = [public(user, user["Attributes"], group_of(user["Username"])) for user in answer["Users"]]
    token = answer.get("PaginationToken")
    return Page(items=items, next_cursor=encode_cursor(token) if token else None)


def update_account(admin: Caller, username: str, update: AccountUpdate) -> AccountPublic:
    """Change an account's group or shut it out; raises NotFound, Conflict for an admin's own account.

    Both act when the person's present ID token expires: it is checked by signature alone.
    """
    if username == admin.username:
        raise Conflict("You cannot change your own group or access; ask another admin.")
    with our_errors():
        if update.group:
            # In before out: between the two calls the stronger group counts, and nobody is without one.
            users().admin_add_user_to_group(**named(username), GroupName=update.group)
            for group in GROUPS:
                if group != update.group:
                    users().admin_remove_user_from_group(**named(username), GroupName=group)
        if update.enabled is True:
            users().admin_enable_user(**named(username))
        if update.enabled is False:
            users().admin_disable_user(**named(username))
            users().admin_user_global_sign_out(**named(username))
    return account(username)


def group_of(username: str) -> Role:
    """Return the role that the user's groups give; raises NotFound."""
    with our_errors():
        answer = users().admin_list_groups_for_user(**named(username))
    return role_of({group["GroupName"] for group in answer["Groups"]})


def public(user: dict[str, Any], attributes: list[dict[str, str]], group: Role) -> AccountPublic:
    """Return Cognito's user in our names."""
    values = {attribute["Name"]: attribute["Value"] for attribute in attributes}
    return AccountPublic(
        username=user["Username"],
        email=values.get("email"),
        full_name=values.get("name"),
        group=group,
        enabled=user["Enabled"],
        confirmed=user["UserStatus"] != "UNCONFIRMED",
        created_at=user["UserCreateDate"].astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    )


def users() -> Any:
    """Return the signed client for the directory."""
    return aws.client("cognito-idp")


def named(username: str) -> dict[str, str]:
    """Return the arguments that name one user of the pool."""
    return {"UserPoolId": variable("USER_POOL_ID"), "Username": username}

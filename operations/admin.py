"""`make admin USERNAME=ada STAGE=dev`: make a person an admin; an account that does not exist is created."""

import secrets
import string
from collections.abc import Sequence

from operations.account import Account, account_of
from operations.deployed import outputs_of
from operations.settings import settings_of
from operations.terminal import OperationError, run

GROUP = "admin"
CLASSES = (string.ascii_lowercase, string.ascii_uppercase, string.digits, "!#%+-=?_")


def main(arguments: Sequence[str]) -> int:
    """Put the user into the admin group: arguments are stage, username and, for a new account, an e-mail address."""
    stage, username, *email = arguments
    settings_of(stage)
    account = account_of(stage)
    outputs = outputs_of(account, stage)
    password = None if exists(account, outputs["UserPoolId"], username) else temporary_password()
    if password is not None:
        if not email:
            raise OperationError(
                f"There is no account {username}; name its e-mail address to create it:"
                f" make admin USERNAME={username} EMAIL=<address> STAGE={stage}"
            )
        create(account, outputs["UserPoolId"], username, email[0], password)
    account.client("cognito-idp").admin_add_user_to_group(
        UserPoolId=outputs["UserPoolId"], Username=username, GroupName=GROUP
    )
    print(f"{username} is an admin of stage {stage}, from the next sign-in on.")
    if password is not None:
        print(f"The account is new. Its temporary password, good for one sign-in with a new one: {password}")
        print(sign_in_command(account.api_url or outputs["ApiUrl"], username, password))
    return 0


def exists(account: Account, pool: str, username: str) -> bool:
    """Whether the pool has a user of that name."""
    client = account.client("cognito-idp")
    try:
        client.admin_get_user(UserPoolId=pool, Username=username)
    except client.exceptions.UserNotFoundException:
        return False
    return True


def create(account: Account, pool: str, username: str, email: str, password: str) -> None:
    """Create the account without sending mail: the person at the keyboard hands the password on."""
    account.client("cognito-idp").admin_create_user(
        UserPoolId=pool,
        Username=username,
        UserAttributes=[{"Name": "email", "Value": email}, {"Name": "email_verified", "Value": "true"}],
        TemporaryPassword=password,
        MessageAction="SUPPRESS",
    )


def temporary_password(length: int = 20) -> str:
    """Return a random password that has every class of characters a pool may ask for."""
    characters = [secrets.choice(every) for every in CLASSES]
    characters += [secrets.choice("".join(CLASSES)) for _ in range(length - len(CLASSES))]
    secrets.SystemRandom().shuffle(characters)
    return "".join(characters)


def sign_in_command(api_url: str, username: str, password: str) -> str:
    """Return the first sign-in as a command, the new password left to fill in."""
    body = f'{{"username": "{username}", "password": "{password}", "new_password": "<a new one>"}}'
    return f"  curl -X POST {api_url}/auth/login -H 'Content-Type: application/json' -d '{body}'"


if __name__ == "__main__":
    run(main)

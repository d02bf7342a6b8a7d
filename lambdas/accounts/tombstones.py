"""Names of deleted accounts, kept for good: nobody may inherit what an owner of the same name left behind."""

from lambdas.common import aws
from lambdas.common.environment import variable
from lambdas.common.items import key
from lambdas.common.store import now

TOMBSTONE = "tombstone"


def bury(username: str) -> None:
    """Retire a username; doing it again is no error."""
    item = key(username, TOMBSTONE) | {"created_at": {"S": now()}}
    aws.client("dynamodb").put_item(TableName=variable("ACCOUNTS_TABLE"), Item=item)


def is_buried(username: str) -> bool:
    """Return whether an account of this name was deleted once."""
    answer = aws.client("dynamodb").get_item(
        TableName=variable("ACCOUNTS_TABLE"), Key=key(username, TOMBSTONE), ConsistentRead=True
    )
    return "Item" in answer

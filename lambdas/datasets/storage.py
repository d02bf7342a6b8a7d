"""How much a user's datasets may take: one counter per user, changed in the transactions that add and remove."""

from lambdas.common import aws
from lambdas.common.environment import variable
from lambdas.common.errors import Conflict, TooLarge
from lambdas.common.items import key
from lambdas.common.transactions import Write

COUNTER = "storage#"


def reserving(owner: str, size: int) -> Write:
    """Return the write that counts `size` bytes as taken; it fails with TooLarge where they do not fit."""
    quota = int(variable("STORAGE_QUOTA_BYTES"))
    detail = (
        f"This needs {size:,} bytes, and your datasets may take {quota:,} together: delete what you no longer need "
        "(GET /datasets/storage says how much that is), or ask an admin for a larger storage_quota_bytes."
    )
    if size > quota:
        raise TooLarge(detail)
    update = counting(owner, size)
    update["ConditionExpression"] = "attribute_not_exists(#bytes) OR #bytes <= :room"
    update["ExpressionAttributeValues"][":room"] = {"N": str(quota - size)}
    return Write("Update", update, TooLarge(detail))


def releasing(owner: str, size: int) -> Write:
    """Return the write that counts `size` bytes as free; it belongs in a transaction that happens once."""
    return Write("Update", counting(owner, -size), Conflict("Never: this write has no condition."))


def counting(owner: str, change: int) -> dict:
    """Return the arguments of the update that adds to a user's counter."""
    return {
        "TableName": variable("DATASETS_TABLE"),
        "Key": key(owner, COUNTER),
        "UpdateExpression": "ADD #bytes :change",
        "ExpressionAttributeNames": {"#bytes": "bytes"},
        "ExpressionAttributeValues": {":change": {"N": str(change)}},
    }


def used(owner: str) -> int:
    """Return the bytes that a user's datasets take."""
    answer = aws.client("dynamodb").get_item(
        TableName=variable("DATASETS_TABLE"), Key=key(owner, COUNTER), ConsistentRead=True
    )
    return int(answer.get("Item", {}).get("bytes", {}).get("N", 0))

"""How much a user's datasets may take: one counter per user, changed in the transactions that add and remove."""

from collections.abc import Iterable
from typing import NamedTuple

from lambdas.common import aws
from lambdas.common.environment import variable
from lambdas.common.errors import TooLarge
from lambdas.common.items import from_item, key, read_items
from lambdas.common.transactions import Write

COUNTER = "storage#"


class Held(NamedTuple):
    """What a user has: data sets, and the bytes that they take."""

    datasets: int = 0
    bytes: int = 0


def reserving(owner: str, size: int, datasets: int = 0) -> Write:
    """Return the write that counts `size` bytes as taken; it fails with TooLarge where they do not fit.

    `datasets` is how many data sets begin with it.
    """
    quota = int(variable("STORAGE_QUOTA_BYTES"))
    detail = (
        f"This needs {size:,} bytes, and your datasets may take {quota:,} together: delete what you no longer need "
        "(GET /datasets/storage says how much that is), or ask an admin for a larger storage_quota_bytes."
    )
    if size > quota:
        raise TooLarge(detail)
    update = counting(owner, size, datasets)
    update["ConditionExpression"] = "attribute_not_exists(#bytes) OR #bytes <= :room"
    update["ExpressionAttributeValues"][":room"] = {"N": str(quota - size)}
    return Write("Update", update, TooLarge(detail))


def releasing(owner: str, size: int) -> Write:
    """Return the write that counts `size` bytes as free; it belongs in a transaction that happens once."""
    return Write("Update", counting(owner, -size))


def dataset_gone(owner: str) -> Write:
    """Return the write that counts a data set as gone; it belongs in a transaction that happens once."""
    return Write("Update", counting(owner, 0, -1))


def counting(owner: str, change: int, datasets: int = 0) -> dict:
    """Return the arguments of the update that adds to a user's counters."""
    return {
        "TableName": variable("DATASETS_TABLE"),
        "Key": key(owner, COUNTER),
        "UpdateExpression": "ADD #bytes :change, datasets :datasets",
        "ExpressionAttributeNames": {"#bytes": "bytes"},
        "ExpressionAttributeValues": {":change": {"N": str(change)}, ":datasets": {"N": str(datasets)}},
    }


def used(owner: str) -> int:
    """Return the bytes that a user's datasets take."""
    answer = aws.client("dynamodb").get_item(
        TableName=variable("DATASETS_TABLE"), Key=key(owner, COUNTER), ConsistentRead=True
    )
    return int(answer.get("Item", {}).get("bytes", {}).get("N", 0))


def held_by(owners: Iterable[str]) -> dict[str, Held]:
    """Return what each user has: one item per user."""
    items = read_items(variable("DATASETS_TABLE"), [key(owner, COUNTER) for owner in owners])
    return {item["owner"]["S"]: held_in(item) for item in items}


def held_in(item: dict) -> Held:
    """Return the counts in an item."""
    values = from_item(item)
    return Held(values.get("datasets", 0), values["bytes"])

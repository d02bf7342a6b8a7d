"""How much the files of a user's versions take: a counter per user, changed in the transactions that say so.

A version counts from when its files are all there and known until they are deleted; it notes for how much.
"""

from collections.abc import Iterable

from lambdas.common.environment import variable
from lambdas.common.items import from_item, key, read_items
from lambdas.common.transactions import Write
from lambdas.models.records import MODELS
from lambdas.models.schemas import ModelVersion

COUNTERS = "storage#"  # a partition: an item per user


def counting(owner: str, change: int) -> list[Write]:
    """Return the write that counts so many bytes more; it belongs in a transaction that happens once."""
    if not change:
        return []
    update = {
        "TableName": variable("MODELS_TABLE"),
        "Key": key(COUNTERS, item_id(owner)),
        "UpdateExpression": "ADD #bytes :change",
        "ExpressionAttributeNames": {"#bytes": "bytes"},
        "ExpressionAttributeValues": {":change": {"N": str(change)}},
    }
    return [Write("Update", update)]


def freed(version: ModelVersion) -> ModelVersion:
    """Count a version no more whose files are deleted; return it. Safe to repeat."""
    freeing = counting(version.owner, -version.stored_bytes)
    return MODELS.settle(version, *freeing, unless=lambda found: found.stored_bytes == 0, stored_bytes=0)


def held_by(owners: Iterable[str]) -> dict[str, int]:
    """Return the bytes that the versions of each user take: one item per user."""
    items = read_items(variable("MODELS_TABLE"), [key(COUNTERS, item_id(owner)) for owner in owners])
    return {item["id"]["S"].partition("#")[0]: from_item(item)["bytes"] for item in items}


def item_id(owner: str) -> str:
    """Return the id of a user's counter; with a `#`, so that it is nobody's record."""
    return f"{owner}#storage"

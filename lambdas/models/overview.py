"""The registry in figures: how many versions a user has, which models, and how many are shared, in few reads."""

from collections.abc import Iterable

from lambdas.common import aws
from lambdas.common.environment import variable
from lambdas.common.items import from_item, key, read_items
from lambdas.common.pages import Page, decode_cursor, encode_cursor
from lambdas.common.transactions import Write
from lambdas.models.postings import posting_key, read_newest
from lambdas.models.records import MODELS
from lambdas.models.schemas import ModelVersion

LATEST = "latest#"
SHARED = "shared#"  # a partition: the count of everybody's shared versions
SEGMENTS = 100  # lists of 1,024 versions each that one request reads
LAST_SEGMENT = 999_999_999


def count(owner: str, shared_only: bool = False) -> int:
    """Return how many versions a user has, or shares: an item is read per 1,024 that were ever registered."""
    found, highest, more = 0, LAST_SEGMENT, True
    while more and highest >= 0:
        lists, more = read_newest(owner, "shared" if shared_only else "all", 0, highest, SEGMENTS)
        found += sum(map(len, lists.values()))
        highest = min(lists, default=0) - 1
    return found


def registered(owners: Iterable[str]) -> dict[str, int]:
    """Return how many versions each user has ever registered: an item per user."""
    items = read_items(variable("MODELS_INDEX_TABLE"), [posting_key(owner, "ordinals", 0) for owner in owners])
    return {item["term"]["S"].removesuffix("#ordinals"): int(item["number"]["N"]) for item in items}


def newest_of_each(owner: str, limit: int, cursor: str | None) -> Page[ModelVersion]:
    """Return a page of a user's models by name, each as its latest version: two items are read per model.

    A page may hold fewer than `limit` and still have a next one: a model whose versions are all gone keeps its number.
    """
    start = {"ExclusiveStartKey": key(owner, decode_cursor(cursor))} if cursor else {}
    answer = aws.client("dynamodb").query(
        TableName=variable("MODELS_TABLE"),
        KeyConditionExpression="#owner = :owner AND begins_with(id, :latest)",
        ExpressionAttributeNames={"#owner": "owner"},
        ExpressionAttributeValues={":owner": {"S": owner}, ":latest": {"S": LATEST}},
        Limit=limit,
        **start,
    )
    targets = [item["target"]["S"] for item in answer["Items"] if "target" in item]
    last = answer.get("LastEvaluatedKey")
    return Page(
        items=[version for version in MODELS.get_many(owner, targets) if version.status != "deleting"],
        next_cursor=encode_cursor(last["id"]["S"]) if last else None,
    )


def shared_by_all() -> int:
    """Return how many versions everybody shares together: one item."""
    answer = aws.client("dynamodb").get_item(TableName=variable("MODELS_TABLE"), Key=key(SHARED, SHARED))
    return from_item(answer.get("Item", {})).get("versions", 0)


def sharing(before: ModelVersion | None, after: ModelVersion | None) -> list[Write]:
    """Return the write that counts a version which begins or ends to be shared; none where it stays as it is."""
    was, will_be = (version is not None and version.visibility == "shared" for version in (before, after))
    if was == will_be:
        return []
    update = {
        "TableName": variable("MODELS_TABLE"),
        "Key": key(SHARED, SHARED),
        "UpdateExpression": "ADD versions :change",
        "ExpressionAttributeValues": {":change": {"N": "1" if will_be else "-1"}},
    }
    return [Write("Update", update)]

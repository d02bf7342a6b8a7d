"""Posting lists in DynamoDB: which of an owner's versions have a term.

An item (term, segment) lists the ids of the versions that have the term, among 1,024 that were registered one after the
other. Lists change by `ADD` and `DELETE` only: writers never wait for each other, and doing it again changes nothing.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

from lambdas.common import aws
from lambdas.common.environment import variable
from lambdas.common.ids import earliest_id
from lambdas.common.items import Item, read_items
from lambdas.models.schemas import ModelVersion
from lambdas.models.search_terms import milliseconds

SEGMENT = 1024
WRITERS = 8  # threads; a client keeps ten connections
Lists = dict[int, set[str]]  # segment -> ids


def next_ordinal(owner: str) -> int:
    """Return the place in the index of the owner's next version: 1, 2, ... Nobody else gets the same."""
    answer = aws.client("dynamodb").update_item(
        TableName=variable("MODELS_INDEX_TABLE"),
        Key=posting_key(owner, "ordinals", 0),
        UpdateExpression="ADD #number :one",
        ExpressionAttributeNames={"#number": "number"},
        ExpressionAttributeValues={":one": {"N": "1"}},
        ReturnValues="UPDATED_NEW",
    )
    return int(answer["Attributes"]["number"]["N"])


def reserve(owner: str, ordinal: int) -> None:
    """Let the owner's next versions come after the one at this place, which was there before the table was."""
    dynamodb = aws.client("dynamodb")
    try:
        dynamodb.update_item(
            TableName=variable("MODELS_INDEX_TABLE"),
            Key=posting_key(owner, "ordinals", 0),
            UpdateExpression="SET #number = :ordinal",
            ConditionExpression="attribute_not_exists(#number) OR #number < :ordinal",
            ExpressionAttributeNames={"#number": "number"},
            ExpressionAttributeValues={":ordinal": {"N": str(ordinal)}},
        )
    except dynamodb.exceptions.ConditionalCheckFailedException:
        pass  # a later one is there


def put_into(terms: Iterable[str], version: ModelVersion) -> None:
    """Add a version to the lists of these terms."""

    def put(term: str) -> None:
        aws.client("dynamodb").update_item(**change(version, "ADD", term))

    in_threads(put, terms)


def take_from(terms: Iterable[str], version: ModelVersion) -> None:
    """Take a version off the lists of these terms, and a list out of the table when nobody is on it any more."""

    def take(term: str) -> None:
        dynamodb = aws.client("dynamodb")
        answer = dynamodb.update_item(**change(version, "DELETE", term), ReturnValues="UPDATED_NEW")
        if ids_of(answer.get("Attributes", {})):
            return
        empty = {"Key": posting_key(version.owner, term, version.ordinal // SEGMENT)}
        try:
            dynamodb.delete_item(
                TableName=variable("MODELS_INDEX_TABLE"), ConditionExpression="attribute_not_exists(ids)", **empty
            )
        except dynamodb.exceptions.ConditionalCheckFailedException:
            pass  # somebody was added meanwhile

    in_threads(take, terms)


def in_threads(write: Callable[[str], None], terms: Iterable[str]) -> None:
    """Call `write` with each term; raises the first error once all have been tried."""
    with ThreadPoolExecutor(WRITERS) as threads:
        writes = [threads.submit(write, term) for term in sorted(terms)]
    for done in writes:
        done.result()


def change(version: ModelVersion, verb: str, term: str) -> dict[str, Any]:
    """Return the arguments of the update that puts a version on a list (`ADD`) or takes it off (`DELETE`)."""
    return {
        "TableName": variable("MODELS_INDEX_TABLE"),
        "Key": posting_key(version.owner, term, version.ordinal // SEGMENT),
        "UpdateExpression": f"{verb} ids :ids",
        "ExpressionAttributeValues": {":ids": {"SS": [version.id]}},
    }


def read_newest(owner: str, term: str, lowest: int, highest: int, count: int) -> tuple[Lists, bool]:
    """Return a term's newest lists between two segments, newest first, and whether there may be more."""
    between = "#term = :term AND #segment BETWEEN :lowest AND :highest"
    answer = query(owner, term, between, count, lowest=segment_key(lowest), highest=segment_key(highest))
    lists = {int(item["segment"]["S"]): ids_of(item) for item in answer["Items"]}
    return lists, "LastEvaluatedKey" in answer


def read_segments(owner: str, terms: list[str], segments: Iterable[int]) -> dict[str, Lists]:
    """Return the lists that there are of each of the terms in these segments."""
    found: dict[str, Lists] = {term: {} for term in terms}
    keys = [posting_key(owner, term, segment) for segment in segments for term in terms]
    for item in read_items(variable("MODELS_INDEX_TABLE"), keys):
        found[item["term"]["S"].removeprefix(f"{owner}#")][int(item["segment"]["S"])] = ids_of(item)
    return found


def note_segment(version: ModelVersion) -> None:
    """Note when a segment began, if it begins with this version, so that a search by time can begin near it."""
    if version.ordinal % SEGMENT:
        return
    item = {
        "term": {"S": f"{version.owner}#segments"},
        "segment": {"S": earliest_id("mdl", milliseconds(datetime.fromisoformat(version.created_at)))},
        "number": {"N": str(version.ordinal // SEGMENT)},
    }
    aws.client("dynamodb").put_item(TableName=variable("MODELS_INDEX_TABLE"), Item=item)


def segment_at(owner: str, moment: datetime, slack: timedelta) -> int:
    """Return the last segment that is known to have begun by a moment and its slack, or the first there is."""
    at = earliest_id("mdl", milliseconds(moment) + slack // timedelta(milliseconds=1))
    items = query(owner, "segments", "#term = :term AND #segment <= :at", 1, at=at)["Items"]
    return int(items[0]["number"]["N"]) if items else 0


def query(owner: str, term: str, condition: str, count: int, **values: str) -> Any:
    """Return DynamoDB's answer to a question about the items of one term, the last first."""
    return aws.client("dynamodb").query(
        TableName=variable("MODELS_INDEX_TABLE"),
        KeyConditionExpression=condition,
        ExpressionAttributeNames={"#term": "term", "#segment": "segment"},
        ExpressionAttributeValues={":term": {"S": f"{owner}#{term}"}}
        | {f":{name}": {"S": value} for name, value in values.items()},
        ScanIndexForward=False,
        Limit=count,
        ConsistentRead=True,
    )


def posting_key(owner: str, term: str, segment: int) -> Item:
    """Return the key of a list."""
    return {"term": {"S": f"{owner}#{term}"}, "segment": {"S": segment_key(segment)}}


def segment_key(segment: int) -> str:
    """Return a segment as it sorts."""
    return f"{segment:09d}"


def ids_of(item: Item) -> set[str]:
    """Return the ids on a list; one that nobody is on any more has no attribute for them."""
    return set(item.get("ids", {"SS": []})["SS"])

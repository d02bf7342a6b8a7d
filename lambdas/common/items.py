"""DynamoDB's items: their wire form from plain values and back, and reads of many at once."""

import random
import time
from collections.abc import Sequence
from decimal import Decimal
from functools import cache
from typing import Any

from pydantic import BaseModel

from lambdas.common import aws
from lambdas.common.errors import Unavailable

MAX_BATCH = 100  # keys that one BatchGetItem takes
MAX_ROUNDS_FOR_NOTHING = 6
Item = dict[str, Any]  # the wire form: {"name": {"S": "iris"}}


def read_items(table: str, keys: Sequence[Item]) -> list[Item]:
    """Return the items of those keys that there are, in any order; raises Unavailable when DynamoDB will not answer.

    An answer ends at 16 MB, or where the table is throttled; what it leaves unread is asked for again, more slowly.
    """
    items: list[Item] = []
    pending, rounds_for_nothing = list(keys), 0
    while pending:
        batch, pending = pending[:MAX_BATCH], pending[MAX_BATCH:]
        request = {table: {"Keys": batch, "ConsistentRead": True}}
        answer = aws.client("dynamodb").batch_get_item(RequestItems=request)
        unread = answer.get("UnprocessedKeys", {}).get(table, {"Keys": []})["Keys"]
        items += answer["Responses"].get(table, [])
        pending += unread
        rounds_for_nothing = rounds_for_nothing + 1 if len(unread) == len(batch) else 0
        if rounds_for_nothing == MAX_ROUNDS_FOR_NOTHING:
            raise Unavailable("The platform is busy; try again in a moment.", retry_after=2)
        if unread:
            time.sleep(random.uniform(0, 0.05 * 2**rounds_for_nothing))
    return items


def key(owner: str, id: str) -> Item:
    """Return the primary key of a record in DynamoDB's form."""
    return {"owner": {"S": owner}, "id": {"S": id}}


def to_item(record: BaseModel) -> Item:
    """Return a record in DynamoDB's form: None and empty sets are left out, floats become exact decimals."""
    values = _decimals(record.model_dump(exclude_none=True))
    return {name: serializer().serialize(value) for name, value in values.items() if value != set()}


def from_item(item: Item) -> dict[str, Any]:
    """Return the plain values of an item; numbers are int where whole, else float."""
    return {name: _numbers(deserializer().deserialize(value)) for name, value in item.items()}


@cache
def serializer() -> Any:
    from boto3.dynamodb.types import TypeSerializer

    return TypeSerializer()


@cache
def deserializer() -> Any:
    from boto3.dynamodb.types import TypeDeserializer

    return TypeDeserializer()


def _decimals(value: Any) -> Any:
    if isinstance(value, float):
        # DynamoDB has no NaN or infinity: they travel as strings and come back as such.
        return Decimal(repr(value)) if value - value == 0 else repr(value)
    if isinstance(value, dict):
        return {name: _decimals(inner) for name, inner in value.items()}
    return [_decimals(inner) for inner in value] if isinstance(value, list) else value


def _numbers(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, dict):
        return {name: _numbers(inner) for name, inner in value.items()}
    return [_numbers(inner) for inner in value] if isinstance(value, list) else value

"""Writes, done together or not at all; a conditional one knows the error to raise when its condition fails."""

import random
import time
from typing import Any, Self

from lambdas.common import aws
from lambdas.common.errors import Conflict, Stale
from lambdas.common.items import serializer

TURNS = 10


class Write:
    """One write of a transaction, and the error to raise when its condition fails; without a condition it has none."""

    def __init__(self, verb: str, arguments: dict[str, Any], failure: Exception | None = None) -> None:
        self.verb = verb
        self.arguments = arguments
        self.failure = failure or Conflict("Never: this write has no condition.")

    @classmethod
    def put(cls, table: str, item: dict[str, Any], failure: Exception) -> Self:
        """Return the write of an item, given as plain values, that must not exist yet."""
        arguments = {
            "TableName": table,
            "Item": {name: serializer().serialize(value) for name, value in item.items()},
            "ConditionExpression": "attribute_not_exists(id)",
        }
        return cls("Put", arguments, failure)


def transact(*writes: Write) -> None:
    """Do all writes or none; raises the failure of the first whose condition does not hold.

    One write goes as a plain PutItem, UpdateItem or DeleteItem: a transaction costs twice the capacity.
    """
    dynamodb = aws.client("dynamodb")
    if len(writes) == 1:
        write = writes[0]
        call = {"Put": dynamodb.put_item, "Update": dynamodb.update_item, "Delete": dynamodb.delete_item}[write.verb]
        try:
            call(**write.arguments)
        except dynamodb.exceptions.ConditionalCheckFailedException as error:
            raise write.failure from error
        return
    try:
        dynamodb.transact_write_items(TransactItems=[{write.verb: write.arguments} for write in writes])
    except dynamodb.exceptions.TransactionCanceledException as error:
        reasons = error.response.get("CancellationReasons", [])
        for write, reason in zip(writes, reasons, strict=False):
            if reason.get("Code") == "ConditionalCheckFailed":
                raise write.failure from error
        raise Stale("Somebody else changed the same records at the same moment; try again.") from error


def transact_in_turn(*writes: Write) -> None:
    """Do as `transact`, again and ever later while others change the same records; raises Stale in the end.

    For writes that are right whatever the others wrote, such as those on counters; their own failures are not Stale.
    """
    for turn in range(TURNS):
        try:
            return transact(*writes)
        except Stale:
            if turn == TURNS - 1:
                raise
            time.sleep(random.uniform(0, 0.02 * 2**turn))

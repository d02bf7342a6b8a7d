"""Records in DynamoDB: one table per noun, key (owner, id), optimistic revisions, holds, transactions.

A record of another user is simply absent: every read names its owner. `by_id` finds a record by its id alone,
for events and admins.
"""

import random
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Any, Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from lambdas.common import aws
from lambdas.common.environment import variable
from lambdas.common.errors import Conflict, NotFound, Stale, Unavailable
from lambdas.common.pages import Page, decode_cursor, encode_cursor

MAX_BATCH = 100  # keys that one BatchGetItem takes
MAX_ROUNDS_FOR_NOTHING = 6
Item = dict[str, Any]  # DynamoDB's wire form: {"name": {"S": "iris"}}


def now() -> str:
    """Return the time as ISO 8601 in UTC with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Entity(BaseModel):
    """What every record carries. Unknown attributes are kept out, so older code reads newer records."""

    model_config = ConfigDict(extra="ignore")

    owner: str
    id: str
    schema_version: int = 1
    revision: int = 1
    holds: set[str] = Field(default_factory=set)
    created_at: str = Field(default_factory=now)
    updated_at: str = Field(default_factory=now)


Record = TypeVar("Record", bound=Entity)


class EntityStore(Generic[Record]):
    """The records of one noun. `table` names the environment variable that holds the table's name."""

    def __init__(self, table: str, record: type[Record], noun: str) -> None:
        self._table = table
        self._record = record
        self._noun = noun

    @property
    def table(self) -> str:
        return variable(self._table)

    def get(self, owner: str, id: str) -> Record:
        """Return a record by its key; raises NotFound."""
        if "#" in id:  # what a noun keeps beside its records is not asked for by clients
            raise self._absent(id)
        answer = aws.client("dynamodb").get_item(TableName=self.table, Key=key(owner, id), ConsistentRead=True)
        if "Item" not in answer:
            raise self._absent(id)
        return self._record.model_validate(from_item(answer["Item"]))

    def find(self, id: str) -> Record:
        """Return a record by its id alone, for events and admins; raises NotFound."""
        answer = aws.client("dynamodb").query(
            TableName=self.table,
            IndexName="by_id",
            KeyConditionExpression="id = :id",
            ExpressionAttributeValues={":id": {"S": id}},
            Limit=1,
        )
        if not answer["Items"]:
            raise self._absent(id)
        return self.get(answer["Items"][0]["owner"]["S"], id)

    def get_many(self, owner: str, ids: Sequence[str]) -> list[Record]:
        """Return the records of those ids, in that order; absent ones are left out."""
        items = read_items(self.table, [key(owner, id) for id in dict.fromkeys(ids)])
        by_id = {item["id"]["S"]: item for item in items}
        return [self._record.model_validate(from_item(by_id[id])) for id in ids if id in by_id]

    def list(self, owner: str, prefix: str, limit: int, cursor: str | None, **matching: str | None) -> Page[Record]:
        """Return one page of the owner's records whose id starts with `prefix`, newest first.

        `matching` keeps those whose attributes have the given values; None asks nothing. A page then may hold
        fewer than `limit` and still have a next one.
        """
        wanted = {name: value for name, value in matching.items() if value is not None}
        filters = " AND ".join(f"#{name} = :{name}" for name in wanted)
        start = {"ExclusiveStartKey": key(owner, decode_cursor(cursor))} if cursor else {}
        answer = aws.client("dynamodb").query(
            TableName=self.table,
            KeyConditionExpression="#owner = :owner AND begins_with(id, :prefix)",
            ExpressionAttributeNames={"#owner": "owner"} | {f"#{name}": name for name in wanted},
            ExpressionAttributeValues={":owner": {"S": owner}, ":prefix": {"S": prefix}}
            | {f":{name}": {"S": value} for name, value in wanted.items()},
            Limit=limit,
            ScanIndexForward=False,
            **start,
            **({"FilterExpression": filters} if filters else {}),
        )
        last = answer.get("LastEvaluatedKey")
        return Page(
            items=[self._record.model_validate(from_item(item)) for item in answer["Items"]],
            next_cursor=encode_cursor(last["id"]["S"]) if last else None,
        )

    def create(self, record: Record, *also: "Write") -> Record:
        """Store a new record, together with `also` or not at all; raises Conflict when it exists."""
        transact(self.creation(record), *also)
        return record

    def creation(self, record: Record) -> "Write":
        """Return the write that stores a new record."""
        put = {
            "TableName": self.table,
            "Item": to_item(record),
            "ConditionExpression": "attribute_not_exists(id)",
        }
        return Write("Put", put, Conflict(f"The {self._noun} {record.id} exists already."))

    def update(self, record: Record, *also: "Write", **changes: Any) -> Record:
        """Store changed fields (None removes one) if nobody changed the record since; raises Stale."""
        changes = {"updated_at": now()} | changes
        transact(self.change(record, **changes), *also)
        return record.model_copy(update=changes | {"revision": record.revision + 1})

    def settle(
        self, record: Record, *also: "Write", unless: Callable[[Record], bool] = lambda record: False, **changes: Any
    ) -> Record:
        """Store changes that are right whatever else has changed on the record meanwhile; return it as it then is.

        Once `unless` holds of the record, it stays as it is. Raises NotFound when the record is gone meanwhile.
        """
        while not unless(record):
            try:
                return self.update(record, *also, **changes)
            except Stale:
                record = self.get(record.owner, record.id)
        return record

    def change(self, record: Record, **changes: Any) -> "Write":
        """Return the write that changes fields of a record as it was read."""
        wanted = record.model_copy(update={"updated_at": now()} | changes | {"revision": record.revision + 1})
        item = to_item(wanted)
        names = sorted({*changes, "updated_at", "revision"})
        present, gone = [n for n in names if n in item], [n for n in names if n not in item]
        sets = "SET " + ", ".join(f"#{name} = :{name}" for name in present)
        removes = " REMOVE " + ", ".join(f"#{name}" for name in gone) if gone else ""
        update = {
            "TableName": self.table,
            "Key": key(record.owner, record.id),
            "UpdateExpression": sets + removes,
            "ConditionExpression": "#revision = :expected",
            "ExpressionAttributeNames": {f"#{name}": name for name in names},
            "ExpressionAttributeValues": {f":{n}": item[n] for n in present}
            | {":expected": {"N": str(record.revision)}},
        }
        return Write("Update", update, Stale(f"The {self._noun} {record.id} was changed meanwhile; read it again."))

    def hold(self, owner: str, id: str, holder: str, condition: str = "", values: Item | None = None) -> "Write":
        """Return the write by which `holder` (a later record's id) keeps this record from being deleted.

        `condition` narrows what may be held, e.g. `AND #status = :ready`.
        """
        update = {
            "TableName": self.table,
            "Key": key(owner, id),
            "UpdateExpression": "ADD holds :holder",
            "ConditionExpression": f"attribute_exists(id) {condition}".strip(),
            "ExpressionAttributeValues": {":holder": {"SS": [holder]}} | (values or {}),
        }
        if "#status" in condition:
            update["ExpressionAttributeNames"] = {"#status": "status"}
        return Write("Update", update, Conflict(f"The {self._noun} {id} was deleted or is no longer ready."))

    def release(self, owner: str, id: str, holder: str) -> "Write":
        """Return the write that ends a hold; it fails with NotFound when the record is gone."""
        update = {
            "TableName": self.table,
            "Key": key(owner, id),
            "UpdateExpression": "DELETE holds :holder",
            "ConditionExpression": "attribute_exists(id)",
            "ExpressionAttributeValues": {":holder": {"SS": [holder]}},
        }
        return Write("Update", update, NotFound(f"There is no {self._noun} {id}."))

    def deletion(self, record: Record) -> "Write":
        """Return the write that deletes a record which nothing holds."""
        delete = {
            "TableName": self.table,
            "Key": key(record.owner, record.id),
            "ConditionExpression": "#revision = :expected AND attribute_not_exists(holds)",
            "ExpressionAttributeNames": {"#revision": "revision"},
            "ExpressionAttributeValues": {":expected": {"N": str(record.revision)}},
        }
        return Write("Delete", delete, Stale(f"The {self._noun} {record.id} was changed or taken into use meanwhile."))

    def refuse_if_held(self, record: Record) -> None:
        """Raise Conflict, naming the holders, while something later uses the record."""
        if record.holds:
            holders = ", ".join(sorted(record.holds)[:10])
            raise Conflict(f"The {self._noun} {record.id} is used by {holders}; delete those first.")

    def delete(self, record: Record, *also: "Write") -> None:
        """Delete a record; raises Conflict naming the holders while there are any, Stale when it changed."""
        self.refuse_if_held(record)
        transact(self.deletion(record), *also)

    def _absent(self, id: str) -> NotFound:
        return NotFound(f"There is no {self._noun} {id}.")


class Write:
    """One conditional write of a transaction, and the error to raise when its condition fails."""

    def __init__(self, verb: str, arguments: dict[str, Any], failure: Exception) -> None:
        self.verb = verb
        self.arguments = arguments
        self.failure = failure

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

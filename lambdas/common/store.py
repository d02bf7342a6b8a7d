"""Records in DynamoDB: one table per noun, key (owner, id), optimistic revisions, holds, transactions.

A record of another user is simply absent: every read names its owner. `by_id` finds a record by its id alone,
for events and admins.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from lambdas.common import aws
from lambdas.common.environment import variable
from lambdas.common.errors import Conflict, NotFound, Stale
from lambdas.common.items import Item, from_item, key, read_items, to_item
from lambdas.common.pages import Page, decode_cursor, encode_cursor
from lambdas.common.transactions import Write, transact


def now() -> str:
    """Return the time as ISO 8601 in UTC with milliseconds."""
    return iso(datetime.now(UTC))


def iso(time: datetime) -> str:
    """Return a time as records have it, by which they sort."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


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

    @property
    def age(self) -> timedelta:
        """How long ago it was created."""
        return datetime.now(UTC) - datetime.fromisoformat(self.created_at)


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

    def create(self, record: Record, *also: Write) -> Record:
        """Store a new record, together with `also` or not at all; raises Conflict when it exists."""
        transact(self.creation(record), *also)
        return record

    def creation(self, record: Record) -> Write:
        """Return the write that stores a new record."""
        put = {
            "TableName": self.table,
            "Item": to_item(record),
            "ConditionExpression": "attribute_not_exists(id)",
        }
        return Write("Put", put, Conflict(f"The {self._noun} {record.id} exists already."))

    def update(self, record: Record, *also: Write, **changes: Any) -> Record:
        """Store changed fields (None removes one) if nobody changed the record since; raises Stale."""
        changes = {"updated_at": now()} | changes
        transact(self.change(record, **changes), *also)
        return record.model_copy(update=changes | {"revision": record.revision + 1})

    def settle(
        self, record: Record, *also: Write, unless: Callable[[Record], bool] = lambda record: False, **changes: Any
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

    def change(self, record: Record, **changes: Any) -> Write:
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

    def hold(self, owner: str, id: str, holder: str, condition: str = "", values: Item | None = None) -> Write:
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

    def release(self, owner: str, id: str, holder: str) -> Write:
        """Return the write that ends a hold; it fails with NotFound when the record is gone."""
        update = {
            "TableName": self.table,
            "Key": key(owner, id),
            "UpdateExpression": "DELETE holds :holder",
            "ConditionExpression": "attribute_exists(id)",
            "ExpressionAttributeValues": {":holder": {"SS": [holder]}},
        }
        return Write("Update", update, NotFound(f"There is no {self._noun} {id}."))

    def deletion(self, record: Record) -> Write:
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

    def delete(self, record: Record, *also: Write) -> None:
        """Delete a record; raises Conflict naming the holders while there are any, Stale when it changed."""
        self.refuse_if_held(record)
        transact(self.deletion(record), *also)

    def _absent(self, id: str) -> NotFound:
        return NotFound(f"There is no {self._noun} {id}.")

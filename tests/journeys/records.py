"""Records that tests put into the tables themselves: what a crash, a lost event or a slow hour leaves behind."""

from __future__ import annotations

import time
from functools import cache
from typing import Any

from lambdas.common.ids import Prefix, new_id
from lambdas.common.items import Item, from_item, serializer
from tests.platform import Platform

PREFIXES: dict[str, Prefix] = {"datasets": "ds", "models": "mdl", "jobs": "job", "endpoints": "ep"}


class Records:
    """The tables of a running platform, as root sees them. Values are plain; None leaves an attribute out."""

    def __init__(self, platform: Platform) -> None:
        self._ssm = platform.client("ssm")
        self._dynamodb = platform.client("dynamodb")
        self.table = cache(self._table)

    def _table(self, noun: str) -> str:
        return self._ssm.get_parameter(Name=f"/slipway/local/{noun}-table")["Parameter"]["Value"]

    def read(self, noun: str, owner: str, id: str) -> Item | None:
        """Return a record in DynamoDB's form, or None."""
        return self._dynamodb.get_item(TableName=self.table(noun), Key=wire({"owner": owner, "id": id})).get("Item")

    def write(self, noun: str, **values: Any) -> None:
        """Store an item of plain values."""
        self._dynamodb.put_item(TableName=self.table(noun), Item=wire(values))

    def restore(self, noun: str, item: Item) -> None:
        """Store a record as it was read."""
        self._dynamodb.put_item(TableName=self.table(noun), Item=item)

    def copy(self, noun: str, owner: str, source: str, /, **changes: Any) -> str:
        """Store a copy of a record, changed, under an id of its own; return that id."""
        changes = {"id": new_id(PREFIXES[noun])} | changes
        kept = {name: value for name, value in (self.read(noun, owner, source) or {}).items() if name not in changes}
        assert kept, f"no {source} in {noun}"
        self._dynamodb.put_item(TableName=self.table(noun), Item=kept | wire(changes))
        return changes["id"]

    def change(self, noun: str, owner: str, id: str, **changes: Any) -> None:
        """Change attributes of a record behind the platform's back."""
        self.copy(noun, owner, id, id=id, **changes)

    def delete(self, noun: str, owner: str, id: str) -> None:
        """Remove a record."""
        self._dynamodb.delete_item(TableName=self.table(noun), Key=wire({"owner": owner, "id": id}))

    def open_wait(self, owner: str, id: str, token: str | None = None) -> None:
        """Mark a record as under way, with the token of the workflow that waits for it, if one does."""
        self.write("waits", id=id, owner=owner, opened_at=int(time.time()), token=token)

    def close_wait(self, id: str) -> None:
        """Mark a record as at rest."""
        self._dynamodb.delete_item(TableName=self.table("waits"), Key=wire({"id": id}))

    def waits_for(self, id: str) -> bool:
        """Return whether a record is marked as under way."""
        return self._wait(id) is not None

    def token_of(self, id: str) -> str | None:
        """Return the token of the workflow that waits for a record, if one does."""
        return (self._wait(id) or {}).get("token", {}).get("S")

    def _wait(self, id: str) -> Item | None:
        return self._dynamodb.get_item(TableName=self.table("waits"), Key=wire({"id": id})).get("Item")


def wire(values: dict[str, Any]) -> Item:
    """Return plain values in DynamoDB's form, without those that are None."""
    return {name: serializer().serialize(value) for name, value in values.items() if value is not None}


def copy_unservable_model(records: Records, owner: str, version_id: str, model_id: str) -> str:
    """Register a copy of a model version as `model_id` v1 whose archive is none; return the copy's id."""
    version = from_item(records.read("models", owner, version_id) or {})
    no_archive = version["model_archive"].replace("model.tar.gz", "metrics.json")
    changes = {"model_id": model_id, "version": "v1", "model_archive": no_archive, "holds": None}
    copied = records.copy("models", owner, version_id, **changes)
    records.write("models", owner=owner, id=f"latest#{model_id}", target=copied, number=1)
    records.write("models", owner=owner, id=f"name#{model_id}#v1", target=copied)
    return copied

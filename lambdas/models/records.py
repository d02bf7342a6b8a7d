"""The table of model versions, and reads of its pointers."""

from typing import Any

from lambdas.common import aws
from lambdas.common.environment import variable
from lambdas.common.items import from_item, key
from lambdas.common.store import EntityStore
from lambdas.models.schemas import ModelVersion

MODELS = EntityStore("MODELS_TABLE", ModelVersion, "model version")


def read_pointer(owner: str, id: str) -> dict[str, Any] | None:
    """Return a pointer item of the table as plain values, or None."""
    table = variable("MODELS_TABLE")
    answer = aws.client("dynamodb").get_item(TableName=table, Key=key(owner, id), ConsistentRead=True)
    return from_item(answer["Item"]) if "Item" in answer else None

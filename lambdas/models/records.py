"""The table of model versions, and the pointers to them that it holds."""

from typing import Any

from lambdas.common import aws
from lambdas.common.environment import variable
from lambdas.common.items import from_item, key
from lambdas.common.store import EntityStore
from lambdas.models.schemas import ModelVersion

MODELS = EntityStore("MODELS_TABLE", ModelVersion, "model version")


def name_pointer(model_id: str, version: str) -> str:
    """Return the id of the pointer by which a name such as v3 is given once."""
    return f"name#{model_id}#{version}"


def alias_pointer(model_id: str, alias: str) -> str:
    """Return the id of an alias's pointer."""
    return f"alias#{model_id}#{alias}"


def pointers_to(version: ModelVersion) -> list[str]:
    """Return the ids of the pointers to a version by its name and its aliases."""
    aliases = [alias_pointer(version.model_id, alias) for alias in version.aliases]
    return [name_pointer(version.model_id, version.version), *aliases]


def read_pointer(owner: str, id: str) -> dict[str, Any] | None:
    """Return a pointer item of the table as plain values, or None."""
    table = variable("MODELS_TABLE")
    answer = aws.client("dynamodb").get_item(TableName=table, Key=key(owner, id), ConsistentRead=True)
    return from_item(answer["Item"]) if "Item" in answer else None

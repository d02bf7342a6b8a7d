"""How a version gets its name and loses it: unique names, automatic numbers, and which version is the latest.

Beside each version's record, `mdl-...`, the table holds pointers: `name#` makes a name unique, `latest#` counts a
model's versions and names the newest one whose files are there, `alias#` is a name that can be moved.
"""

import re
from typing import Any

from lambdas.common import aws, waits
from lambdas.common.environment import variable
from lambdas.common.errors import Conflict, NotFound, Stale
from lambdas.common.ids import new_id
from lambdas.common.items import key
from lambdas.common.transactions import Write, transact
from lambdas.models import postings, search_index
from lambdas.models.records import MODELS, alias_pointer, name_pointer, pointers_to, read_pointer
from lambdas.models.schemas import ModelVersion
from lambdas.models.search_terms import Filter

EXISTS = "Model with this ID and version already exists"
WITH_FILES = {"scanning", "ready", "blocked"}


def resolve(owner: str, model_id: str, version: str | None) -> ModelVersion | None:
    """Return the version of that name or alias (None: the latest whose files are there), or None."""
    if version is None:
        id = f"latest#{model_id}"
    else:
        id = name_pointer(model_id, version) if re.match(r"v[0-9]", version) else alias_pointer(model_id, version)
    pointer = read_pointer(owner, id)
    if pointer is None or "target" not in pointer:
        return None
    try:
        found = MODELS.get(owner, pointer["target"])
    except NotFound:
        return None  # deleted between the two reads
    return None if found.status == "deleting" else found


def stored(owner: str, id: str | None) -> ModelVersion | None:
    """Return the version of an id, or None."""
    try:
        return MODELS.get(owner, id) if id else None
    except NotFound:
        return None


def create(owner: str, wanted: str, id: str | None = None, **fields: Any) -> ModelVersion:
    """Store a new version, `uploading` and under way, called `wanted` or, for `auto`, by the next number.

    Raises Conflict when the name is taken.
    """
    model_id = fields["model_id"]
    if wanted != "auto" and read_pointer(owner, name_pointer(model_id, wanted)):
        raise Conflict(EXISTS)
    ordinal = postings.next_ordinal(owner)
    while True:
        name = f"v{next_number(owner, model_id)}" if wanted == "auto" else wanted
        version = ModelVersion(
            owner=owner, id=id or new_id("mdl"), version=name, ordinal=ordinal, status="uploading", **fields
        )
        try:
            transact(MODELS.creation(version), name_taken(version), waits.opening(version.id, owner))
            break
        except Stale as error:
            if wanted != "auto":
                raise Conflict(EXISTS) from error
            # Whoever named one v3 by hand has the next number for us: v4.
    if wanted != "auto":
        count_at_least(owner, model_id, name)
    search_index.add(version)
    return MODELS.settle(version, indexed=True)


def next_number(owner: str, model_id: str) -> int:
    """Return the next number of a model's versions, which nobody else gets."""
    answer = aws.client("dynamodb").update_item(
        TableName=variable("MODELS_TABLE"),
        Key=key(owner, f"latest#{model_id}"),
        UpdateExpression="ADD #number :one",
        ExpressionAttributeNames={"#number": "number"},
        ExpressionAttributeValues={":one": {"N": "1"}},
        ReturnValues="UPDATED_NEW",
    )
    return int(answer["Attributes"]["number"]["N"])


def count_at_least(owner: str, model_id: str, name: str) -> None:
    """Let automatic numbers go on after a version that was called v7 by hand."""
    if number := re.fullmatch(r"v0*([0-9]+)", name):
        set_latest_if(owner, model_id, "number", {"N": number[1]}, "attribute_not_exists(#name) OR #name < :value")


def make_latest(version: ModelVersion) -> None:
    """Make a version whose files are there the latest, unless a newer one is: ids sort by time."""
    older = "attribute_not_exists(#name) OR #name < :value"
    set_latest_if(version.owner, version.model_id, "target", {"S": version.id}, older)


def set_latest_if(
    owner: str, model_id: str, name: str, value: dict[str, str] | None, condition: str, **more: Any
) -> None:
    """Set (None: remove) an attribute of a model's `latest#` item where the condition holds, else nothing."""
    dynamodb = aws.client("dynamodb")
    values = more | ({":value": value} if value else {})
    try:
        dynamodb.update_item(
            TableName=variable("MODELS_TABLE"),
            Key=key(owner, f"latest#{model_id}"),
            UpdateExpression="SET #name = :value" if value else "REMOVE #name",
            ConditionExpression=condition,
            ExpressionAttributeNames={"#name": name},
            ExpressionAttributeValues=values,
        )
    except dynamodb.exceptions.ConditionalCheckFailedException:
        return  # somebody else's is newer


def name_taken(version: ModelVersion) -> Write:
    """Return the write that makes the version's name its own; it fails with Stale when another has it."""
    item = {"owner": version.owner, "id": name_pointer(version.model_id, version.version), "target": version.id}
    return Write.put(variable("MODELS_TABLE"), item, Stale(EXISTS))


def forget(version: ModelVersion) -> None:
    """Remove the record of a version that nothing holds, every pointer to it, and its wait; its name is free then."""
    move_latest_from(version)
    gone = [pointer_deletion(version.owner, pointer, version.id) for pointer in pointers_to(version)]
    transact(MODELS.deletion(version), *gone, waits.closing(version.id))


def pointer_deletion(owner: str, id: str, target: str) -> Write:
    """Return the write that deletes a pointer, if it points to `target` still (or is gone)."""
    delete = {
        "TableName": variable("MODELS_TABLE"),
        "Key": key(owner, id),
        "ConditionExpression": "attribute_not_exists(id) OR #target = :target",
        "ExpressionAttributeNames": {"#target": "target"},
        "ExpressionAttributeValues": {":target": {"S": target}},
    }
    return Write("Delete", delete, Stale(f"{id} points to another version meanwhile."))


def move_latest_from(version: ModelVersion) -> None:
    """Make the newest other version the latest, if this one is."""
    others = of_model(version.owner, version.model_id)
    newest = next((other for other in others if other.status in WITH_FILES and other.id != version.id), None)
    value = {"S": newest.id} if newest else None
    this = {":this": {"S": version.id}}
    set_latest_if(version.owner, version.model_id, "target", value, "#name = :this", **this)


def of_model(owner: str, model_id: str, limit: int = 100) -> list[ModelVersion]:
    """Return the newest versions of a model that are not being deleted."""
    return search_index.search(owner, Filter(model_id=model_id), limit, None, 0, living).items


def living(owner: str, ids: list[str]) -> list[ModelVersion]:
    """Return those of the records that are not being deleted."""
    return [version for version in MODELS.get_many(owner, ids) if version.status != "deleting"]

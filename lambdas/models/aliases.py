"""Aliases: names such as `champion` that point to one version of a model and can be moved to another."""

from typing import Any

from lambdas.common.environment import variable
from lambdas.common.errors import BadRequest, NotFound, Stale
from lambdas.common.items import key
from lambdas.common.transactions import Write, transact
from lambdas.models import manifest
from lambdas.models.records import MODELS, alias_pointer, read_pointer
from lambdas.models.schemas import ModelVersion
from lambdas.models.versions import pointer_deletion

MAX_ALIASES = 20


def point(version: ModelVersion, alias: str) -> ModelVersion:
    """Make an alias point to a version and to no other; return the version as it then is."""
    while alias not in version.aliases:
        if len(version.aliases) >= MAX_ALIASES:
            raise BadRequest(f"{version.model_id} {version.version} has {MAX_ALIASES} aliases; remove one first.")
        pointer = read_pointer(version.owner, alias_pointer(version.model_id, alias))
        before = holder_of(version.owner, pointer)
        if before and before.id == version.id:  # pointed here meanwhile
            version, before = before, None
        writes = [moved(version, alias, pointer), with_aliases(version, {*version.aliases} | {alias})]
        if before:
            writes.append(with_aliases(before, {*before.aliases} - {alias}))
        try:
            transact(*writes)
        except Stale:  # one of the three was changed at the same moment
            version = MODELS.get(version.owner, version.id)
            continue
        if before:
            manifest.write(before)
        version = MODELS.get(version.owner, version.id)
    manifest.write(version)  # also for an earlier call that did not live to do it
    return version


def remove(owner: str, model_id: str, alias: str) -> None:
    """Remove an alias; raises NotFound."""
    while version := holder_of(owner, read_pointer(owner, alias_pointer(model_id, alias))):
        gone = pointer_deletion(owner, alias_pointer(model_id, alias), version.id)
        try:
            transact(with_aliases(version, {*version.aliases} - {alias}), gone)
        except Stale:
            continue
        manifest.write(version)
        return
    raise NotFound(f"{model_id} has no alias {alias}.")


def holder_of(owner: str, pointer: dict[str, Any] | None) -> ModelVersion | None:
    """Return the version that an alias points to, or None."""
    try:
        return MODELS.get(owner, pointer["target"]) if pointer else None
    except NotFound:
        return None  # that version is gone, and its pointer goes with it


def with_aliases(version: ModelVersion, aliases: set[str]) -> Write:
    """Return the write that gives a version as it was read other aliases."""
    return MODELS.change(version, aliases=sorted(aliases))


def moved(version: ModelVersion, alias: str, before: dict[str, Any] | None) -> Write:
    """Return the write that points an alias to a version, if it still points where it was seen to."""
    names = {"#target": "target"}
    values = {":target": {"S": version.id}} | ({":before": {"S": before["target"]}} if before else {})
    update = {
        "TableName": variable("MODELS_TABLE"),
        "Key": key(version.owner, alias_pointer(version.model_id, alias)),
        "UpdateExpression": "SET #target = :target",
        "ConditionExpression": "#target = :before" if before else "attribute_not_exists(id)",
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": values,
    }
    return Write("Update", update, Stale(f"The alias {alias} was moved at the same moment."))

"""Jobs of kind `register`: a model on its way into the registry and to its endpoint. Kept here, moved on by endpoints.

They lie in the table of jobs under ids of their own, `reg-...`. Beside each a pointer, `register#<hash>`, says which
job a request is answered with when it comes again.
"""

from contextlib import suppress
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from lambdas.common import aws, waits
from lambdas.common.environment import variable
from lambdas.common.errors import Conflict, NotFound, Stale
from lambdas.common.identity import Caller, Role
from lambdas.common.items import from_item, key
from lambdas.common.pages import Page
from lambdas.common.store import Entity, EntityStore, now
from lambdas.common.transactions import Write, transact
from lambdas.jobs.schemas import ENDED, Status

PREFIX = "reg-"
RegistrationStage = Literal["uploading", "scanning", "deploying"]


class RegistrationVersion(BaseModel):
    """The version of the registry that a registration is about."""

    model_config = ConfigDict(protected_namespaces=())

    id: str
    user_id: str
    model_id: str
    version: str | None = Field(default=None, description="Null until the registry has given it its number.")


class RegistrationFields(BaseModel):
    """What a registration says of itself."""

    kind: Literal["register"] = "register"
    name: str
    status: Status = "pending"
    stage: RegistrationStage | None = Field(default=None, description="What it waits for; null once it has ended.")
    reason: str | None = Field(default=None, description="Why it failed, or was cancelled.")
    model: RegistrationVersion
    deploy: bool
    endpoint_id: str | None = Field(default=None, description="The endpoint, once the model is ready to be deployed.")
    started_at: str | None = None
    ended_at: str | None = None


class Registration(RegistrationFields, Entity):
    """A registration as it is stored."""

    role: Role = Field(description="The caller's when they asked: what they might do then is done.")
    wanted: dict[str, Any] = Field(default_factory=dict, description="The endpoint, as POST /endpoints takes it.")
    instance_type: str | None = Field(default=None, description="Of the endpoint, where it has instances.")
    pointer: str = Field(description="The id of the item by which the same request finds it.")
    content: str = Field(description="The SHA-256 of what was asked for.")
    new_model: bool = Field(default=False, description="Whether its request makes the version, too.")

    @property
    def ended(self) -> bool:
        return self.status in ENDED


class RegistrationPublic(RegistrationFields):
    """A registration as it is shown."""

    id: str
    user_id: str
    created_at: str
    updated_at: str

    @classmethod
    def of(cls, registration: Registration, **more: Any) -> Self:
        """Return what may be shown of a registration."""
        shown = registration.model_dump(include=set(RegistrationPublic.model_fields) - {"user_id"})
        return cls(**shown | more, user_id=registration.owner)


REGISTRATIONS = EntityStore("JOBS_TABLE", Registration, "job")


def owned(caller: Caller, id: str) -> Registration:
    """Return a registration of the caller's, or any for an admin; raises NotFound."""
    return REGISTRATIONS.find(id) if caller.is_admin else REGISTRATIONS.get(caller.username, id)


def list_registrations(caller: Caller, limit: int, cursor: str | None, **matching: str | None) -> Page[Registration]:
    """Return a page of the caller's registrations, newest first."""
    return REGISTRATIONS.list(caller.username, PREFIX, limit, cursor, **matching)


def earlier(owner: str, pointer: str) -> Registration | None:
    """Return the registration that a request was answered with before, or None."""
    table = variable("JOBS_TABLE")
    found = aws.client("dynamodb").get_item(TableName=table, Key=key(owner, pointer), ConsistentRead=True)
    if "Item" not in found:
        return None
    target = from_item(found["Item"])["target"]
    try:
        return REGISTRATIONS.get(owner, target)
    except NotFound:  # deleted between the two reads, or by somebody who left the pointer
        with suppress(Stale):
            transact(no_longer_pointing(owner, pointer, target))
        return None


def store(registration: Registration, instead_of: Registration | None = None) -> None:
    """Store a new registration and what leads to it; raises Stale when the same request was faster."""
    transact(
        REGISTRATIONS.creation(registration),
        pointing(registration, instead_of),
        waits.opening(registration.id, registration.owner),
    )


def pointing(registration: Registration, instead_of: Registration | None) -> Write:
    """Return the write by which the same request finds this registration from now on."""
    item = {"id": {"S": registration.pointer}, "owner": {"S": registration.owner}, "target": {"S": registration.id}}
    put: dict[str, Any] = {
        "TableName": variable("JOBS_TABLE"),
        "Item": item,
        "ConditionExpression": "attribute_not_exists(id)",
    }
    if instead_of:
        put["ConditionExpression"] += " OR #target = :before"
        put["ExpressionAttributeNames"] = {"#target": "target"}
        put["ExpressionAttributeValues"] = {":before": {"S": instead_of.id}}
    return Write("Put", put, Stale("The same request was sent twice at the same moment; send it again."))


def no_longer_pointing(owner: str, pointer: str, target: str) -> Write:
    """Return the write by which the same request finds nothing any more; it fails with Stale when it finds another."""
    delete = {
        "TableName": variable("JOBS_TABLE"),
        "Key": key(owner, pointer),
        "ConditionExpression": "attribute_not_exists(id) OR #target = :target",
        "ExpressionAttributeNames": {"#target": "target"},
        "ExpressionAttributeValues": {":target": {"S": target}},
    }
    return Write("Delete", delete, Stale(f"{target} was replaced."))


def end(
    registration: Registration, outcome: Literal["completed", "failed", "cancelled"], reason: str | None = None
) -> Registration:
    """Store a registration's end; one that has ended stays as it is."""
    changes = {"status": outcome, "stage": None, "reason": reason, "ended_at": now()}
    return REGISTRATIONS.settle(
        registration, waits.closing(registration.id), unless=lambda registration: registration.ended, **changes
    )


def stop(registration: Registration) -> Registration:
    """Cancel a registration; the version stays. Raises Conflict once it has ended, or its endpoint is on its way."""
    stopped = REGISTRATIONS.settle(
        registration,
        waits.closing(registration.id),
        unless=lambda registration: registration.ended or registration.endpoint_id is not None,
        status="cancelled",
        stage=None,
        reason="Stopped on request before it was deployed.",
        ended_at=now(),
    )
    if stopped.status == "cancelled" and not registration.ended:
        return stopped
    if stopped.ended:
        raise Conflict(f"The job {stopped.id} is {stopped.status} already.")
    raise Conflict(
        f"The endpoint {stopped.endpoint_id} is being made; DELETE /endpoints/{stopped.endpoint_id} when it is."
    )


def delete(registration: Registration) -> None:
    """Delete the record of a registration that has ended; model and endpoint stay. Raises Conflict before."""
    if not registration.ended:
        raise Conflict(f"The job {registration.id} is {registration.status}; stop it first.")
    try:
        REGISTRATIONS.delete(
            registration, no_longer_pointing(registration.owner, registration.pointer, registration.id)
        )
    except Stale:  # a later one of the same request has taken its place
        REGISTRATIONS.delete(registration)

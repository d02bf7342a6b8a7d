"""The rules of `register`: one request, and a model goes into the registry and to its endpoint by itself.

A registration is stored first, with the id that a new version will have; each later look at it moves it on by one
step, and can be repeated. So whoever looks, its request, its workflow or the schedule, gets it to its end.
"""

import hashlib
import json
from datetime import timedelta
from typing import Any

from lambdas.common import workflows
from lambdas.common.errors import Conflict, NotFound, SlipwayError, Stale, Unavailable
from lambdas.common.identity import Caller
from lambdas.common.ids import new_id
from lambdas.common.store import now
from lambdas.endpoints import leases, service
from lambdas.endpoints.registration_schemas import RegisterCreate
from lambdas.endpoints.schemas import Endpoint, EndpointCreate
from lambdas.jobs import service as jobs
from lambdas.jobs.service import registrations
from lambdas.models import service as models
from lambdas.models.schemas import ModelReference, ModelVersion

Registration = registrations.Registration
STORE = registrations.REGISTRATIONS
WORKFLOW = "REGISTER_WORKFLOW_ARN"
INTERRUPTED_AFTER = timedelta(minutes=15)  # far more than a request lives
STAGES: dict[str, Any] = {"uploading": "uploading", "scanning": "scanning"}
SOONEST, LATEST = 2, 900  # seconds between two looks: a tenth of the time it took so far, within these


# -------------------------------------------------------------------------------------------------- the request


def register(caller: Caller, request: RegisterCreate) -> Registration:
    """Accept a registration, or return the one that the same request was answered with before.

    Raises BadRequest, NotFound, Conflict for what can be seen now to come to nothing; TooLarge.
    """
    content, pointer = digests(caller, request)
    before = registrations.earlier(caller.username, pointer)
    if before and stands(before, request, content):
        return resumed(caller, request, before)
    registration = new_registration(caller, request, content, pointer)
    try:
        registrations.store(registration, instead_of=before)
    except Stale:  # the same request, at the same moment
        return register(caller, request)
    try:
        return resumed(caller, request, registration)
    except Unavailable:
        raise  # the same request goes on
    except SlipwayError as error:  # what only the registry can tell, such as a name that is taken
        if models.stored(registration.model.user_id, registration.model.id) is None:
            registrations.delete(registrations.end(registration, "failed", error.detail))
        raise


def digests(caller: Caller, request: RegisterCreate) -> tuple[str, str]:
    """Return the SHA-256 of what is asked for, and the id of the pointer by which the same request is known."""
    asked = request.model_dump(mode="json", exclude={"client_token"})
    content = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
    token = f"token:{request.client_token}" if request.client_token else f"content:{content}"
    return content, f"register#{hashlib.sha256(token.encode()).hexdigest()}"


def stands(before: Registration, request: RegisterCreate, content: str) -> bool:
    """Return whether a request is answered with what it was answered with before.

    A token means one registration for ever. The same content means another try once the first came to nothing, or
    once what it made is gone. Raises Conflict for a token that meant something else.
    """
    if request.client_token:
        if before.content != content:
            message = f"{request.client_token} was used for another request, {before.id}"
            raise Conflict(
                f"{message}; send another client_token.", errors=[{"field": "client_token", "message": message}]
            )
        return True
    if before.status in {"failed", "cancelled"}:
        return False
    return not before.ended or still_there(before)


def still_there(registration: Registration) -> bool:
    """Return whether there still is what a registration made: the version, and the endpoint where one was asked for."""
    if registration.deploy:
        endpoint = endpoint_of(registration)
        return endpoint is not None and endpoint.status not in {"failed", "deleting"}
    version = models.stored(registration.model.user_id, registration.model.id)
    return version is not None and version.status != "deleting"


def new_registration(caller: Caller, request: RegisterCreate, content: str, pointer: str) -> Registration:
    """Return the registration that a request stands for; raises what `register` raises."""
    of_endpoint = set(EndpointCreate.model_fields) - {"model"}
    version = version_of(caller, request)
    instance_type = service.instance_type_of(caller, request) if request.deploy else None
    leases.hours_of(request.lease_hours)  # a longer one is refused now, not when the endpoint begins
    if version and request.deploy and version.status == "ready":
        service.checked(caller, request, version, instance_type)
    return Registration(
        owner=caller.username,
        id=new_id("reg"),
        name=request.name,
        stage="uploading" if version is None else STAGES.get(version.status),
        model=named(version) if version else unnamed(caller, request),
        deploy=request.deploy,
        role=caller.role,
        wanted=request.model_dump(mode="json", include=of_endpoint, exclude_unset=True),
        instance_type=instance_type,
        pointer=pointer,
        content=content,
        new_model=version is None,
    )


def version_of(caller: Caller, request: RegisterCreate) -> ModelVersion | None:
    """Return the version that a request is about, None for one that is to be made; raises NotFound, Conflict."""
    reference = request.model
    if request.job_id:
        job = jobs.owned(caller, request.job_id)
        if job.status != "completed":
            raise Conflict(f"The job {job.id} is {job.status}; a completed one has made a model.")
        reference = ModelReference(user_id=job.owner, model_id=job.model.model_id, version=job.model.version)
    if reference is None:
        return None
    found = models.find(caller, reference.user_id or caller.username, reference.model_id, reference.version)
    if found.status not in {*STAGES, "ready"}:
        raise Conflict(
            f"{found.model_id} {found.version} is {found.status}: {found.reason or 'it cannot be deployed.'}"
        )
    return found


def named(version: ModelVersion) -> registrations.RegistrationVersion:
    """Return a version as a registration names it."""
    return registrations.RegistrationVersion(
        id=version.id, user_id=version.owner, model_id=version.model_id, version=version.version
    )


def unnamed(caller: Caller, request: RegisterCreate) -> registrations.RegistrationVersion:
    """Return a version that is to be made as a registration names it."""
    assert request.new_model
    owner = models.owner_of(caller, request.new_model.user_id)
    return registrations.RegistrationVersion(
        id=models.new_version_id(), user_id=owner, model_id=request.new_model.model_id
    )


def resumed(caller: Caller, request: RegisterCreate, registration: Registration) -> Registration:
    """Do what is left to do of a request: make the version that it brings, start its workflow."""
    if request.new_model and not registration.ended:
        version = models.start_upload(caller, request.new_model, registration.model.id)
        if registration.model.version is None:
            registration = STORE.settle(registration, model=named(version))
    if not registration.ended:
        workflows.start(WORKFLOW, registration.owner, registration.id)
    return registration


def uploads_of(registration: Registration) -> dict[str, Any] | None:
    """Return what is left to upload of a registration's new version, None when nothing is."""
    if not registration.new_model:
        return None
    version = models.stored(registration.model.user_id, registration.model.id)
    return models.upload_plan(version) if version and version.status == "uploading" else None


# ---------------------------------------------------------------------------------------------------- its steps


def move_on(registration: Registration) -> Registration:
    """Move a registration on by one step, if it is time for one; return it as it then is. Safe to repeat."""
    if registration.ended:
        return registration
    if registration.endpoint_id:
        return follow(registration)
    version = models.stored(registration.model.user_id, registration.model.id)
    if version is None or version.status == "deleting":
        return without_version(registration)
    if version.status in STAGES:
        return noted(registration, version)
    if version.status != "ready":
        return registrations.end(registration, "failed", f"The version is {version.status}: {version.reason}")
    if not registration.deploy:
        return registrations.end(registration, "completed")
    return deployed(registration, version)


def without_version(registration: Registration) -> Registration:
    """Give up a registration whose version was deleted, or whose request did not live to make it."""
    if not registration.new_model or registration.model.version:
        return registrations.end(registration, "failed", "The version was deleted before it was deployed.")
    if registration.age > INTERRUPTED_AFTER:
        return registrations.end(registration, "failed", "The request was interrupted; send it again.")
    return registration


def noted(registration: Registration, version: ModelVersion) -> Registration:
    """Store what a registration waits for, if that has changed."""
    changes = {"stage": STAGES[version.status], "model": named(version)}
    if version.status == "scanning":
        changes |= {"status": "running", "started_at": registration.started_at or now()}
    if all(getattr(registration, name) == value for name, value in changes.items()):
        return registration
    return STORE.settle(registration, unless=lambda registration: registration.ended, **changes)


def deployed(registration: Registration, version: ModelVersion) -> Registration:
    """Begin the endpoint together with its note on the registration, or say why there is none."""
    model = ModelReference(user_id=version.owner, model_id=version.model_id, version=version.version)
    request = EndpointCreate.model_validate({**registration.wanted, "model": model.model_dump()})
    caller = Caller(username=registration.owner, role=registration.role)
    id = new_id("ep")
    changes = {"status": "running", "stage": "deploying", "endpoint_id": id, "model": named(version)}
    changes |= {"started_at": registration.started_at or now()}
    try:
        note = STORE.change(registration, **changes)
        service.begin(caller, request, registration.instance_type, id, note)  # it was allowed when it was asked for
    except (Stale, Unavailable):
        pass  # somebody else moved it on, or that passes: the next look sees
    except SlipwayError as error:
        return registrations.end(registration, "failed", error.detail)
    return STORE.get(registration.owner, registration.id)


def follow(registration: Registration) -> Registration:
    """End a registration whose endpoint has come to rest."""
    endpoint = endpoint_of(registration)
    if endpoint is None or endpoint.status == "deleting":
        return registrations.end(registration, "failed", "The endpoint was deleted before it was in service.")
    if endpoint.status == "creating":
        return registration
    if endpoint.status == "failed":
        return registrations.end(registration, "failed", endpoint.reason)
    return registrations.end(registration, "completed")


def endpoint_of(registration: Registration) -> Endpoint | None:
    """Return the endpoint of a registration, None when there is none or no more."""
    try:
        return service.ENDPOINTS.get(registration.owner, registration.endpoint_id or "")
    except NotFound:
        return None


def seconds_to_wait(registration: Registration) -> int:
    """Return when to look again: soon after it began, ever later while nothing comes."""
    return int(min(max(registration.age.total_seconds() / 10, SOONEST), LATEST))

"""Scripts of users: uploaded as a ZIP, checked without being run, used by jobs of type `custom`."""

import hashlib
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from lambdas.common import aws, uploads, waits
from lambdas.common.environment import variable
from lambdas.common.errors import BadRequest, Conflict
from lambdas.common.identity import Caller
from lambdas.common.ids import new_id
from lambdas.common.pages import Page
from lambdas.common.store import Entity, EntityStore
from lambdas.common.transactions import Write
from lambdas.common.uploads import UploadPlan
from lambdas.common.zip_directory import Read, ZipProblem
from lambdas.jobs import script_zip
from lambdas.jobs.schemas import DisplayName, JobScript, UsedScript

CHUNK = 1024 * 1024
PREFIX = "scr-"


class ScriptFields(BaseModel):
    """What a script says of itself."""

    name: str
    size: int = Field(description="Bytes of the ZIP.")
    status: Literal["uploading", "ready", "failed"] = "uploading"
    reason: str | None = Field(default=None, description="Why it cannot be used, and what to change.")
    sha256: str | None = Field(default=None, description="Of the ZIP; known once it is ready.")


class Script(ScriptFields, Entity):
    """A script as it is stored."""

    upload_id: str

    @property
    def key(self) -> str:
        return f"{self.owner}/{self.id}/script.zip"


class ScriptPublic(ScriptFields):
    """A script as it is shown."""

    id: str
    user_id: str
    used_by: list[str] = Field(description="Jobs that have not ended; with any, it is not deleted.")
    created_at: str

    @classmethod
    def of(cls, script: Script) -> "ScriptPublic":
        """Return what may be shown of a script."""
        known = script.model_dump(include=set(ScriptFields.model_fields) | {"id", "created_at"})
        return cls(**known, user_id=script.owner, used_by=sorted(script.holds))


class ScriptCreate(BaseModel):
    """A script to upload: one ZIP."""

    model_config = ConfigDict(extra="forbid")

    name: DisplayName
    size: int = Field(ge=1, le=script_zip.MAX_BYTES, description="Bytes of the ZIP.")


class ScriptCreated(ScriptPublic):
    """A new script, and where to upload its ZIP."""

    upload: UploadPlan


ScriptId = Annotated[str, StringConstraints(pattern=r"^scr-[0-9a-hjkmnp-tv-z]{19}$")]
SCRIPTS = EntityStore("JOBS_TABLE", Script, "script")


def create(caller: Caller, new: ScriptCreate) -> ScriptCreated:
    """Store a script that is about to be uploaded, and say where to."""
    script = Script(owner=caller.username, id=new_id("scr"), name=new.name, size=new.size, upload_id="")
    script.upload_id = uploads.start(variable("JOBS_BUCKET"), script.key, "application/zip")
    SCRIPTS.create(script)
    return ScriptCreated(**dict(ScriptPublic.of(script)), upload=plan(script))


def plan(script: Script) -> UploadPlan:
    """Return fresh URLs for what is left to upload; raises Conflict once the upload is over."""
    return uploads.plan(variable("JOBS_BUCKET"), script.key, script.upload_id, script.size)


def complete(script: Script) -> Script:
    """End the upload and check the ZIP; again is no error. Raises BadRequest naming what is wrong with it."""
    if script.status == "uploading":
        bucket = variable("JOBS_BUCKET")
        try:
            uploads.complete(bucket, script.key, script.upload_id, script.size)
        except Conflict:  # made already, by a call that did not live to say so
            uploads.size_of(bucket, script.key)
        try:
            script_zip.check(reader(bucket, script.key), script.size)
            found = {"status": "ready", "sha256": sha256(bucket, script.key)}
        except ZipProblem as problem:
            found = {"status": "failed", "reason": f"The ZIP {problem}"}
        script = SCRIPTS.settle(script, unless=lambda script: script.status != "uploading", **found)
    if script.status == "failed":
        raise BadRequest(str(script.reason))
    return script


def owned(caller: Caller, id: str) -> Script:
    """Return a script of the caller's, or any for an admin; raises NotFound."""
    return SCRIPTS.find(id) if caller.is_admin else SCRIPTS.get(caller.username, id)


def list_scripts(caller: Caller, limit: int, cursor: str | None) -> Page[Script]:
    """Return a page of the caller's scripts, newest first."""
    return SCRIPTS.list(caller.username, PREFIX, limit, cursor)


def delete(script: Script) -> None:
    """Delete a script's record; its file follows. Raises Conflict naming the jobs that use it."""
    # Opened until the file is gone too: a crash in between is finished by reconcile.
    SCRIPTS.delete(script, waits.opening(script.id, script.owner))


def for_job(caller: Caller, wanted: JobScript) -> UsedScript:
    """Return the script that a job of the caller's is to run; raises BadRequest, NotFound."""
    script = SCRIPTS.get(caller.username, wanted.id)
    if script.status != "ready":
        raise wrong("id", f"The script {script.id} is {script.status}: complete its upload first.")
    try:
        files = script_zip.check(reader(variable("JOBS_BUCKET"), script.key), script.size)
        script_zip.check_entry_point(files, wanted.entry_point)
    except ZipProblem as problem:
        raise wrong("entry_point", f"The ZIP {problem}") from problem
    return UsedScript(**wanted.model_dump(), sha256=script.sha256)


def hold(owner: str, script: UsedScript | None, job_id: str) -> list[Write]:
    """Return the write by which a job keeps its script from being deleted; none for a job without one."""
    ready = {":ready": {"S": "ready"}}
    return [SCRIPTS.hold(owner, script.id, job_id, "AND #status = :ready", ready)] if script else []


def release(owner: str, script: UsedScript | None, job_id: str) -> list[Write]:
    """Return the write that ends a job's hold on its script; none for a job without one."""
    return [SCRIPTS.release(owner, script.id, job_id)] if script else []


def reader(bucket: str, key: str) -> Read:
    """Return a function that reads pieces of an object."""

    def read(offset: int, length: int) -> bytes:
        if length == 0:
            return b""
        asked = f"bytes={offset}-{offset + length - 1}"
        return aws.client("s3").get_object(Bucket=bucket, Key=key, Range=asked)["Body"].read()

    return read


def sha256(bucket: str, key: str) -> str:
    """Return the hexadecimal SHA-256 of an object, read piece by piece."""
    digest = hashlib.sha256()
    for chunk in aws.client("s3").get_object(Bucket=bucket, Key=key)["Body"].iter_chunks(CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def wrong(field: str, message: str) -> BadRequest:
    """Return the error for a script that a job cannot run."""
    return BadRequest(message, errors=[{"field": f"script.{field}", "message": message}])

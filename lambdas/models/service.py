"""The rules of the registry: who may read and change which version, and what can be done with one."""

import json
import re
from dataclasses import replace
from typing import Any

from lambdas.common import objects
from lambdas.common.environment import variable
from lambdas.common.errors import BadRequest, Conflict, NotFound, Stale
from lambdas.common.identity import Caller
from lambdas.common.ids import new_id
from lambdas.common.pages import MAX_PAGE, Page
from lambdas.common.transactions import Write
from lambdas.common.uploads import UploadPlan
from lambdas.models import aliases, comparison, deletion, imports, lineage, manifest, search_index, upload, versions
from lambdas.models.comparison import Comparison
from lambdas.models.folder import read_folder
from lambdas.models.lineage import Lineage
from lambdas.models.overview import count as count  # the statistics call these
from lambdas.models.overview import newest_of_each as newest_of_each
from lambdas.models.overview import registered as registered
from lambdas.models.overview import shared_by_all as shared_by_all
from lambdas.models.overview import sharing
from lambdas.models.records import MODELS
from lambdas.models.requests import FileUpload, FolderUpload, ImportCreate, ModelUpdate, SingleUpload
from lambdas.models.requests import UploadCreate as UploadCreate  # a registration may bring one
from lambdas.models.schemas import ModelFile, ModelPublic, ModelVersion
from lambdas.models.search_terms import Filter
from lambdas.models.storage import held_by as held_by  # the statistics call it
from lambdas.models.trained import record_evaluation as record_evaluation  # the jobs call these two
from lambdas.models.trained import register_trained as register_trained

MAX_DOCUMENT_BYTES = 4 * 1024 * 1024  # of a file that says what a model is

# ------------------------------------------------------------------------------------------------------ reads


def find(caller: Caller, owner: str, model_id: str, version: str | None) -> ModelVersion:
    """Return a version by name or alias (None: the latest) that the caller may read; raises NotFound."""
    found = versions.resolve(owner, model_id, version)
    if found is None or not may_read(caller, found):
        raise NotFound(f"{owner} has no model {model_id}{f' {version}' if version else ''} that you may see.")
    return found


def find_to_download(caller: Caller, owner: str, model_id: str, version: str | None) -> ModelVersion:
    """Return a version whose files the caller may have: others than its owner get those that are ready."""
    found = find(caller, owner, model_id, version)
    if found.status != "ready" and not may_change(caller, owner):
        raise Conflict(f"{model_id} {found.version} is {found.status}; its owner alone may download it.")
    return found


def find_to_change(caller: Caller, owner: str, model_id: str, version: str | None) -> ModelVersion:
    """Return a version that the caller may change: the owner's own, any for an admin; raises NotFound."""
    if may_change(caller, owner) and (found := versions.resolve(owner, model_id, version)):
        return found
    raise NotFound(f"{owner} has no model {model_id}{f' {version}' if version else ''} that you may change.")


def find_upload(caller: Caller, id: str) -> ModelVersion:
    """Return the version of an upload plan by its id; raises NotFound unless the caller may change it, Conflict."""
    version = MODELS.find(id) if caller.is_admin else MODELS.get(caller.username, id)
    if version.status == "deleting":
        raise NotFound(f"There is no upload {id}.")
    if version.source:
        raise Conflict(f"{version.model_id} {version.version} is imported from Hugging Face: nothing is left to you.")
    return version


def may_read(caller: Caller, version: ModelVersion) -> bool:
    """Return whether the caller is the owner, an admin, or it is shared."""
    return may_change(caller, version.owner) or version.visibility == "shared"


def may_change(caller: Caller, owner: str) -> bool:
    """Return whether the caller is the owner or an admin."""
    return caller.username == owner or caller.is_admin


def search(
    caller: Caller, owner: str, wanted: Filter, limit: int, cursor: str | None, skip: int = 0
) -> Page[ModelVersion]:
    """Return a page of the owner's versions, newest first: all to the owner and admins, the shared ones to others."""
    if not may_change(caller, owner):
        wanted = replace(wanted, shared_only=True)
    return search_index.search(owner, wanted, limit, cursor, skip, versions.living)


def versions_of(caller: Caller, owner: str, model_id: str, limit: int, cursor: str | None) -> Page[ModelVersion]:
    """Return a page of a model's versions, newest first; raises NotFound when there is none to see."""
    page = search(caller, owner, Filter(model_id=model_id), limit, cursor)
    if not page.items and cursor is None:
        raise NotFound(f"{owner} has no model {model_id} that you may see.")
    return page


def compare(caller: Caller, references: list[str]) -> Comparison:
    """Return versions side by side; raises BadRequest for something else than 2 to 10 references, NotFound."""
    found = [re.fullmatch(r"([^/@]+)/([^/@]+)@([^/@]+)", text) for text in references]
    if not 2 <= len(found) <= 10 or not all(found):
        message = "give 2 to 10 of user_id/model_id@version, separated by commas"
        raise BadRequest(f"Nothing can be compared: {message}.", errors=[{"field": "models", "message": message}])
    return comparison.compare([find(caller, *match.groups()) for match in found if match])


def lineage_of(caller: Caller, version: ModelVersion) -> Lineage:
    """Return where a version comes from, and which others name it as their base model."""
    derived = search(caller, version.owner, Filter(base_model=lineage.reference(version)), MAX_PAGE, None)
    return lineage.lineage(version, derived.items)


def public(version: ModelVersion) -> ModelPublic:
    """Return a version as it is shown, with its files."""
    return ModelPublic.of(version, files=shown_files(version))


def shown_files(version: ModelVersion) -> list[ModelFile]:
    """Return the files of a version as they are shown."""
    return [ModelFile.model_validate(file.model_dump()) for file in manifest.files_of(version)]


# ---------------------------------------------------------------------------------------------------- uploads


def upload_single(caller: Caller, form: SingleUpload) -> ModelVersion:
    """Register a version with the one file of a form; raises BadRequest, Conflict, NotFound, TooLarge."""
    upload.refuse_large(form.file.size or 0)
    if not form.file.filename:
        raise BadRequest("The file has no name.", errors=[{"field": "file", "message": "send it with a filename"}])
    body = form.file.file.read()
    file = FileUpload(filename=form.file.filename, size=len(body), is_primary=form.is_primary)
    return upload.upload_form(owner_of(caller, form.user_id), form, [(file, body)])


def upload_folder(caller: Caller, form: FolderUpload) -> ModelVersion:
    """Register a version with the files in a form's ZIP; raises BadRequest naming the member, Conflict, TooLarge."""
    upload.refuse_large(form.zip_file.size or 0)
    owner = owner_of(caller, form.user_id)
    members = read_folder(form.zip_file.file, form.preserve_structure)
    files = [(FileUpload(filename=name, size=len(body)), body) for name, body in members]
    return upload.upload_form(owner, form, files)


def start_upload(caller: Caller, new: UploadCreate, id: str | None = None) -> ModelVersion:
    """Register a version whose files come by presigned URLs; raises BadRequest, Conflict, NotFound, TooLarge.

    With an id this is safe to repeat: what an earlier try stored under it is taken up.
    """
    return upload.start(owner_of(caller, new.user_id), new, id)


def start_import(caller: Caller, new: ImportCreate) -> ModelVersion:
    """Register a version that is brought from Hugging Face; raises BadRequest, Conflict, NotFound, TooLarge."""
    return imports.start(owner_of(caller, new.user_id), new)


def owner_of(caller: Caller, user_id: str | None) -> str:
    """Return whose a new version is; raises NotFound for somebody else's, which an admin alone may make."""
    owner = user_id or caller.username
    if not may_change(caller, owner):
        raise NotFound(f"There is no user {owner} for whom you may register models; you are {caller.username}.")
    return owner


# ---------------------------------------------------------------------------------------------------- changes


def update(version: ModelVersion, changes: ModelUpdate) -> ModelVersion:
    """Store what was sent of the changes; raises BadRequest for a file that there is not."""
    sent = changes.model_dump(exclude_unset=True)
    descriptions = {file["filename"]: file["description"] for file in sent.pop("files", [])}
    if unknown := descriptions.keys() - {file.filename for file in manifest.files_of(version)}:
        message = f"there is no {min(unknown)}"
        raise BadRequest(f"The file cannot be described: {message}.", errors=[{"field": "files", "message": message}])
    before, updated = changed(version, sent) if sent else (version, version)
    search_index.retract(before, updated)
    manifest.write(
        updated,
        lambda files: [
            file.model_copy(update={"description": descriptions.get(file.filename, file.description)}) for file in files
        ],
    )
    return updated


def changed(version: ModelVersion, changes: dict[str, Any]) -> tuple[ModelVersion, ModelVersion]:
    """Store changes of a record, whatever else has changed on it meanwhile; return it as it was and as it is.

    In the index before in the table: what the table has is always found.
    """
    while True:
        after = version.model_copy(update=changes)
        search_index.extend(version, after)
        try:
            return version, MODELS.update(version, *sharing(version, after), **changes)
        except Stale:
            version = MODELS.get(version.owner, version.id)


def delete(caller: Caller, owner: str, model_id: str, name: str | None) -> None:
    """Delete a version; without a name, the only one. Raises BadRequest naming them, Conflict while it is in use."""
    if name is None:
        there = versions.of_model(owner, model_id) if may_change(caller, owner) else []
        if len(there) > 1:
            names = ", ".join(version.version for version in there[:20])
            message = f"{model_id} has several versions; say which: {names}"
            raise BadRequest(f"{message}.", errors=[{"field": "version", "message": message}])
        name = there[0].version if there else None
    version = find_to_change(caller, owner, model_id, name)
    if upload.is_coming(version):
        raise Conflict(f"{model_id} {version.version} is being uploaded by a form; delete it when that is done.")
    deletion.finish(deletion.begin(version))


def remove_alias(caller: Caller, owner: str, model_id: str, alias: str) -> None:
    """Remove an alias; raises NotFound."""
    find_to_change(caller, owner, model_id, alias)
    aliases.remove(owner, model_id, alias)


# ------------------------------------------------------------------------------------------- for later nouns


def trusted(version: ModelVersion) -> bool:
    """Return whether nothing speaks against loading it: the scanner calls it clean, or a job here made it."""
    return version.verdict == "clean" or (version.job_id is not None and version.verdict == "unscanned")


def files_uri(version: ModelVersion) -> str:
    """Return the S3 prefix of a version's files."""
    return f"s3://{variable('MODELS_BUCKET')}/{version.prefix}"


def document(version: ModelVersion, name: str) -> dict[str, Any]:
    """Return the JSON object in one of a version's files; {} where it is none, absent, or larger than one would be."""
    answer = objects.find(variable("MODELS_BUCKET"), version.prefix + name)
    if answer is None or answer["ContentLength"] > MAX_DOCUMENT_BYTES:
        return {}
    try:
        found = json.loads(answer["Body"].read())
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def archived_files(version: ModelVersion) -> list[ModelFile]:
    """Return the files in the archive of a version that a job made, by the manifest that the job wrote beside it."""
    return [
        ModelFile(
            filename=file["name"],
            file_path=version.model_archive or "",
            file_size=file["size"],
            file_type="." + file["name"].rpartition(".")[2],
            file_hash=file["sha256"],
        )
        for file in document(version, "manifest.json").get("files", [])
    ]


def hold(version: ModelVersion, holder: str) -> Write:
    """Return the write by which an endpoint keeps a ready version from being deleted."""
    return MODELS.hold(version.owner, version.id, holder, "AND #status = :ready", {":ready": {"S": "ready"}})


def release(owner: str, id: str, holder: str) -> Write:
    """Return the write that ends a hold."""
    return MODELS.release(owner, id, holder)


def stored(owner: str, id: str) -> ModelVersion | None:
    """Return a version by its id, whatever it is called and however it stands; None when there is none."""
    return versions.stored(owner, id)


def upload_plan(version: ModelVersion) -> dict[str, UploadPlan | None]:
    """Return what is left to upload of a version's files, by their names; raises Conflict when none is to come."""
    return upload.plan(version)


def new_version_id() -> str:
    """Return an id for a version that is about to be registered."""
    return new_id("mdl")

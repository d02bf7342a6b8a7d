"""The registry over HTTP. `user_id` in a path names the owner of the model."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Path, Query, Response
from fastapi.responses import RedirectResponse

from lambdas.common.dependencies import Caller, Writer
from lambdas.common.pages import MAX_PAGE, Cursor, Limit, Page
from lambdas.common.uploads import attachment
from lambdas.models import aliases, downloads, service, upload
from lambdas.models.comparison import Comparison
from lambdas.models.downloads import Download
from lambdas.models.lineage import Lineage
from lambdas.models.requests import (
    AliasUpdate,
    FolderUpload,
    ImportCreate,
    ModelUpdate,
    SingleUpload,
    UploadCreate,
    UploadStarted,
    split,
)
from lambdas.models.schemas import (
    Alias,
    Framework,
    ModelFile,
    ModelName,
    ModelPublic,
    ModelSummary,
    ModelType,
    ModelVersion,
    Username,
    VersionName,
    VersionOrAlias,
)
from lambdas.models.search_terms import Filter, words_of

router = APIRouter(prefix="/ai-models", tags=["models"])

AnyVersion = Annotated[VersionOrAlias | None, Query(description="A version or an alias; the latest when absent.")]
Skip = Annotated[int, Query(ge=0, le=10_000, description="Items to leave out; `cursor` goes further.")]
DOWNLOADED: dict[int | str, dict[str, Any]] = {
    200: {"description": "The bytes.", "content": {"application/octet-stream": {}, "application/zip": {}}},
    302: {"description": "They are in S3: follow `Location`."},
}
TagList = Annotated[str | None, Query(max_length=900, description="Separated by commas; all of them must be there.")]


def readable_model(caller: Caller, user_id: Username, model_id: ModelName, version: AnyVersion = None) -> ModelVersion:
    """Return the version that the path names; raises NotFound unless the caller may read it."""
    return service.find(caller, user_id, model_id, version)


def downloadable_model(
    caller: Caller, user_id: Username, model_id: ModelName, version: AnyVersion = None
) -> ModelVersion:
    """Return the version that the path names, if the caller may have its files."""
    return service.find_to_download(caller, user_id, model_id, version)


def writable_model(caller: Writer, user_id: Username, model_id: ModelName, version: AnyVersion = None) -> ModelVersion:
    """Return the version that the path names; raises NotFound unless the caller may change it."""
    return service.find_to_change(caller, user_id, model_id, version)


def own_upload(caller: Writer, id: Annotated[str, Path(max_length=64)]) -> ModelVersion:
    """Return the version that is being uploaded under an id; raises NotFound unless the caller may change it."""
    return service.find_upload(caller, id)


def wanted_models(
    framework: Framework | None = None,
    model_type: ModelType | None = None,
    tags: TagList = None,
    is_production_ready: bool | None = None,
    created_after: Annotated[datetime | None, Query(description="ISO 8601.")] = None,
    created_before: Annotated[datetime | None, Query(description="ISO 8601.")] = None,
    query: Annotated[
        str | None, Query(max_length=200, description="Beginnings of words of id, name, description, tags, algorithm.")
    ] = None,
) -> Filter:
    """Return what a list or search asks for."""
    return Filter(
        framework=framework,
        model_type=model_type,
        tags=tuple(split(tags or "")),
        production=is_production_ready,
        created_after=created_after,
        created_before=created_before,
        words=tuple(words_of(query or "")),
    )


def found_models(
    caller: Caller,
    user_id: Username,
    wanted: Annotated[Filter, Depends(wanted_models)],
    skip: Skip = 0,
    limit: Limit = MAX_PAGE,
    cursor: Cursor = None,
) -> Page[ModelVersion]:
    """Return the page of a user's versions that a list or search asks for."""
    return service.search(caller, user_id, wanted, limit, cursor, skip)


ReadableModel = Annotated[ModelVersion, Depends(readable_model)]
DownloadableModel = Annotated[ModelVersion, Depends(downloadable_model)]
WritableModel = Annotated[ModelVersion, Depends(writable_model)]
OwnUpload = Annotated[ModelVersion, Depends(own_upload)]
FoundModels = Annotated[Page[ModelVersion], Depends(found_models)]


# ---------------------------------------------------------------------------------------------------- uploads


@router.post("/upload/single")
def upload_model_file(caller: Writer, form: Annotated[SingleUpload, Form()]) -> ModelPublic:
    """Register a version with one file of at most 4 MiB; it is scanned at once."""
    return service.public(service.upload_single(caller, form))


@router.post("/upload/folder")
def upload_model_folder(caller: Writer, form: Annotated[FolderUpload, Form()]) -> ModelPublic:
    """Register a version with the files in a ZIP of at most 4 MiB; they are scanned at once."""
    return service.public(service.upload_folder(caller, form))


@router.post("/uploads", status_code=201)
def start_upload(caller: Writer, new: UploadCreate) -> UploadStarted:
    """Register a version whose files are of any size: PUT each part to its URL, then complete."""
    return started(service.start_upload(caller, new))


@router.get("/uploads/{id}")
def get_model_upload(version: OwnUpload) -> UploadStarted:
    """Go on with an upload: fresh URLs for the parts that are still missing."""
    return started(version)


@router.post("/uploads/{id}/complete", status_code=202)
def complete_upload(version: OwnUpload) -> ModelPublic:
    """Say that all parts are uploaded; the files are then scanned. Again is no error."""
    return service.public(upload.complete(version))


def started(version: ModelVersion) -> UploadStarted:
    """Return an upload as it is answered."""
    return UploadStarted(model=service.public(version), uploads=upload.plan(version))


@router.post("/imports", status_code=201)
def import_model(caller: Writer, new: ImportCreate) -> ModelPublic:
    """Import a public repository of the Hugging Face Hub: weights in SafeTensors, and what says how to use them.

    The version is `uploading` until all files are here, and is then scanned. Its licence is recorded.
    """
    return service.public(service.start_import(caller, new))


# ------------------------------------------------------------------------------------------- lists and search


@router.get("/compare")
def compare_models(
    caller: Caller,
    models: Annotated[
        str, Query(max_length=2000, description="2 to 10 of `user_id/model_id@version`, separated by commas.")
    ],
) -> Comparison:
    """Put versions side by side: figures, the parameters in which they differ, size, data set."""
    return service.compare(caller, split(models))


@router.get("/search/{user_id}")
def search_models(page: FoundModels) -> Page[ModelSummary]:
    """Search a user's versions, newest first: all of your own, the shared ones of others."""
    return shown(page)


@router.get("/{user_id}")
def list_models(page: FoundModels) -> Page[ModelSummary]:
    """List a user's versions, newest first: all of your own, the shared ones of others."""
    return shown(page)


def shown(page: Page[ModelVersion]) -> Page[ModelSummary]:
    """Return a page of versions as it is answered."""
    return Page(items=[ModelSummary.of(version) for version in page.items], next_cursor=page.next_cursor)


# ------------------------------------------------------------------------------------------------ one version


@router.get("/{user_id}/{model_id}")
def get_model(model: ReadableModel) -> ModelPublic:
    """Return one version: its files, figures, and where it is deployed."""
    return service.public(model)


@router.put("/{user_id}/{model_id}")
def update_model(model: WritableModel, changes: ModelUpdate) -> ModelPublic:
    """Change what is said of a version; its files stay as they are."""
    return service.public(service.update(model, changes))


@router.delete("/{user_id}/{model_id}", status_code=204)
def delete_model(
    caller: Writer,
    user_id: Username,
    model_id: ModelName,
    version: Annotated[VersionName | None, Query(description="May be left out for the only one.")] = None,
) -> None:
    """Delete a version and its files; refused while something uses it."""
    service.delete(caller, user_id, model_id, version)


@router.get("/{user_id}/{model_id}/files")
def list_model_files(model: ReadableModel) -> list[ModelFile]:
    """List the files of a version with size, SHA-256, and what the scanner found."""
    return service.shown_files(model)


@router.get("/{user_id}/{model_id}/download", response_class=Response, responses=DOWNLOADED)
def download_model(model: DownloadableModel, filename: Annotated[str | None, Query(max_length=512)] = None) -> Response:
    """Download one file, or all as a ZIP: up to 4 MiB in the answer, beyond that by redirect to S3."""
    return answer(downloads.file(model, filename) if filename else downloads.all_files(model))


def answer(download: Download) -> Response:
    """Return a download as it is answered."""
    if download.url:
        return RedirectResponse(download.url, status_code=302)
    headers = {"Content-Disposition": attachment(download.filename)}
    return Response(download.body, media_type=download.content_type, headers=headers)


@router.get("/{user_id}/{model_id}/versions")
def list_model_versions(
    caller: Caller, user_id: Username, model_id: ModelName, limit: Limit = MAX_PAGE, cursor: Cursor = None
) -> Page[ModelSummary]:
    """List the versions of a model, newest first."""
    return shown(service.versions_of(caller, user_id, model_id, limit, cursor))


@router.get("/{user_id}/{model_id}/lineage")
def get_model_lineage(caller: Caller, model: ReadableModel) -> Lineage:
    """Say where a version comes from, and what came of it."""
    return service.lineage_of(caller, model)


@router.put("/{user_id}/{model_id}/aliases/{alias}")
def set_model_alias(
    caller: Writer, user_id: Username, model_id: ModelName, alias: Alias, to: AliasUpdate
) -> ModelPublic:
    """Make an alias such as `champion` point to a version, and to no other."""
    version = service.find_to_change(caller, user_id, model_id, to.version)
    return service.public(aliases.point(version, alias))


@router.delete("/{user_id}/{model_id}/aliases/{alias}", status_code=204)
def remove_model_alias(caller: Writer, user_id: Username, model_id: ModelName, alias: Alias) -> None:
    """Remove an alias; its version stays."""
    service.remove_alias(caller, user_id, model_id, alias)

"""The registry over HTTP. `user_id` in a path names the owner of the model."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from fastapi.responses import RedirectResponse

from lambdas.common.dependencies import Caller
from lambdas.common.pages import Cursor, Limit, Page
from lambdas.models import service
from lambdas.models.schemas import Framework, ModelFile, ModelPublic, ModelType, ModelVersion, VersionName

router = APIRouter(prefix="/ai-models", tags=["models"])


def readable_model(
    caller: Caller,
    user_id: str,
    model_id: str,
    version: Annotated[VersionName | None, Query(description="The latest when absent.")] = None,
) -> ModelVersion:
    """Return the version that the path names; raises NotFound unless the caller may read it."""
    return service.find(caller, user_id, model_id, version)


ReadableModel = Annotated[ModelVersion, Depends(readable_model)]


@router.get("/{user_id}")
def list_models(
    caller: Caller,
    user_id: str,
    framework: Framework | None = None,
    model_type: ModelType | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[ModelPublic]:
    """List the versions of a user's models, newest first: all of your own, the shared ones of others."""
    page = service.list_versions(caller, user_id, limit, cursor, framework=framework, model_type=model_type)
    return Page(items=[ModelPublic.of(version) for version in page.items], next_cursor=page.next_cursor)


@router.get("/{user_id}/{model_id}")
def get_model(model: ReadableModel) -> ModelPublic:
    """Return one version: its metrics, files, lineage and where it is deployed."""
    return ModelPublic.of(model)


@router.get("/{user_id}/{model_id}/files")
def list_model_files(model: ReadableModel) -> list[ModelFile]:
    """List the files of a version with size and SHA-256."""
    return model.files


@router.get("/{user_id}/{model_id}/download", response_class=RedirectResponse, status_code=302)
def download_model_file(model: ReadableModel, filename: Annotated[str, Query(max_length=512)]) -> str:
    """Redirect to a presigned URL of one file, good for 15 minutes."""
    return service.download_url(model, filename)

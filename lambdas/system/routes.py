"""The routes of the system."""

from fastapi import APIRouter, Response
from fastapi.responses import HTMLResponse

from lambdas.system import docs
from lambdas.system.schemas import Health

router = APIRouter(tags=["system"])


@router.get("/health")
def get_health() -> Health:
    """Ask whether the API is up."""
    return Health()


@router.get("/docs", response_class=HTMLResponse)
def get_docs() -> HTMLResponse:
    """Read what this API offers, as a page."""
    return HTMLResponse(docs.page(), headers={"Content-Security-Policy": docs.CONTENT_SECURITY_POLICY})


@router.get("/openapi.json", response_class=Response, responses={200: {"content": {"application/json": {}}}})
def get_openapi() -> Response:
    """Read what this API offers, for programs."""
    return Response(docs.OPENAPI_FILE.read_text(encoding="utf-8"), media_type="application/json")

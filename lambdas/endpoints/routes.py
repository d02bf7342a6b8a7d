"""Endpoints over HTTP: deploy a model, call it, watch it, let it sleep, take it down."""

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from fastapi.responses import JSONResponse

from lambdas.common.dependencies import Caller, Writer
from lambdas.common.pages import Cursor, Limit, Page
from lambdas.endpoints import inferences, invocation, leases, logs, metrics, service, sleeping, token, updates
from lambdas.endpoints.lifetimes import Forecast, LeaseUpdate
from lambdas.endpoints.logs import EndpointLogLine
from lambdas.endpoints.metrics import EndpointMetrics
from lambdas.endpoints.schemas import (
    Endpoint,
    EndpointChange,
    EndpointCreate,
    EndpointPublic,
    Inference,
    InferenceCreate,
    Status,
)
from lambdas.endpoints.token import Token, TokenRequest

router = APIRouter(prefix="/endpoints", tags=["endpoints"])


def readable_endpoint(caller: Caller, id: str) -> Endpoint:
    """Return the caller's endpoint (any for an admin); raises NotFound."""
    return service.owned(caller, id)


def writable_endpoint(caller: Writer, id: str) -> Endpoint:
    """Return the caller's endpoint to change it; raises NotFound, or Forbidden for a viewer."""
    return service.owned(caller, id)


async def raw_body(request: Request) -> bytes:
    """Return the request's body as it came: what it means is the container's business."""
    return await request.body()


ReadableEndpoint = Annotated[Endpoint, Depends(readable_endpoint)]
WritableEndpoint = Annotated[Endpoint, Depends(writable_endpoint)]
RawBody = Annotated[bytes, Depends(raw_body)]
Hours = Annotated[int, Query(ge=1, le=24 * 63, description="How far back.")]
ANY_BODY = {
    "requestBody": {
        "required": True,
        "description": "Whatever the model takes. Tabular models: CSV, or JSON with `instances`. At most 4 MiB.",
        "content": {
            "application/json": {},
            "text/csv": {"schema": {"type": "string"}},
            "text/plain": {"schema": {"type": "string"}},
            "image/*": {"schema": {"type": "string", "format": "binary"}},
        },
    },
    "responses": {
        "202": {
            "description": "An asynchronous endpoint has taken it; `url` says how far it is.",
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Inference"}}},
        }
    },
}
InferenceId = Annotated[str, Path(pattern=r"^inf-[0-9a-hjkmnp-tv-z]{19}$")]


def shown(endpoint: Endpoint, request: Request) -> EndpointPublic:
    """Return what may be shown of an endpoint, with the URL to call it at."""
    reckoned = dict(leases.forecast(endpoint))
    made_here = {"user_id", "url", "updating_to", *Forecast.model_fields}
    fields = endpoint.model_dump(include=set(EndpointPublic.model_fields) - made_here)
    coming = endpoint.update.model if endpoint.update and endpoint.status == "updating" else None
    url = f"{api_url(request)}/endpoints/{endpoint.id}/invoke"
    return EndpointPublic(**fields, **reckoned, user_id=endpoint.owner, url=url, updating_to=coming)


def inferences_url(endpoint: Endpoint, request: Request) -> str:
    """Return the URL of an asynchronous endpoint's calls."""
    return f"{api_url(request)}/endpoints/{endpoint.id}/inferences"


def api_url(request: Request) -> str:
    """Return the API's base URL as the client reached it, which includes the stage's name."""
    context = request.scope["aws.event"]["requestContext"]
    scheme = request.headers.get("x-forwarded-proto", "https")
    host = request.headers.get("x-forwarded-host", request.headers["host"])  # behind a proxy: the one people use
    return f"{scheme}://{host}/{context['stage']}"


@router.post("", status_code=201)
def create_endpoint(caller: Writer, body: EndpointCreate, request: Request) -> EndpointPublic:
    """Deploy a model version. The endpoint is `creating` until it answers, then `in_service`."""
    return shown(service.create(caller, body), request)


@router.get("")
def list_endpoints(
    caller: Caller, request: Request, status: Status | None = None, limit: Limit = 50, cursor: Cursor = None
) -> Page[EndpointPublic]:
    """List your endpoints, newest first."""
    page = service.list_endpoints(caller, limit, cursor, status=status)
    return Page(items=[shown(endpoint, request) for endpoint in page.items], next_cursor=page.next_cursor)


@router.get("/{id}")
def get_endpoint(endpoint: ReadableEndpoint, request: Request) -> EndpointPublic:
    """Return an endpoint, with its last call, the time it has left, and an estimate of what it costs."""
    return shown(endpoint.model_copy(update={"last_invoked_at": metrics.last_known(endpoint)}), request)


@router.patch("/{id}")
def change_endpoint(
    caller: Writer, endpoint: WritableEndpoint, body: EndpointChange, request: Request
) -> EndpointPublic:
    """Change a name at once, or what serves without downtime: `updating`, then `in_service` again.

    When the new version does not start or answers errors, the old one serves on, and `reason` says why.
    """
    return shown(updates.change(caller, endpoint, body), request)


@router.post("/{id}/invoke", response_class=Response, openapi_extra=ANY_BODY)
def invoke_endpoint(
    endpoint: WritableEndpoint,
    body: RawBody,
    request: Request,
    content_type: Annotated[str, Header(max_length=200)] = "application/json",
    accept: Annotated[str, Header(max_length=200)] = "application/json",
) -> Response:
    """Send a body to the model and return its answer; an asynchronous endpoint says where that will be."""
    if endpoint.kind == "async":
        taken = inferences.submit(endpoint, body, content_type, accept, inferences_url(endpoint, request))
        return JSONResponse(taken.model_dump(), 202, {"Location": taken.url})
    prediction = invocation.invoke(endpoint, body, content_type, accept)
    return Response(prediction.body, media_type=prediction.content_type)


@router.post("/{id}/token", status_code=201)
def create_token(endpoint: WritableEndpoint, body: TokenRequest | None = None) -> Token:
    """Take a bearer token for OpenAI's clients, which then call SageMaker directly: for this endpoint alone."""
    return token.mint(endpoint, (body or TokenRequest()).expires_in)


@router.post("/{id}/inferences", status_code=201)
def create_inference(endpoint: WritableEndpoint, body: InferenceCreate, request: Request) -> Inference:
    """Ask for a URL to upload the input of an asynchronous endpoint to, up to 1 GB; `start` it then."""
    return inferences.begin(endpoint, body, inferences_url(endpoint, request))


@router.post("/{id}/inferences/{inference_id}/start", status_code=202)
def start_inference(endpoint: WritableEndpoint, inference_id: InferenceId, request: Request) -> Inference:
    """Let the model answer an input that was uploaded."""
    return inferences.start(endpoint, inference_id, inferences_url(endpoint, request))


@router.get("/{id}/inferences/{inference_id}")
def get_inference(endpoint: ReadableEndpoint, inference_id: InferenceId, request: Request) -> Inference:
    """Return how far an inference is: pending, completed with a URL of the answer, or failed with the reason."""
    return inferences.find(endpoint, inference_id, inferences_url(endpoint, request))


@router.delete("/{id}", status_code=202)
def delete_endpoint(endpoint: WritableEndpoint, request: Request) -> EndpointPublic:
    """Take an endpoint down: nothing of it is left running or billed."""
    return shown(service.delete(endpoint), request)


@router.put("/{id}/lease")
def renew_lease(endpoint: WritableEndpoint, wanted: LeaseUpdate, request: Request) -> EndpointPublic:
    """Begin a new lease now, of as many hours as the last one or as given; sent twice, it is the same lease."""
    return shown(sleeping.renew(endpoint, wanted), request)


@router.post("/{id}/sleep", status_code=202)
def sleep_endpoint(endpoint: WritableEndpoint, request: Request) -> EndpointPublic:
    """Put an endpoint to sleep: it costs nothing, keeps its id and all that it is made of, and can be woken."""
    return shown(sleeping.sleep(endpoint), request)


@router.post("/{id}/wake", status_code=202)
def wake_endpoint(endpoint: WritableEndpoint, request: Request) -> EndpointPublic:
    """Wake a sleeping endpoint: it is `creating` for some minutes, then `in_service` with a new lease."""
    return shown(sleeping.wake(endpoint), request)


@router.get("/{id}/metrics")
def get_endpoint_metrics(endpoint: ReadableEndpoint, hours: Hours = 24) -> EndpointMetrics:
    """Return calls, errors and latencies over the last hours, as SageMaker counts them in CloudWatch."""
    return metrics.of(endpoint, hours)


@router.get("/{id}/logs")
def get_endpoint_logs(endpoint: ReadableEndpoint, limit: Limit = 100, cursor: Cursor = None) -> Page[EndpointLogLine]:
    """Return what the containers printed, oldest first. While the endpoint lives there is always a cursor: ask again
    with it."""
    return logs.lines(endpoint, limit, cursor)

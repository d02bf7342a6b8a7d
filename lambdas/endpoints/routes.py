"""Endpoints over HTTP: deploy a model, call it, watch it, let it sleep, take it down."""

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request, Response

from lambdas.common.dependencies import Caller, Writer
from lambdas.common.pages import Cursor, Limit, Page
from lambdas.endpoints import invocations, leases, logs, rest, service
from lambdas.endpoints.invocations import EndpointMetrics
from lambdas.endpoints.lifetimes import Forecast, LeaseUpdate
from lambdas.endpoints.logs import EndpointLogLine
from lambdas.endpoints.schemas import Endpoint, EndpointCreate, EndpointPublic, Status

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
        "description": "Whatever the model takes. Tabular models: CSV, or JSON with `instances`.",
        "content": {"application/json": {}, "text/csv": {"schema": {"type": "string"}}},
    }
}


def shown(endpoint: Endpoint, request: Request) -> EndpointPublic:
    """Return what may be shown of an endpoint, with the URL to call it at."""
    reckoned = dict(leases.forecast(endpoint))
    fields = endpoint.model_dump(include=set(EndpointPublic.model_fields) - {"user_id", "url", *Forecast.model_fields})
    url = f"{api_url(request)}/endpoints/{endpoint.id}/invoke"
    return EndpointPublic(**fields, **reckoned, user_id=endpoint.owner, url=url)


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
    return shown(endpoint.model_copy(update={"last_invoked_at": invocations.last_known(endpoint)}), request)


@router.post("/{id}/invoke", response_class=Response, openapi_extra=ANY_BODY)
def invoke_endpoint(
    endpoint: WritableEndpoint,
    body: RawBody,
    content_type: Annotated[str, Header(max_length=200)] = "application/json",
    accept: Annotated[str, Header(max_length=200)] = "application/json",
) -> Response:
    """Send a body to the model and return its answer."""
    prediction = service.invoke(endpoint, body, content_type, accept)
    return Response(prediction.body, media_type=prediction.content_type)


@router.delete("/{id}", status_code=202)
def delete_endpoint(endpoint: WritableEndpoint, request: Request) -> EndpointPublic:
    """Take an endpoint down: nothing of it is left running or billed."""
    return shown(service.delete(endpoint), request)


@router.put("/{id}/lease")
def renew_lease(endpoint: WritableEndpoint, wanted: LeaseUpdate, request: Request) -> EndpointPublic:
    """Begin a new lease now, of as many hours as the last one or as given; sent twice, it is the same lease."""
    return shown(rest.renew(endpoint, wanted), request)


@router.post("/{id}/sleep", status_code=202)
def sleep_endpoint(endpoint: WritableEndpoint, request: Request) -> EndpointPublic:
    """Put an endpoint to sleep: it costs nothing, keeps its id and all that it is made of, and can be woken."""
    return shown(rest.sleep(endpoint), request)


@router.post("/{id}/wake", status_code=202)
def wake_endpoint(endpoint: WritableEndpoint, request: Request) -> EndpointPublic:
    """Wake a sleeping endpoint: it is `creating` for some minutes, then `in_service` with a new lease."""
    return shown(rest.wake(endpoint), request)


@router.get("/{id}/metrics")
def get_endpoint_metrics(endpoint: ReadableEndpoint, hours: Hours = 24) -> EndpointMetrics:
    """Return calls, errors and latencies over the last hours, as SageMaker counts them in CloudWatch."""
    return invocations.metrics(endpoint, hours)


@router.get("/{id}/logs")
def get_endpoint_logs(endpoint: ReadableEndpoint, limit: Limit = 100, cursor: Cursor = None) -> Page[EndpointLogLine]:
    """Return what the containers printed, oldest first. While the endpoint lives there is always a cursor: ask again
    with it."""
    return logs.lines(endpoint, limit, cursor)

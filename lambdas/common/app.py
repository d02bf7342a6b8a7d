"""The FastAPI application of a noun, and the Lambda handler around it."""

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from mangum import Mangum
from starlette.exceptions import HTTPException

from lambdas.common import surrogates
from lambdas.common.errors import STATUS_CODES, BadRequest, FieldError, SlipwayError, Unavailable
from lambdas.common.observability import logger

HTTP_CODES = {404: "not_found", 405: "method_not_allowed"}
Handler = Callable[[dict[str, Any], Any], dict[str, Any]]


def create_app(*routers: APIRouter) -> FastAPI:
    """Return the application that serves the given routers in our error shape."""
    app = FastAPI(
        title="Slipway",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=operation_id,
    )
    for router in routers:
        app.include_router(router)
    app.add_exception_handler(SlipwayError, answer_slipway_error)
    app.add_exception_handler(RequestValidationError, answer_validation_error)
    app.add_exception_handler(HTTPException, answer_http_exception)
    app.middleware("http")(log_and_guard)
    return app


def lambda_handler(app: FastAPI) -> Handler:
    """Return the Lambda handler of an application."""
    serve = Mangum(app, lifespan="off", exclude_headers=[])

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        logger.append_keys(function_request_id=getattr(context, "aws_request_id", None))
        return serve(event, context)

    return handler


def operation_id(route: APIRoute) -> str:
    """Return the function's name: stable, readable, and what generated clients call the operation."""
    return route.name


async def log_and_guard(request: Request, call_next: Callable[[Request], Any]) -> Response:
    """Refuse what no route may get, answer what nobody foresaw as 500, and write one access-log line.

    What a route puts into `request.state.facts` goes along: the metrics are counted from these lines.
    """
    started = time.perf_counter()
    try:
        problem = repeated_keys(request) or surrogates.problem_of(await request.body())
        response = error_response(request, problem) if problem else await call_next(request)
    except Exception as error:  # the last line of defence: logged whole, answered without detail
        response = answer_unexpected(request, error)
    route = request.scope.get("route")
    logger.info(
        "request",
        extra={
            "request_id": request_id(request),
            "method": request.method,
            "route": getattr(route, "path", None),
            "status": response.status_code,
            "milliseconds": round((time.perf_counter() - started) * 1000, 1),
            "username": username(request),
            "code": getattr(request.state, "code", None),
        }
        | getattr(request.state, "facts", {}),
    )
    response.headers["Access-Control-Allow-Origin"] = "*"  # tokens travel in a header, never in cookies
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers.setdefault("Cache-Control", "no-store")
    return response


def repeated_keys(request: Request) -> BadRequest | None:
    """Return the refusal of query parameters that are given more than once: which of the values counts is a guess."""
    counts = Counter(name for name, _ in request.query_params.multi_items())
    errors: list[FieldError] = [
        {"field": name, "message": "given more than once"} for name, count in counts.items() if count > 1
    ]
    return BadRequest("A query parameter is given more than once.", errors=errors) if errors else None


def request_id(request: Request) -> str | None:
    """Return API Gateway's id of the request, which the access log and every error carry."""
    return request.scope.get("aws.event", {}).get("requestContext", {}).get("requestId")


def username(request: Request) -> str | None:
    """Return the caller's name for the log, without judging the token."""
    context = request.scope.get("aws.event", {}).get("requestContext", {})
    return ((context.get("authorizer") or {}).get("claims") or {}).get("cognito:username")


def error_response(request: Request, error: SlipwayError) -> JSONResponse:
    """Return the answer to an error, in the one shape that every error has."""
    request.state.code = error.code  # for the access log
    body: dict[str, Any] = {"detail": error.detail, "code": error.code, "request_id": request_id(request)}
    if error.errors:
        body["errors"] = error.errors
    headers = {"Retry-After": str(error.retry_after)} if error.retry_after else None
    return JSONResponse(body, STATUS_CODES.get(type(error), 500), headers)


def answer_slipway_error(request: Request, error: Exception) -> JSONResponse:
    """Answer an error that a service raised."""
    assert isinstance(error, SlipwayError)
    return error_response(request, error)


def answer_validation_error(request: Request, error: Exception) -> JSONResponse:
    """Answer a request of the wrong shape: 400, naming each field."""
    assert isinstance(error, RequestValidationError)
    errors: list[FieldError] = [
        {"field": ".".join(str(part) for part in wrong["loc"][1:]) or str(wrong["loc"][0]), "message": wrong["msg"]}
        for wrong in error.errors()
    ]
    fields = ", ".join(wrong["field"] for wrong in errors[:5])
    return error_response(request, BadRequest(f"The request is not valid: {fields}.", errors=errors))


def answer_http_exception(request: Request, error: Exception) -> JSONResponse:
    """Answer the framework's own errors (no such route, wrong method, unreadable body) in our shape."""
    assert isinstance(error, HTTPException)
    request.state.code = HTTP_CODES.get(error.status_code, "bad_request")
    body = {"detail": str(error.detail), "code": request.state.code, "request_id": request_id(request)}
    return JSONResponse(body, error.status_code, error.headers)


def answer_unexpected(request: Request, error: Exception) -> JSONResponse:
    """Answer an error that nobody foresaw: 503 when AWS asked us to slow down, else 500, and log it whole."""
    from botocore.exceptions import ClientError

    logger.exception("unexpected", extra={"request_id": request_id(request)})
    throttled = {"ThrottlingException", "ProvisionedThroughputExceededException", "TooManyRequestsException"}
    if isinstance(error, ClientError) and error.response["Error"]["Code"] in throttled:
        return error_response(request, Unavailable("The platform is busy; try again in a moment.", retry_after=2))
    return error_response(
        request, SlipwayError("Something went wrong on our side; report the request_id to your platform's admin.")
    )

"""The changes to MiniStack's API Gateway: its metrics, its access log, one id for each request. See emulator."""

from __future__ import annotations

import functools
import hashlib
import time
from collections.abc import Callable
from typing import Any

from ministack.services import apigateway_v1
from ministack.services.cloudformation import provisioners

from local import access_log, cloudwatch_hooks, log_hooks
from local.exchanges import Exchange, current

NAMES: dict[str, dict[str, list[str] | None]] = {  # as in emulator_hooks
    "services.apigateway_v1": {
        "_GatewayError": None,
        "_build_lambda_event_v1": None,
        "_call_lambda_raw": ["function_ref", "event", "account_id", "region"],
        "_gateway_error_response": ["error", "request"],
        "_invoke_lambda_proxy_v1": None,
        "_lambda_proxy_response": ["result"],
        "_match_resource_tree": ["api_id", "segments"],
        "_rest_apis": None,
        "_stages_v1": None,
        "handle_execute": ["api_id", "stage_name", "method", "path", "headers", "body", "query_params"],
        "new_uuid": [],
    },
    "services.cloudformation.provisioners": {"_RESOURCE_HANDLERS": None},
}
STAGE_TYPE = "AWS::ApiGateway::Stage"


def install() -> None:
    """Let API Gateway tell what it answers, and answer for functions that fail as for itself."""
    gateway: Any = apigateway_v1
    gateway.handle_execute = telling(gateway.handle_execute)
    gateway._build_lambda_event_v1 = noting_caller(gateway._build_lambda_event_v1)
    gateway._call_lambda_raw = timing(gateway._call_lambda_raw)
    gateway._gateway_error_response = noting_error(gateway._gateway_error_response)
    gateway._invoke_lambda_proxy_v1 = answering_for_functions(gateway._invoke_lambda_proxy_v1)
    gateway._lambda_proxy_response = noting_failure(gateway._lambda_proxy_response)
    gateway._match_resource_tree = noting_route(gateway._match_resource_tree)
    new_id = gateway.new_uuid
    gateway.new_uuid = lambda: exchange.id if (exchange := current.get()) else new_id()
    handlers = provisioners._RESOURCE_HANDLERS[STAGE_TYPE]
    for action in ("create", "update"):
        handlers[action] = keeping_access_log(handlers[action])


def keeping_access_log(deploy: Callable[..., Any]) -> Callable[..., Any]:
    """A stage's create or update function that keeps the template's access log, too."""

    @functools.wraps(deploy)
    def keeping(*args: Any) -> Any:
        made, wanted = deploy(*args), args[-2]
        given = wanted.get("AccessLogSetting") or {}
        stage = apigateway_v1._stages_v1[wanted["RestApiId"]][wanted["StageName"]]
        stage["accessLogSettings"] = {name[0].lower() + name[1:]: value for name, value in given.items()}
        return made

    return keeping


# --- What is told of an exchange -------------------------------------------------------------------------------------


def telling(execute: Callable[..., Any]) -> Callable[..., Any]:
    """API Gateway's handler, which logs and counts each request; one without the front door before it, too."""

    async def telling(
        api_id: str, stage_name: str, method: str, path: str, headers: dict, body: bytes, query_params: dict
    ) -> Any:
        exchange = current.get()
        if exchange is None:
            exchange = Exchange(api_id, method, path, stage=stage_name)
        token = current.set(exchange)
        try:
            response = await execute(api_id, stage_name, method, path, headers, body, query_params)
        finally:
            current.reset(token)
        response[1].setdefault("x-amzn-requestid", exchange.id)
        finish(exchange, response[0])
        return response

    return telling


def refused(exchange: Exchange, status: int, error: str) -> None:
    """Log and count what the front door answers itself, in API Gateway's place, as that type of gateway response."""
    exchange.error = error
    if not exchange.route:
        segments = [segment for segment in exchange.path.strip("/").split("/") if segment]
        resource, _ = apigateway_v1._match_resource_tree(exchange.api_id, segments)
        exchange.route = resource["path"] if resource else ""
    finish(exchange, status)


def finish(exchange: Exchange, status: int) -> None:
    """Log and count an exchange, once."""
    stage = (apigateway_v1._stages_v1.get(exchange.api_id) or {}).get(exchange.stage)
    if exchange.answered or stage is None:
        return
    exchange.answered = True
    count(exchange, status)
    settings = stage.get("accessLogSettings") or {}
    if group := settings.get("destinationArn", "").partition(":log-group:")[2].split(":")[0]:
        day = time.strftime("%Y-%m-%d", time.gmtime())
        stream = hashlib.md5(f"{exchange.api_id}/{exchange.stage}/{day}".encode()).hexdigest()
        log_hooks.write(group, stream, [access_log.line(settings["format"], exchange, status)])


def count(exchange: Exchange, status: int) -> None:
    """Record the metrics of an exchange, for its API and for its stage.

    Source: "Amazon API Gateway dimensions and metrics" in the developer guide. The errors are 0 or 1 for each request,
    so that their average is a rate.
    """
    figures: dict[str, tuple[float, str]] = {
        "Count": (1, "Count"),
        "4XXError": (400 <= status < 500, "Count"),
        "5XXError": (status >= 500, "Count"),
        "Latency": (exchange.milliseconds(), "Milliseconds"),
    }
    if exchange.integration_seconds is not None:
        figures["IntegrationLatency"] = (round(exchange.integration_seconds * 1000), "Milliseconds")
    name = apigateway_v1._rest_apis[exchange.api_id]["name"]
    for dimensions in ({"ApiName": name}, {"ApiName": name, "Stage": exchange.stage}):
        for metric, (value, unit) in figures.items():
            cloudwatch_hooks.record("AWS/ApiGateway", metric, value, unit, dimensions)


# --- What is noted of an exchange ------------------------------------------------------------------------------------


def noting_route(match: Callable[..., Any]) -> Callable[..., Any]:
    def noting(api_id: str, segments: list[str]) -> Any:
        found = match(api_id, segments)
        if exchange := current.get():
            exchange.route = found[0]["path"] if found[0] else ""
        return found

    return noting


def noting_caller(build: Callable[..., Any]) -> Callable[..., Any]:
    def noting(*args: Any, **kwargs: Any) -> Any:
        event = build(*args, **kwargs)
        if exchange := current.get():
            exchange.route = event["resource"]
            exchange.claims = (event["requestContext"].get("authorizer") or {}).get("claims") or {}
            event["requestContext"]["identity"]["sourceIp"] = exchange.address
        return event

    return noting


def noting_error(answer: Callable[..., Any]) -> Callable[..., Any]:
    def noting(error: Any, request: dict[str, Any]) -> Any:
        if exchange := current.get():
            exchange.error, exchange.route = error.response_type, request["resource_path"]
        return answer(error, request)

    return noting


def noting_failure(shape: Callable[..., Any]) -> Callable[..., Any]:
    def noting(result: dict[str, Any]) -> Any:
        shaped, failure = shape(result)
        if failure and (exchange := current.get()):
            exchange.integration_error = failure
        return shaped, failure

    return noting


def timing(call: Callable[..., Any]) -> Callable[..., Any]:
    async def timing(*args: Any, **kwargs: Any) -> Any:
        began = time.monotonic()
        try:
            return await call(*args, **kwargs)
        finally:
            if exchange := current.get():
                exchange.integration_seconds = time.monotonic() - began

    return timing


def answering_for_functions(invoke: Callable[..., Any]) -> Callable[..., Any]:
    """The integration with a function, where one that fails is answered by the gateway's own response."""

    async def answering(*args: Any, **kwargs: Any) -> Any:
        answer, exchange = await invoke(*args, **kwargs), current.get()
        if exchange and exchange.integration_error:
            return apigateway_v1._GatewayError("DEFAULT_5XX", "Internal server error")
        return answer

    return answering

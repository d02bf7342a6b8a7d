"""The changes to MiniStack's logs and metrics of functions, and to the subscriptions to logs. See emulator."""

from __future__ import annotations

import base64
import contextvars
import gzip
import json
import logging
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from ministack.core import lambda_runtime, responses
from ministack.services import cloudwatch_logs, lambda_svc

from local import cloudwatch_hooks, embedded_metrics, log_patterns
from local.home import ACCOUNT
from local.log_delivery import Attempt, Deliverer, Event, Outcome, Route

logger = logging.getLogger("slipway.logs")

NAMES: dict[str, dict[str, list[str] | None]] = {  # as in emulator_hooks
    "core.lambda_runtime": {"Worker": None},
    "core.responses": {"error_response_json": None},
    "services.cloudwatch_logs": {
        "_append_log_events": ["stream", "events"],
        "_fanout_to_subscription_filters": ["group_name", "stream_name", "events"],
        "_log_groups": None,
        "_make_group_arn": ["name"],
        "_put_subscription_filter": ["data"],
    },
    "services.lambda_svc": {
        "_LAMBDA_ASYNC_RETRY_BASE_SECONDS": None,
        "_LAMBDA_ASYNC_RETRY_MAX_SECONDS": None,
        "_acquire_execution_slot": ["func", "config"],
        "_emit_lambda_logs": ["func", "request_id", "log_text", "error", "duration_ms", "log_source"],
        "_emit_lambda_metrics": ["function_name", "duration_ms", "error", "throttle"],
        "_execute_function_with_config_scope": ["func", "event"],
        "_get_func_record_for_ref": ["function_ref"],
        "_route_async_failure": ["target_arn", "func_name", "event", "result"],
        "executions_in_flight": [],
    },
}
TIDY_SECONDS = 60.0
CLOSE_SECONDS = 5.0
RETRIES = 2  # of an asynchronous invocation, unless the function says otherwise

_stream: contextvars.ContextVar[str | None] = contextvars.ContextVar("log stream", default=None)
_mark: list[Callable[[str], None]] = []
_tidied = {"at": 0.0}


class Events(list[dict[str, Any]]):
    """A stream's events. A copy of the logs shares them: copying each would stop the platform for seconds."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Events:
        return Events(self)


def install(mark: Callable[[str], None]) -> None:
    """Let functions log as on AWS, and deliver what is subscribed."""
    _mark.append(mark)
    worker: Any = lambda_runtime.Worker
    functions: Any = lambda_svc
    invoke, acquire = worker.invoke, lambda_svc._acquire_execution_slot

    def invoke_and_name_stream(self: Any, *args: Any, **kwargs: Any) -> Any:
        _stream.set(None)
        result = invoke(self, *args, **kwargs)
        _stream.set(stream_of(self))
        return result

    def acquire_and_count(func: dict[str, Any], config: dict[str, Any]) -> Any:
        slot = acquire(func, config)
        if slot[0] is not None:
            total, of_each = lambda_svc.executions_in_flight()
            record("ConcurrentExecutions", config["FunctionName"], of_each.get(slot[0], 0), total=total)
        return slot

    worker.invoke = invoke_and_name_stream
    functions._acquire_execution_slot = acquire_and_count
    functions._emit_lambda_logs = write_function_log
    functions._emit_lambda_metrics = count_throttle
    cloudwatch_logs._fanout_to_subscription_filters = fan_out
    cloudwatch_logs._put_subscription_filter = known_patterns_only(cloudwatch_logs._put_subscription_filter)


def close() -> None:
    """Deliver what is pending, while the functions can still be called."""
    if not deliverer.close(CLOSE_SECONDS):
        logger.error("Some log events could not be delivered to their subscribers before the end.")


def each_tick() -> None:
    """Forget, once a minute, what is older than its group's retention."""
    if time.monotonic() - _tidied["at"] < TIDY_SECONDS:
        return
    _tidied["at"] = time.monotonic()
    for group in cloudwatch_logs._log_groups.values():
        if days := group.get("retentionInDays"):
            since = (time.time() - days * 86400) * 1000
            for name, stream in list(group["streams"].items()):
                if (stream["lastEventTimestamp"] or stream["creationTime"]) < since:
                    del group["streams"][name]


# --- Logs ------------------------------------------------------------------------------------------------------------


def stream_of(worker: Any) -> str:
    """The stream of an execution environment: a worker's process."""
    process, name = getattr(worker, "slipway_stream", (None, ""))
    if not name or worker._proc not in (process, None):  # none is left of the one that just died
        version, day = worker.config.get("Version", "$LATEST"), time.strftime("%Y/%m/%d", time.gmtime())
        name = f"{day}/[{version}]{uuid.uuid4().hex}"
        worker.slipway_stream = worker._proc, name
    return name


def write_function_log(
    func: dict[str, Any],
    request_id: str,
    log_text: str,
    error: bool,
    duration_ms: int,
    *,
    log_source: str | None = None,
) -> None:
    """Write the lines of one invocation, with Lambda's own around them, and count what Lambda counts of it."""
    config = func.get("config") or func
    name, version = config["FunctionName"], config.get("Version", "$LATEST")
    group = config.get("LoggingConfig", {}).get("LogGroup") or f"/aws/lambda/{name}"
    stream = _stream.get() or f"{time.strftime('%Y/%m/%d', time.gmtime())}/[{version}]{uuid.uuid4().hex}"
    _stream.set(None)
    lines = log_text.splitlines()
    report = f"Duration: {duration_ms} ms\tBilled Duration: {duration_ms} ms\tMemory Size: {config['MemorySize']} MB"
    start, end = f"START RequestId: {request_id} Version: {version}", f"END RequestId: {request_id}"
    ensure_group(group)
    write(group, stream, [start, *lines, end, f"REPORT RequestId: {request_id}\t{report}"])
    for line in lines:
        for metric in embedded_metrics.metrics(line):
            cloudwatch_hooks.put(metric)
    record("Invocations", name, 1)
    record("Errors", name, int(error))
    record("Throttles", name, 0)
    record("Duration", name, duration_ms, "Milliseconds")


def ensure_group(name: str) -> None:
    """Make a function's log group unless it is there, as Lambda does."""
    if name not in cloudwatch_logs._log_groups:
        cloudwatch_logs._log_groups[name] = {
            "arn": cloudwatch_logs._make_group_arn(name),
            "creationTime": int(time.time() * 1000),
            "retentionInDays": None,
            "tags": {},
            "subscriptionFilters": {},
            "streams": {},
        }


def write(group_name: str, stream_name: str, lines: Sequence[str]) -> None:
    """Add lines to a log, as of now, and hand them to who subscribes. A group that is gone takes none."""
    group, now = cloudwatch_logs._log_groups.get(group_name), int(time.time() * 1000)
    if group is None:
        return
    stream = group["streams"].get(stream_name)
    if stream is None:
        stream = {
            "events": Events(),
            "uploadSequenceToken": "1",
            "creationTime": now,
            "firstEventTimestamp": None,
            "lastEventTimestamp": None,
            "lastIngestionTime": None,
        }
        stream = group["streams"].setdefault(stream_name, stream)
    events = [{"timestamp": now, "message": line, "ingestionTime": now} for line in lines]
    cloudwatch_logs._append_log_events(stream, events)
    fan_out(group_name, stream_name, events)
    for mark in _mark:
        mark("cloudwatch_logs")


# --- Subscriptions ---------------------------------------------------------------------------------------------------


def known_patterns_only(put: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Any]:
    """PutSubscriptionFilter, refusing patterns that could not be matched when the events come."""

    def checking(data: dict[str, Any]) -> Any:
        try:
            log_patterns.compiled(data.get("filterPattern") or "")
        except ValueError as error:
            return responses.error_response_json("InvalidParameterException", str(error), 400)
        return put(data)

    return checking


def fan_out(group_name: str, stream_name: str, events: Sequence[dict[str, Any]]) -> None:
    """Send each subscribed function the events that its pattern matches."""
    group = cloudwatch_logs._log_groups.get(group_name) or {}
    for name, given in list(group.get("subscriptionFilters", {}).items()):
        destination = given.get("destinationArn", "")
        if ":function:" not in destination or group_name == f"/aws/lambda/{destination.split(':')[6]}":
            continue  # only functions are known here, and one fed by its own log would never end
        matches = log_patterns.compiled(given.get("filterPattern") or "")
        found = [
            {"id": uuid.uuid4().hex, "timestamp": event["timestamp"], "message": event["message"]}
            for event in events
            if matches(event["message"])
        ]
        if found:
            deliverer.put(Route(destination, group_name, stream_name, name), found)


def envelope(route: Route, events: list[Event]) -> dict[str, Any]:
    """What a function receives from a subscription."""
    payload = {
        "messageType": "DATA_MESSAGE",
        "owner": ACCOUNT,
        "logGroup": route.group,
        "logStream": route.stream,
        "subscriptionFilters": [route.filter],
        "logEvents": events,
    }
    return {"awslogs": {"data": base64.b64encode(gzip.compress(json.dumps(payload).encode(), 1)).decode()}}


def attempt(route: Route, events: list[Event]) -> Attempt:
    """Invoke the destination once."""
    function, config, name = lambda_svc._get_func_record_for_ref(route.destination)
    if not function or not config:
        logger.warning("%s is subscribed by the function %s, which does not exist.", route.group, name)
        return Attempt(Outcome.TAKEN)
    record = {**function, "config": config}
    result = lambda_svc._execute_function_with_config_scope(record, envelope(route, events))
    if result.get("throttle"):
        return Attempt(Outcome.THROTTLED, result)
    return Attempt(Outcome.FAILED if result.get("error") else Outcome.TAKEN, result)


def invoke_config(route: Route) -> tuple[dict[str, Any], dict[str, Any]]:
    """A function's configuration, and what it says of asynchronous invocations."""
    function, config, _ = lambda_svc._get_func_record_for_ref(route.destination)
    found = function or {}
    asked = found.get("event_invoke_config") or (found.get("event_invoke_configs") or {}).get("$LATEST")
    return config or {}, asked or {}


def retries(route: Route) -> list[float]:
    """The seconds before each further attempt, as for any asynchronous invocation here."""
    _, asked = invoke_config(route)
    count = asked.get("MaximumRetryAttempts")
    base, most = lambda_svc._LAMBDA_ASYNC_RETRY_BASE_SECONDS, lambda_svc._LAMBDA_ASYNC_RETRY_MAX_SECONDS
    return [min(base * 2**number, most) for number in range(RETRIES if count is None else int(count))]


def give_up(route: Route, events: list[Event], said: Any) -> None:
    """Put what no attempt delivered where the function wants it, or say that it is lost."""
    config, asked = invoke_config(route)
    target = asked.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination")
    target = target or (config.get("DeadLetterConfig") or {}).get("TargetArn")
    logger.error("%d events of %s were not taken by %s.", len(events), route.group, route.destination)
    if target:
        lambda_svc._route_async_failure(target, config["FunctionName"], envelope(route, events), said)


deliverer = Deliverer(attempt, retries, give_up)


# --- Metrics ---------------------------------------------------------------------------------------------------------


def record(metric: str, function: str, value: float, unit: str = "Count", total: float | None = None) -> None:
    """Record a metric of a function, and of all functions together (`total`, where that is another value)."""
    cloudwatch_hooks.record("AWS/Lambda", metric, value, unit, {"FunctionName": function})
    cloudwatch_hooks.record("AWS/Lambda", metric, value if total is None else total, unit)


def count_throttle(function_name: str, duration_ms: float, error: bool, throttle: bool) -> None:
    """In MiniStack's place, which counts some ways to invoke a function and not others: they are counted above."""
    if throttle:
        record("Throttles", function_name, 1)

"""The changes to MiniStack's Lambda, Step Functions, EventBridge and CloudFormation. See emulator.

Each private name that emulator and this module rely on is in NAMES, those of the S3 hooks in theirs; `check_names`
refuses a MiniStack without them.
"""

from __future__ import annotations

import contextvars
import importlib
import importlib.metadata
import inspect
import json
import logging
import queue
import threading
import time
import types
import zipfile
from collections.abc import Callable
from typing import Any

from ministack.core import lambda_runtime, responses
from ministack.services import eventbridge, lambda_svc, stepfunctions

from local import bearer_tokens, cloudwatch_hooks, gateway_hooks, log_hooks, object_hooks, upload_hooks, vended_hooks
from local.home import ACCOUNT, REGION, PlatformError
from local.workers import SharedCode, killing_when_done, taking_turns

logger = logging.getLogger("slipway.emulator")

VERSION = "1.5.33"
NAMES: dict[str, dict[str, list[str] | None]] = {  # module -> name -> its parameters, None where it is not called
    "app": {
        "SERVICE_HANDLERS": None,
        "PERSIST_STATE": None,
        "SERVICE_REGISTRY": None,
        "_build_persistence_save_dict": [],
    },
    "core.router": {"SERVICE_PATTERNS": None},
    "core.persistence": {"_json_default": ["obj"], "_state_format_version": ["service"], "load_state": ["service"]},
    "core.responses": {"_request_account_id": None, "_request_region": None},
    "core.iam_actions": {
        "SERVICE_TO_IAM_NAMESPACE": None,
        "_BOTOCORE_SERVICE_MAP": None,
        "extract_iam_action": ["service", "method", "path", "headers", "body", "query_params"],
        "extract_resource_arn": [
            "service", "method", "path", "headers", "body", "query_params", "region", "account_id",
        ],
        "access_denied_response": None,
    },
    "core.iam_evaluator": {
        "EvalContext": None,
        "evaluate": ["ctx", "policies", "limits"],
        "caller_arn": [],
        "_gather_role_policies": ["role_name", "account_id"],
        "_permissions_boundary": ["store", "name", "account_id"],
    },
    "core.lambda_runtime": {
        "_PYTHON_WORKER_SCRIPT": None,
        "Worker": None,
        "zipfile": None,
        "execution_credentials": ["config"],
        "kill_workers": ["workers"],
        "reset": [],
    },
    "services.iam": {"_roles": None},
    "services.sts": {"register_session": ["access_key", "session"]},
    "services.dynamodb": {
        "get_state": [],
        "handle_request": ["method", "path", "headers", "body", "query_params"],
    },
    "services.lambda_svc": {
        "_functions": None,
        "_execute_function_warm": ["func", "event", "request_id"],
        "_get_func_record_for_ref": ["function_ref"],
        "acquire_worker": ["func_name", "config", "code_zip", "qualifier", "max_concurrency"],
        "invoke_async_with_retry": ["func", "event"],
        "release_worker": ["worker"],
    },
    "services.eventbridge": {
        "_put_events": ["data", "allow_aws_source"],
        "_dispatch_to_lambda": ["arn", "payload"],
    },
    "services.stepfunctions": {
        "_executions": None,
        "_state_machines": None,
        "_task_tokens": None,
        "_ExecutionError": ["error", "cause"],
        "_add_event": ["execution", "event_type", "details"],
        "_call_lambda": ["func_ref", "event"],
        "_emit_execution_status_event": ["execution"],
        "_fail_execution": ["execution", "error", "cause"],
        "_extract_lambda_ref": ["resource"],
        "_invoke_resource": ["resource", "input_data"],
        "_invoke_with_callback": ["resource", "input_data", "token", "state_def"],
        "_run_execution": ["exec_arn"],
    },
    "services.cloudformation.provisioners": {"_RESOURCE_HANDLERS": None},
}  # fmt: skip
WORKER_END = "        _real_stdout.flush()\n\nrun()"  # the last lines of a Python worker's loop
WORKER_ERROR = '"error": str(e), "trace"'  # how it says that the handler failed
LOGS_END = "\x1eslipway:end-of-logs"
LOGS_SECONDS, WAIT_SECONDS = 0.25, 0.5

_error_type: contextvars.ContextVar[str | None] = contextvars.ContextVar("error type", default=None)
_execution: contextvars.ContextVar[dict[str, Any] | None] = contextvars.ContextVar("execution", default=None)


def check_names() -> None:
    """Make sure this MiniStack has what we rely on. Raises PlatformError."""
    found = importlib.metadata.version("ministack")
    problems = [] if found == VERSION else [f"version {found} instead of {VERSION}"]
    hooks = (object_hooks, upload_hooks, bearer_tokens, cloudwatch_hooks, gateway_hooks, log_hooks, vended_hooks)
    for module_name, names in [*NAMES.items(), *(item for module in hooks for item in module.NAMES.items())]:
        module = importlib.import_module(f"ministack.{module_name}")
        for name, parameters in names.items():
            value = getattr(module, name, None)
            if value is None:
                problems.append(f"no {module_name}.{name}")
            elif parameters is not None and list(inspect.signature(value).parameters) != parameters:
                problems.append(f"other parameters of {module_name}.{name}")
    if not hasattr(lambda_runtime.Worker, "_drain_stderr_bounded"):
        problems.append("no core.lambda_runtime.Worker._drain_stderr_bounded")
    if any(lambda_runtime._PYTHON_WORKER_SCRIPT.count(part) != 1 for part in (WORKER_END, WORKER_ERROR)):
        problems.append("another Python worker script")
    if problems:
        raise PlatformError(
            f"The installed MiniStack is not the one this platform knows ({'; '.join(problems)}); "
            "run `.venv/bin/uv pip sync requirements.txt`."
        )


# --- Lambda ----------------------------------------------------------------------------------------------------------


def install_lambda() -> None:
    """Let workers share unpacked code, take turns, name their errors, and say where an invocation's log ends."""
    say_end = f"        print({LOGS_END!r}, file=sys.stderr, flush=True)\n"
    lambda_runtime._PYTHON_WORKER_SCRIPT = lambda_runtime._PYTHON_WORKER_SCRIPT.replace(
        WORKER_END, say_end + WORKER_END
    ).replace(WORKER_ERROR, WORKER_ERROR.replace(", ", ', "type": type(e).__name__, '))
    worker: Any = lambda_runtime.Worker
    worker._drain_stderr_bounded = drain_log
    invoke, execute = worker.invoke, lambda_svc._execute_function_warm

    def invoke_and_keep_type(*args: Any, **kwargs: Any) -> Any:
        result = invoke(*args, **kwargs)
        _error_type.set(result.get("type"))
        return result

    def execute_and_name_error(*args: Any, **kwargs: Any) -> Any:
        """As Lambda's own Python runtime: a failed invocation's errorType is the exception's class."""
        _error_type.set(None)
        answer = execute(*args, **kwargs)
        if answer.get("error") and (found := _error_type.get()):
            answer["body"]["errorType"] = found
        return answer

    worker.invoke, lambda_svc._execute_function_warm = invoke_and_keep_type, execute_and_name_error
    archives: Any = types.SimpleNamespace(**{**vars(zipfile), "ZipFile": SharedCode})
    lambda_runtime.zipfile = archives
    turns = taking_turns(lambda_svc.acquire_worker, lambda_svc.release_worker)
    lambda_svc.acquire_worker, lambda_svc.release_worker = turns
    kill, reset = lambda_runtime.kill_workers, lambda_runtime.reset
    lambda_runtime.kill_workers = killing_when_done(kill)

    def reset_at_once() -> None:
        lambda_runtime.kill_workers = kill
        reset()

    lambda_runtime.reset = reset_at_once


def drain_log(worker: Any) -> str:
    """The log lines of the invocation that just ended."""
    lines: list[str] = []
    while True:
        try:
            line = worker._stderr_queue.get(timeout=LOGS_SECONDS)
        except queue.Empty:  # the worker died
            return "\n".join(lines)
        if line == LOGS_END:
            return "\n".join(lines)
        lines.append(line)


# --- Step Functions --------------------------------------------------------------------------------------------------


def install_workflows(role_allows: Callable[[str, str, str], bool], mark: Callable[[str], None]) -> None:
    """Run every task under its state machine's role, fail a callback task whose function fails, save what happens."""
    run, call, invoke = stepfunctions._run_execution, stepfunctions._call_lambda, stepfunctions._invoke_resource
    fail, add_event = stepfunctions._fail_execution, stepfunctions._add_event

    def run_execution(exec_arn: str) -> None:
        _execution.set(stepfunctions._executions.get(exec_arn))
        run(exec_arn)
        mark("stepfunctions")

    def call_lambda(func_ref: str, event: Any) -> Any:
        _, config, _ = lambda_svc._get_func_record_for_ref(func_ref)
        function_arn = config["FunctionArn"] if config else func_ref
        execution = _execution.get()
        machine = stepfunctions._state_machines.get(execution["stateMachineArn"]) if execution else None
        role = machine["roleArn"] if machine else ""
        if not role_allows(role, "lambda:InvokeFunction", function_arn):
            raise stepfunctions._ExecutionError(
                "Lambda.AWSLambdaException",
                f"{role} is not authorized to perform: lambda:InvokeFunction on resource: {function_arn}",
            )
        return call(func_ref, event)

    def invoke_resource(resource: str, input_data: Any) -> Any:
        if "states:::lambda:invoke" not in resource and not stepfunctions._extract_lambda_ref(resource):
            raise stepfunctions._ExecutionError(
                "States.Runtime", f"The local platform checks roles for Lambda tasks only, and so refuses {resource}."
            )
        return invoke(resource, input_data)

    def fail_execution(execution: dict[str, Any], error: str, cause: str) -> None:
        if execution["status"] == "RUNNING":  # an aborted execution stays aborted
            fail(execution, error, cause)

    def add_and_mark(execution: dict[str, Any], event_type: str, details: dict[str, Any] | None = None) -> Any:
        mark("stepfunctions")
        return add_event(execution, event_type, details)

    stepfunctions._run_execution = run_execution
    stepfunctions._call_lambda = call_lambda
    stepfunctions._invoke_resource = invoke_resource
    stepfunctions._fail_execution = fail_execution
    stepfunctions._invoke_with_callback = invoke_with_callback
    stepfunctions._add_event = add_and_mark


def invoke_with_callback(resource: str, input_data: Any, token: str, state_def: dict[str, Any]) -> Any:
    """Invoke the task, then wait for its token. Unlike MiniStack's own: a failing invocation fails the task."""
    waiter: dict[str, Any] = {"event": threading.Event(), "result": None, "error": None, "heartbeat": None}
    stepfunctions._task_tokens[token] = waiter
    try:
        stepfunctions._invoke_resource(resource.replace(".waitForTaskToken", ""), input_data)
        wait_for_answer(waiter, state_def)
    finally:
        stepfunctions._task_tokens.pop(token, None)
    if waiter["error"]:
        raise stepfunctions._ExecutionError(waiter["error"]["Error"], waiter["error"]["Cause"])
    return json.loads(waiter["result"])


def wait_for_answer(waiter: dict[str, Any], state_def: dict[str, Any]) -> None:
    """Wait until the token is answered. Raises what ends the wait otherwise: a timeout, or the execution's end."""
    execution = _execution.get()
    timeout, heartbeat = (state_def.get(name, float("inf")) for name in ("TimeoutSeconds", "HeartbeatSeconds"))
    began = beat = time.monotonic()
    seen = None
    while not waiter["event"].wait(WAIT_SECONDS):
        now = time.monotonic()
        if waiter["heartbeat"] != seen:
            seen, beat = waiter["heartbeat"], now
        if execution and execution["status"] != "RUNNING":
            raise stepfunctions._ExecutionError("States.TaskFailed", "The execution has ended.")
        if now - began > timeout:
            raise stepfunctions._ExecutionError("States.Timeout", "The task token was not answered in time.")
        if now - beat > heartbeat:
            raise stepfunctions._ExecutionError("States.HeartbeatTimeout", "The task sent no heartbeat in time.")


def announce_interrupted_executions() -> None:
    """Send the FAILED event of each execution that MiniStack failed because it was running when the process died."""
    for execution in stepfunctions._executions.all_values():
        if execution.get("error") == "States.ServiceRestart" and execution["events"][-1]["type"] != "ExecutionFailed":
            details = {"error": execution["error"], "cause": execution["cause"]}
            stepfunctions._add_event(execution, "ExecutionFailed", {"executionFailedEventDetails": details})
            stepfunctions._emit_execution_status_event(execution)


# --- EventBridge -----------------------------------------------------------------------------------------------------


def install_events() -> None:
    """Give a rule's function the retries and dead-letter queue that an asynchronous invocation has."""

    def dispatch_to_lambda(arn: str, payload: str) -> None:
        function, config, name = lambda_svc._get_func_record_for_ref(arn)
        if not function or not config:
            logger.warning("A rule names the function %s, which does not exist.", name)
            return
        lambda_svc.invoke_async_with_retry({**function, "config": config}, json.loads(payload))

    eventbridge._dispatch_to_lambda = dispatch_to_lambda


def emit(source: str, detail_type: str, detail: dict[str, Any], resources: list[str]) -> None:
    """Put one event on the default bus; our services may say aws.* as AWS's own do. Any thread may call it."""
    entry = {"Source": source, "DetailType": detail_type, "Detail": json.dumps(detail), "Resources": resources}
    contextvars.copy_context().run(put_event, entry)


def put_event(entry: dict[str, Any]) -> None:
    responses.set_request_account_id(ACCOUNT)
    responses.set_request_region(REGION)
    eventbridge._put_events({"Entries": [entry]}, allow_aws_source=True)

"""The metrics of workflows and queues, which MiniStack does not publish. See emulator."""

from __future__ import annotations

import time
from typing import Any

from ministack.services import sqs, stepfunctions

from local import cloudwatch_hooks

NAMES: dict[str, dict[str, list[str] | None]] = {  # as in emulator_hooks
    "services.sqs": {"_queues": None},
    "services.stepfunctions": {"_emit_execution_status_event": ["execution"]},
}
ENDS = {  # status of an execution -> what Step Functions counts
    "RUNNING": "ExecutionsStarted",
    "SUCCEEDED": "ExecutionsSucceeded",
    "FAILED": "ExecutionsFailed",
    "TIMED_OUT": "ExecutionsTimedOut",
    "ABORTED": "ExecutionsAborted",
}

_told: dict[str, tuple[float, int]] = {}  # queue -> the minute and the number last recorded


def install() -> None:
    """Count executions at each change of their status."""
    emit = stepfunctions._emit_execution_status_event

    def emit_and_count(execution: dict[str, Any]) -> None:
        dimensions = {"StateMachineArn": execution["stateMachineArn"]}
        cloudwatch_hooks.record("AWS/States", ENDS[execution["status"]], 1, "Count", dimensions)
        emit(execution)

    stepfunctions._emit_execution_status_event = emit_and_count


def sample_queues() -> None:
    """Record how many messages wait in each queue: once a minute of CloudWatch's clock, and when that changes."""
    now, minute = time.time(), cloudwatch_hooks.clock.time() // 60
    lengths = {
        url.rpartition("/")[2]: sum(message["visible_at"] <= now for message in list(queue["messages"]))
        for url, queue in sqs._queues.items()
    }
    for name in _told.keys() - lengths.keys():
        del _told[name]
    for name, visible in lengths.items():
        if _told.get(name) != (minute, visible):
            _told[name] = minute, visible
            dimensions = {"QueueName": name}
            cloudwatch_hooks.record("AWS/SQS", "ApproximateNumberOfMessagesVisible", visible, "Count", dimensions)

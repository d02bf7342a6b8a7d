"""Faults that a test plants in the running platform: failing calls, unreliable events, missing capacity.

Off unless the platform was started with SLIPWAY_FAULTS=1.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

EVENT_MODES = ("duplicate", "reorder", "drop")
SERVER_ERRORS = {"InternalServerError": 500, "InternalFailure": 500, "ServiceUnavailable": 503, "SlowDown": 503}


class BadFault(ValueError):
    """The fault description cannot be used; the message says why."""


@dataclass(frozen=True)
class CallFault:
    """Fail chosen calls of one AWS operation: `calls` holds 1-based call numbers, None means every call."""

    service: str
    operation: str
    error: str
    message: str
    status: int
    calls: frozenset[int] | None


@dataclass
class Faults:
    """What is planted now, and how often each operation was called since it was planted."""

    call_faults: list[CallFault] = field(default_factory=list)
    events: str = ""
    quota: dict[str, int] = field(default_factory=dict)
    capacity_wait: dict[str, float] = field(default_factory=dict)
    no_capacity: set[str] = field(default_factory=set)  # instance types of which AWS has none left
    seen: Counter[tuple[str, str]] = field(default_factory=Counter)

    def plant(self, body: bytes) -> None:
        """Add the fault described by a JSON object. Raises BadFault."""
        try:
            fault = json.loads(body)
        except ValueError as error:
            raise BadFault("The fault must be a JSON object.") from error
        if not isinstance(fault, dict):
            raise BadFault("The fault must be a JSON object.")
        if unknown := fault.keys() - {
            "service", "operation", "calls", "error", "message", "status", "events", "quota", "capacity_wait",
            "no_capacity",
        }:  # fmt: skip
            raise BadFault(f"Unknown fault fields: {', '.join(sorted(unknown))}.")
        if fault.get("events", EVENT_MODES[0]) not in EVENT_MODES:
            raise BadFault(f"events must be one of {', '.join(EVENT_MODES)}.")
        if "operation" in fault:
            planted = call_fault(fault)
            self.call_faults.append(planted)
            self.seen[planted.service, planted.operation] = 0
        self.events = fault.get("events", self.events)
        self.quota.update(fault.get("quota", {}))
        self.capacity_wait.update(fault.get("capacity_wait", {}))
        self.no_capacity.update(fault.get("no_capacity", []))

    def clear(self) -> None:
        """Forget every fault."""
        self.call_faults.clear()
        self.seen.clear()
        self.quota.clear()
        self.capacity_wait.clear()
        self.no_capacity.clear()
        self.events = ""

    def next_call(self, service: str, operation: str) -> CallFault | None:
        """Count one call of `service`:`operation`, and return the fault that hits it, if any."""
        self.seen[service, operation] += 1
        number = self.seen[service, operation]
        for fault in self.call_faults:
            if (fault.service, fault.operation) == (service, operation) and (
                fault.calls is None or number in fault.calls
            ):
                return fault
        return None


def call_fault(fault: dict[str, Any]) -> CallFault:
    """The CallFault a JSON object describes. Raises BadFault when a field is missing or wrong."""
    missing = {"service", "operation", "error"} - fault.keys()
    if missing:
        raise BadFault(f"A failing call needs {', '.join(sorted(missing))} too.")
    calls = fault.get("calls", "every")
    if calls != "every" and not (isinstance(calls, list) and all(isinstance(n, int) and n > 0 for n in calls)):
        raise BadFault('calls must be "every" or a list of call numbers, the first call being 1.')
    return CallFault(
        service=fault["service"],
        operation=fault["operation"],
        error=fault["error"],
        message=fault.get("message", "Planted fault."),
        status=fault.get("status", SERVER_ERRORS.get(fault["error"], 400)),
        calls=None if calls == "every" else frozenset(calls),
    )

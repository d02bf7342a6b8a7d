"""Wrappers around the emulator's request handlers: planted failures, the journal, and notes of what changed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from local.faults import CallFault, Faults
from local.state import Journal

Answer = tuple[int, dict[str, Any], Any]
Handler = Callable[[str, str, dict[str, str], bytes, dict[str, Any]], Awaitable[Answer]]
READS = ("Get", "List", "Describe", "Query", "Scan", "BatchGet", "TransactGet", "Search")


def is_read(headers: dict[str, str]) -> bool:
    """Whether the request's target names an operation that changes nothing."""
    return headers.get("x-amz-target", "").rpartition(".")[2].startswith(READS)


def failing(
    handler: Handler, faults: Faults, action: Callable[..., str], failure: Callable[[str, CallFault, dict], Answer]
) -> Handler:
    """`handler`, except for the calls that a planted fault hits. `action` names a call, as in dynamodb:PutItem."""

    async def failing(method: str, path: str, headers: dict, body: bytes, query: dict) -> Answer:
        if faults.call_faults:
            name = action(method, path, headers, body, query)
            fault = faults.next_call(*name.split(":", 1))
            if fault is not None:
                return failure(name, fault, headers)
        return await handler(method, path, headers, body, query)

    return failing


def journalled(handler: Handler, journal: Journal, scope: Callable[[], dict[str, str]]) -> Handler:
    """`handler`, writing each successful change to the journal before it is answered, with the `scope` it ran in.

    DynamoDB's handler never gives way to another request before it is done, so journal order is real order.
    """

    async def journalled(method: str, path: str, headers: dict, body: bytes, query: dict) -> Answer:
        answer = await handler(method, path, headers, body, query)
        if answer[0] == 200 and not is_read(headers):
            journal.append({"target": headers["x-amz-target"], "body": body.decode(), **scope()})
        return answer

    return journalled


def marking(handler: Handler, changed: Callable[[], Iterable[str]], mark: Callable[[str], None]) -> Handler:
    """`handler`, marking what it may have changed as to be saved."""

    async def marking(method: str, path: str, headers: dict, body: bytes, query: dict) -> Answer:
        answer = await handler(method, path, headers, body, query)
        if method not in ("GET", "HEAD") and not is_read(headers):
            for name in changed():
                mark(name)
        return answer

    return marking

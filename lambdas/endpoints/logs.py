"""What an endpoint's containers printed: the lines of all its instances, in the order of their time."""

from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel

from lambdas.common import aws
from lambdas.common.errors import BadRequest
from lambdas.common.pages import Page, decode_cursor, encode_cursor
from lambdas.common.store import iso
from lambdas.endpoints.endpoint_request import log_group
from lambdas.endpoints.schemas import Endpoint

MAX_ASKED = 5  # requests that one page makes: CloudWatch may answer with nothing and a token


class EndpointLogLine(BaseModel):
    """One line that a container printed; `stream` is its variant and instance."""

    time: str
    message: str
    stream: str


def lines(endpoint: Endpoint, limit: int, cursor: str | None) -> Page[EndpointLogLine]:
    """Return a page of what the containers printed, oldest first. There is always a cursor while the endpoint lives:
    ask again with it for what was printed since."""
    since, shown = position(cursor) if cursor else (0, 0)
    events = read(endpoint, since, limit + shown)[shown:]
    if events:
        since, before = events[-1]["timestamp"], since
        shown = sum(event["timestamp"] == since for event in events) + (shown if since == before else 0)
    over = not events and endpoint.status in {"failed", "sleeping", "deleting"}
    items = [
        EndpointLogLine(time=said_at(event), message=event["message"], stream=event["logStreamName"])
        for event in events
    ]
    return Page(items=items, next_cursor=None if over else encode_cursor(f"{since} {shown}"))


def read(endpoint: Endpoint, since: int, count: int) -> list[dict[str, Any]]:
    """Return the first so many events from a time of the epoch on, in milliseconds."""
    client, token = aws.client("logs"), {}
    found: list[dict[str, Any]] = []
    for _ in range(MAX_ASKED):
        try:
            answer = client.filter_log_events(
                logGroupName=log_group(endpoint), startTime=since, limit=count - len(found), **token
            )
        except client.exceptions.ResourceNotFoundException:
            return []  # nothing was printed yet
        found += answer["events"]
        if len(found) >= count or "nextToken" not in answer:
            break
        token = {"nextToken": answer["nextToken"]}
    return found


def position(cursor: str) -> tuple[int, int]:
    """Return the time from which to read on, and how many events of that millisecond were shown; raises BadRequest."""
    since, _, shown = decode_cursor(cursor).partition(" ")
    if not (since.isdecimal() and shown.isdecimal() and len(since) < 16 and int(shown) <= 5_000):
        wrong = "The cursor is not one of an endpoint's log; start again without it."
        raise BadRequest(wrong, errors=[{"field": "cursor", "message": "not a cursor of this log"}])
    return int(since), int(shown)


def said_at(event: dict[str, Any]) -> str:
    """Return an event's time as records have it."""
    return iso(datetime.fromtimestamp(event["timestamp"] / 1000, UTC))

"""What a log line says: a request and how it went, as observations of metrics. Pure: no AWS call.

Two kinds of line are known: the one that every function of the API writes per request (lambdas/common/app.py), and
API Gateway's own, of which only those count that no function answered (cdk_app/constructs/rest_api.py).
"""

import json
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError

METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
UNMATCHED = "unmatched"  # the route of a request that no route took: its path is whatever somebody typed
OTHER = "other"
NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


class Unreadable(Exception):
    """A log line is none of those that are counted."""


@dataclass(frozen=True)
class Observation:
    """One value of one series. A counter's is what it grows by."""

    metric: str
    labels: tuple[str, ...]
    value: Decimal = Decimal(1)


@dataclass(frozen=True)
class Request:
    """A request by its id, of which each counts once, and what it adds to the metrics."""

    id: str
    observations: tuple[Observation, ...]


Seconds = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
Operation = Annotated[str, Field(pattern=r"^[A-Za-z]{1,40}$")]


class Analysis(BaseModel):
    """What POST /analyze says of a text: figures only, nothing of the text itself."""

    sentiment: Literal["POSITIVE", "NEGATIVE", "NEUTRAL", "MIXED"]
    confidence: float = Field(ge=0, le=1)
    text_length: int = Field(ge=0, le=1_000_000)
    entities: int = Field(ge=0, le=100_000)
    comprehend_seconds: dict[Operation, Seconds] = Field(max_length=10)


class Answered(BaseModel):
    """The line that a function of the API writes when it has answered."""

    message: Literal["request"]
    request_id: str = Field(min_length=1, max_length=128)
    method: str
    route: str | None = Field(default=None, max_length=200)  # the logger leaves out what is None
    status: int = Field(ge=100, le=599)
    milliseconds: Seconds
    code: str | None = None
    analysis: Analysis | None = None


class Refused(BaseModel):
    """API Gateway's line of a request that no function answered."""

    error: str = Field(min_length=2, max_length=80)
    request_id: str = Field(min_length=1, max_length=128)
    method: str
    route: str = Field(max_length=200)
    status: int = Field(ge=100, le=599)


def request_of(message: str) -> Request:
    """Return the request that a log line tells of; raises Unreadable with what is wrong with the line."""
    try:
        line: Any = json.loads(message)
        is_answer = isinstance(line, dict) and "message" in line
        return answered(Answered.model_validate(line)) if is_answer else refused(Refused.model_validate(line))
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
        raise Unreadable("; ".join(wrong)) from error
    except ValueError as error:
        raise Unreadable(str(error)) from error


def answered(line: Answered) -> Request:
    """Return what a function's line adds: the request, its latency, its error, and what was found in a text."""
    method, route = method_of(line.method), line.route or UNMATCHED
    found = [
        Observation("request_count", (method, route, status_class(line.status))),
        Observation("request_latency_seconds", (method, route), exact(line.milliseconds / 1000)),
    ]
    if line.status >= 400:
        found.append(Observation("error_count", (name_of(line.code or OTHER),)))
    return Request(line.request_id, (*found, *(analysed(line.analysis) if line.analysis else [])))


def refused(line: Refused) -> Request:
    """Return what API Gateway's line adds; it has no latency of ours."""
    route = UNMATCHED if line.route == "-" else line.route
    count = Observation("request_count", (method_of(line.method), route, status_class(line.status)))
    return Request(line.request_id, (count, Observation("error_count", (name_of(line.error.lower()),))))


def analysed(found: Analysis) -> list[Observation]:
    """Return what an analysed text adds."""
    calls = [
        Observation("comprehend_latency_seconds", (operation,), exact(seconds))
        for operation, seconds in found.comprehend_seconds.items()
    ]
    return [
        Observation("sentiment_count", (found.sentiment,)),
        Observation("sentiment_confidence", (found.sentiment,), exact(found.confidence)),
        Observation("text_length", (), Decimal(found.text_length)),
        Observation("entities_per_text", (), Decimal(found.entities)),
        *calls,
    ]


def method_of(method: str) -> str:
    """Return a method as a label, of which there are few."""
    return method if method in METHODS else OTHER


def name_of(code: str) -> str:
    """Return an error's code as a label: a name, whatever a line says."""
    return code if NAME.fullmatch(code) else OTHER


def status_class(status: int) -> str:
    """Return the class of a status, as `2xx`."""
    return f"{status // 100}xx"


def exact(value: float) -> Decimal:
    """Return the decimal that a number was written as, to a millionth: sums of them are exact in DynamoDB."""
    return round(Decimal(repr(value)), 6)

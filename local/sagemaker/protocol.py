"""AWS's wire contract from botocore's own service models: requests are validated, responses and errors serialised.

Stricter than AWS in one way: a request member that the model does not know is refused, so a typing mistake shows.
"""

import json
import re
import uuid
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import botocore.session
from botocore.validate import ParamValidator

Response = tuple[int, dict[str, str], "bytes | Stream"]
NUMBERS = ("integer", "long", "float", "double")
SIZED = ("string", "list", "map", "blob")


@dataclass(frozen=True)
class Stream:
    """A body that is sent as it comes. Whoever sends it closes it, also when the client is gone before its end."""

    pieces: AsyncGenerator[bytes]


class ServiceError(Exception):
    """An AWS error: `code` is what boto3 shows as Error.Code; `fields` are further members of the error's body."""

    def __init__(self, code: str, message: str, status: int = 400, fields: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.status, self.fields = code, message, status, fields or {}


def invalid(message: str) -> ServiceError:
    return ServiceError("ValidationException", message)


def not_implemented(what: str) -> ServiceError:
    return ServiceError("NotImplementedLocally", f"{what} is not implemented by the local platform.", 501)


@cache
def service_model(service: str) -> Any:
    """botocore's ServiceModel, which has no type hints a checker can follow."""
    return botocore.session.get_session().get_service_model(service)


def problems(shape: Any, request: Any) -> list[str]:
    """Everything the service model says is wrong with a request; empty when it is valid."""
    report = ParamValidator().validate(request, shape)
    if report.has_errors():
        return [report.generate_report()]
    return list(_constraints(shape, request, ""))


def project(shape: Any, value: Any) -> Any:
    """The part of a record that the output shape declares; members that are None are left out."""
    kind = shape.type_name if shape else ""
    if kind == "structure" and isinstance(value, dict):
        return {k: project(s, value[k]) for k, s in shape.members.items() if value.get(k) is not None}
    if kind == "list":
        return [project(shape.member, item) for item in value]
    return value


def parsed(body: bytes) -> dict[str, Any]:
    """The JSON object that a request is. Raises ServiceError."""
    try:
        request = json.loads(body or b"{}")
    except ValueError as error:
        raise ServiceError("SerializationException", "The request body is not JSON.") from error
    if not isinstance(request, dict):
        raise ServiceError("SerializationException", "The request body is not a JSON object.")
    return request


def json_response(body: Any, status: int = 200, content_type: str = "application/x-amz-json-1.1") -> Response:
    headers = {"Content-Type": content_type, "x-amzn-RequestId": str(uuid.uuid4())}
    return status, headers, json.dumps(body).encode()


def error_response(error: ServiceError, content_type: str = "application/x-amz-json-1.1") -> Response:
    """The error in both places SDKs look: `__type` for JSON 1.1, the header for REST-JSON."""
    body = {"__type": error.code, "message": error.message, "Message": error.message, **error.fields}
    status, headers, content = json_response(body, error.status, content_type)
    return status, {**headers, "x-amzn-ErrorType": error.code}, content


def _constraints(shape: Any, value: Any, path: str) -> Iterator[str]:
    """Enumerations, patterns and upper limits, which botocore leaves to the service."""
    kind, limit = shape.type_name, shape.metadata.get("max")
    if limit is not None and kind in NUMBERS and value > limit:
        yield _problem(value, path, f"Member must have value less than or equal to {limit}")
    if limit is not None and kind in SIZED and len(value) > limit:
        yield _problem(value, path, f"Member must have length less than or equal to {limit}")
    if kind == "structure":
        for name, member in value.items():
            yield from _constraints(shape.members[name], member, f"{path}.{name}" if path else name)
    elif kind == "list":
        for index, item in enumerate(value):
            yield from _constraints(shape.member, item, f"{path}.{index + 1}.member")
    elif kind == "map":
        for key, item in value.items():
            yield from _constraints(shape.key, key, f"{path}.key")
            yield from _constraints(shape.value, item, f"{path}.{key}.value")
    elif kind == "string":
        pattern = _compiled(shape.metadata.get("pattern"))
        if shape.enum and value not in shape.enum:
            yield _problem(value, path, f"Member must satisfy enum value set: [{', '.join(shape.enum)}]")
        elif pattern and not pattern.fullmatch(value):
            yield _problem(value, path, f"Member must satisfy regular expression pattern: {pattern.pattern}")


def _problem(value: Any, path: str, constraint: str) -> str:
    return f"1 validation error detected: Value '{value}' at '{path}' failed to satisfy constraint: {constraint}"


@cache
def _compiled(pattern: str | None) -> re.Pattern[str] | None:
    """Java's `\\p{...}` classes and pairs of surrogates are unknown to Python; those few patterns are not checked."""
    return None if pattern is None or "\\p{" in pattern or "\\uD800" in pattern else re.compile(pattern)

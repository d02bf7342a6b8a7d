"""AWS's wire contract from botocore's own service models: requests are validated, responses and errors serialised.

Stricter than AWS in one way: a request member that the model does not know is refused, so a typing mistake shows.
"""

import json
import re
import uuid
from collections.abc import Iterator
from functools import cache
from typing import Any

import botocore.session
from botocore.model import ListShape, MapShape, ServiceModel, Shape, StringShape, StructureShape
from botocore.validate import ParamValidator

Response = tuple[int, dict[str, str], bytes]


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
def service_model(service: str) -> ServiceModel:
    return botocore.session.get_session().get_service_model(service)


def problems(shape: Shape, request: Any) -> list[str]:
    """Everything the service model says is wrong with a request; empty when it is valid."""
    report = ParamValidator().validate(request, shape)
    if report.has_errors():
        return [report.generate_report()]
    return list(_constraints(shape, request, ""))


def project(shape: Shape | None, value: Any) -> Any:
    """The part of a record that the output shape declares; members that are None are left out."""
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        return {k: project(s, value[k]) for k, s in shape.members.items() if value.get(k) is not None}
    if isinstance(shape, ListShape):
        return [project(shape.member, item) for item in value]
    return value


def json_response(body: Any, status: int = 200, content_type: str = "application/x-amz-json-1.1") -> Response:
    headers = {"Content-Type": content_type, "x-amzn-RequestId": str(uuid.uuid4())}
    return status, headers, json.dumps(body).encode()


def error_response(error: ServiceError, content_type: str = "application/x-amz-json-1.1") -> Response:
    """The error in both places SDKs look: `__type` for JSON 1.1, the header for REST-JSON."""
    body = {"__type": error.code, "message": error.message, "Message": error.message, **error.fields}
    status, headers, content = json_response(body, error.status, content_type)
    return status, {**headers, "x-amzn-ErrorType": error.code}, content


def _constraints(shape: Shape, value: Any, path: str) -> Iterator[str]:
    """Enumerations, patterns and upper limits, which botocore leaves to the service."""
    if isinstance(shape, StructureShape):
        for name, member in value.items():
            yield from _constraints(shape.members[name], member, f"{path}.{name}" if path else name)
        return
    maximum, size = shape.metadata.get("max"), value if shape.type_name in ("integer", "long", "float") else None
    if isinstance(shape, ListShape | MapShape | StringShape):
        size = len(value)
    if maximum is not None and size is not None and size > maximum:
        unit = "value" if size is value else "length"
        yield _problem(value, path, f"Member must have {unit} less than or equal to {maximum}")
    if isinstance(shape, ListShape):
        for index, item in enumerate(value):
            yield from _constraints(shape.member, item, f"{path}.{index + 1}.member")
    elif isinstance(shape, MapShape):
        for key, item in value.items():
            yield from _constraints(shape.key, key, f"{path}.key")
            yield from _constraints(shape.value, item, f"{path}.{key}.value")
    elif isinstance(shape, StringShape):
        pattern = _compiled(shape.metadata.get("pattern"))
        if shape.enum and value not in shape.enum:
            yield _problem(value, path, f"Member must satisfy enum value set: [{', '.join(shape.enum)}]")
        elif pattern and not pattern.fullmatch(value):
            yield _problem(value, path, f"Member must satisfy regular expression pattern: {pattern.pattern}")


def _problem(value: Any, path: str, constraint: str) -> str:
    return f"1 validation error detected: Value '{value}' at '{path}' failed to satisfy constraint: {constraint}"


@cache
def _compiled(pattern: str | None) -> re.Pattern[str] | None:
    """Java's `\\p{...}` classes are unknown to Python; those few patterns (free text, tags) are not checked."""
    return None if pattern is None or "\\p{" in pattern else re.compile(pattern)

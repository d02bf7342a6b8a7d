"""Check a request against AWS's own model of it: botocore's validator, and the patterns and lengths it leaves out."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import botocore.session
import regex
from botocore.model import ServiceModel
from botocore.validate import ParamValidator

SURROGATES, ASTRAL = r"\uD800\uDC00-\uDBFF\uDFFF", r"\U00010000-\U0010FFFF"  # as Java spells it, and Python


@cache
def service_model(service: str) -> ServiceModel:
    """Return botocore's model of a service."""
    return botocore.session.get_session().get_service_model(service)


def faults(service: str, operation: str, request: dict[str, Any]) -> list[str]:
    """Return what is wrong with the arguments of an operation; empty when AWS's model takes them."""
    shape: Any = service_model(service).operation_model(operation).input_shape  # untyped in botocore
    assert shape is not None, f"{operation} takes no arguments"
    report = ParamValidator().validate(request, shape)
    found = [report.generate_report()] if report.has_errors() else []
    return found + list(_constraints(request, shape, ""))


def _constraints(value: Any, shape: Any, path: str) -> Iterator[str]:
    metadata = shape.metadata
    if isinstance(value, dict) and shape.type_name == "structure":
        for name, inner in value.items():
            if name in shape.members:
                yield from _constraints(inner, shape.members[name], f"{path}.{name}".lstrip("."))
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _constraints(inner, shape.value, f"{path}[{name}]")
    elif isinstance(value, list):
        if len(value) > metadata.get("max", len(value)):
            yield f"{path}: {len(value)} items are more than {metadata['max']}"
        for index, inner in enumerate(value):
            yield from _constraints(inner, shape.member, f"{path}[{index}]")
    elif isinstance(value, str):
        pattern = metadata.get("pattern", "").replace(SURROGATES, ASTRAL)
        if pattern and not regex.fullmatch(pattern, value):
            yield f"{path}: {value!r} does not match"
        if len(value) > metadata.get("max", len(value)):
            yield f"{path}: {len(value)} characters are more than {metadata['max']}"
        if metadata.get("enum") and value not in metadata["enum"]:
            yield f"{path}: {value!r} is none of its values"
    elif isinstance(value, int) and not isinstance(value, bool) and value > metadata.get("max", value):
        yield f"{path}: {value} is more than {metadata['max']}"

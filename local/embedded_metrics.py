"""Metrics in log lines: CloudWatch's embedded metric format (EMF).

Source: "Specification: Embedded metric format" in the CloudWatch user guide. A line that does not keep to it is a
log line and nothing else, as on AWS.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

MOST_DIMENSIONS, MOST_METRICS, MOST_VALUES = 30, 100, 100
LONGEST_DIMENSION = 1024  # characters of a value


@dataclass(frozen=True)
class Metric:
    """Values of one metric with one set of dimensions, at a time in seconds, or at none that the line names."""

    namespace: str
    name: str
    dimensions: dict[str, str]
    unit: str
    values: tuple[float, ...]
    time: float | None


class Malformed(ValueError):
    """The line is no document of the format."""


def metrics(line: str) -> list[Metric]:
    """The metrics of a log line; none when it is not, or not well, in the format."""
    if '"CloudWatchMetrics"' not in line:
        return []
    try:
        return list(described(json.loads(line[line.index("{") :])))  # Lambda may put a time and an id before it
    except ValueError:
        return []


def described(document: Any) -> Iterator[Metric]:
    """The metrics that a document's metadata describes. Raises Malformed."""
    metadata = member(document, "_aws", dict)
    milliseconds = metadata.get("Timestamp")
    if milliseconds is not None and not is_number(milliseconds):
        raise Malformed("Timestamp")
    time = None if milliseconds is None else milliseconds / 1000
    for directive in member(metadata, "CloudWatchMetrics", list):
        namespace = member(directive, "Namespace", str)
        sets = [dimensions(document, names) for names in member(directive, "Dimensions", list) or [[]]]
        definitions = member(directive, "Metrics", list)
        if not namespace or len(definitions) > MOST_METRICS:
            raise Malformed("Namespace and Metrics")
        for definition in definitions:
            name, unit = member(definition, "Name", str), definition.get("Unit", "None")
            found = values(document.get(name, []))
            if found:
                yield from (Metric(namespace, name, chosen, unit, found, time) for chosen in sets)


def dimensions(document: dict[str, Any], names: Any) -> dict[str, str]:
    """One set of dimensions with the values of the document. Raises Malformed."""
    if not isinstance(names, list) or len(names) > MOST_DIMENSIONS:
        raise Malformed("Dimensions")
    found = {name: member(document, name, str) for name in names}
    if any(not 0 < len(value) <= LONGEST_DIMENSION for value in found.values()):
        raise Malformed("Dimensions")
    return found


def values(found: Any) -> tuple[float, ...]:
    """The values of a metric: a number, or several. Raises Malformed."""
    numbers = found if isinstance(found, list) else [found]
    if len(numbers) > MOST_VALUES or not all(is_number(number) for number in numbers):
        raise Malformed("values")
    return tuple(map(float, numbers))


def member(document: Any, name: Any, kind: type) -> Any:
    """A member of a document, of the type it must have. Raises Malformed."""
    if not isinstance(document, dict) or not isinstance(name, str) or not isinstance(document.get(name), kind):
        raise Malformed(str(name))
    return document[name]


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

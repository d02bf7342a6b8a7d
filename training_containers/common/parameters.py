"""The parameters of a job as a dataclass: type, range, default and help of each, and a check that names all faults."""

import json
from collections.abc import Mapping
from dataclasses import MISSING, field, fields
from typing import Any, TypeVar

from training_containers.common.contract import TrainingError

Parameters = TypeVar("Parameters")
KINDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def parameter(
    help: str,
    default: Any = MISSING,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    **more: Any,
) -> Any:
    """A dataclass field with its documentation: range (inclusive), choices, and what else a family says of it."""
    return field(default=default, metadata={"help": help, "low": low, "high": high, "choices": choices, **more})


def parse(type: type[Parameters], given: Mapping[str, Any]) -> Parameters:
    """Check the parameters of a job; values may be strings holding JSON. Raises TrainingError naming every fault."""
    known = {item.name: item for item in fields(type)}  # pyright: ignore[reportArgumentType]  # any dataclass
    faults = []
    values = {}
    for name, raw in given.items():
        if name not in known:
            faults.append(f"parameter '{name}' is not known (known are: {', '.join(known)})")
            continue
        try:
            values[name] = checked(known[name], raw)
        except ValueError as error:
            faults.append(f"parameter '{name}' {error}")
    missing = [item for item in known.values() if item.default is MISSING and item.name not in given]
    faults[:0] = [f"parameter '{item.name}' is missing: {item.metadata['help']}" for item in missing]
    if faults:
        sentence = "; ".join(fault.rstrip(".") for fault in faults)
        raise TrainingError(f"{sentence[0].upper()}{sentence[1:]}.", "code")
    return type(**values)


def checked(item: Any, raw: Any) -> Any:
    """One value as its type and within its range; raises ValueError with the rest of a sentence about it."""
    value = decoded(raw) if item.type is not str or (isinstance(raw, str) and raw.startswith('"')) else raw
    if item.type is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not item.type:
        raise ValueError(f"must be {KINDS[item.type]}, not {raw!r}")
    rules = item.metadata
    if rules["choices"] and value not in rules["choices"]:
        raise ValueError(f"must be one of {', '.join(rules['choices'])}, not {value!r}")
    if rules["low"] is not None and not rules["low"] <= value <= rules["high"]:
        raise ValueError(f"must be from {rules['low']} to {rules['high']}, not {value!r}")
    return value


def decoded(raw: Any) -> Any:
    """The JSON value in a string; anything else as it is."""
    if not isinstance(raw, str):
        return raw
    try:
        return json.loads(raw)
    except ValueError:
        return raw

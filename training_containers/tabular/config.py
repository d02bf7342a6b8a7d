"""The parameters of a tabular job: type, range, default and help of each, and a check that names all faults at once."""

import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from typing import Any

from training_containers.common.contract import TrainingError

DEFAULT_EPOCHS = {"lightgbm": 100, "random_forest": 20, "logistic_regression": 100, "linear_regression": 100}
ALGORITHMS = tuple(DEFAULT_EPOCHS)
TASK_OF = {"logistic_regression": "classification", "linear_regression": "regression"}


def parameter(
    help: str,
    default: Any = MISSING,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    only: tuple[str, ...] = ALGORITHMS,
) -> Any:
    """A dataclass field with its documentation: range (inclusive), choices, and the algorithms that use it."""
    return field(
        default=default,
        metadata={"help": help, "low": low, "high": high, "choices": choices, "only": only},
    )


@dataclass(frozen=True)
class TabularConfig:
    """A checked configuration."""

    target: str = parameter("The column to predict.")
    algorithm: str = parameter("What to train.", "lightgbm", choices=ALGORITHMS)
    task: str = parameter(
        "What kind of column the target is; auto looks at its values.",
        "auto",
        choices=("auto", "classification", "regression"),
    )
    test_fraction: float = parameter("Share of the rows held out to measure the model.", 0.2, 0.05, 0.5)
    seed: int = parameter("Seed of the split and of the algorithm: same seed, same model.", 42, 0, 2**31 - 1)
    epochs: int = parameter(
        "Steps of training: boosting rounds (lightgbm), times the forest grows (random_forest), "
        "solver passes (the linear ones). 0 = the algorithm's default.",
        0,
        0,
        10_000,
    )
    checkpoint_every: int = parameter("Epochs between two checkpoints.", 10, 1, 10_000)
    learning_rate: float = parameter("How much each boosting round corrects.", 0.1, 0.0001, 1.0, only=("lightgbm",))
    num_leaves: int = parameter("Leaves of each boosted tree.", 31, 2, 4096, only=("lightgbm",))
    min_rows_in_leaf: int = parameter(
        "Rows that a leaf needs. 0 = the algorithm's default (20 for lightgbm, 1 for random_forest).",
        0,
        0,
        100_000,
        only=("lightgbm", "random_forest"),
    )
    max_depth: int = parameter("Depth of a tree. 0 = no limit.", 0, 0, 64, only=("lightgbm", "random_forest"))
    trees_per_epoch: int = parameter("Trees the forest grows per epoch.", 10, 1, 1000, only=("random_forest",))
    l2: float = parameter(
        "Strength of the L2 penalty. 0 = none.", 1.0, 0, 1e6, only=("logistic_regression", "linear_regression")
    )


def parse(parameters: Mapping[str, Any]) -> TabularConfig:
    """Check the parameters of a job; values may be strings holding JSON. Raises TrainingError naming every fault."""
    known = {item.name: item for item in fields(TabularConfig)}
    faults = []
    values = {}
    for name, raw in parameters.items():
        if name not in known:
            faults.append(f"parameter '{name}' is not known (known are: {', '.join(known)})")
            continue
        try:
            values[name] = checked(known[name], raw)
        except ValueError as error:
            faults.append(f"parameter '{name}' {error}")
    if "target" not in parameters:
        faults.insert(0, "parameter 'target' is missing: name the column to predict")
    if faults:
        sentence = "; ".join(faults)
        raise TrainingError(f"{sentence[0].upper()}{sentence[1:]}.")
    config = TabularConfig(**values)
    return replace(config, epochs=config.epochs or DEFAULT_EPOCHS[config.algorithm])


def checked(item: Any, raw: Any) -> Any:
    """One value as its type and within its range; raises ValueError with the rest of a sentence about it."""
    value = decoded(raw) if item.type is not str or (isinstance(raw, str) and raw.startswith('"')) else raw
    if item.type is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not item.type:
        kind = {str: "text", int: "a whole number", float: "a number"}[item.type]
        raise ValueError(f"must be {kind}, not {raw!r}")
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


def unused(config: TabularConfig, parameters: Mapping[str, Any]) -> list[str]:
    """Names of given parameters that the chosen algorithm does not look at."""
    return [
        item.name
        for item in fields(config)
        if item.name in parameters and config.algorithm not in item.metadata["only"]
    ]

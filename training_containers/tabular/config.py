"""The parameters of a tabular job, and those that each algorithm looks at."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from training_containers.common.parameters import parameter
from training_containers.common.parameters import parse as check

DEFAULT_EPOCHS = {
    "lightgbm": 100,
    "xgboost": 100,
    "random_forest": 20,
    "logistic_regression": 100,
    "linear_regression": 100,
}
ALGORITHMS = tuple(DEFAULT_EPOCHS)
TASK_OF = {"logistic_regression": "classification", "linear_regression": "regression"}


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
        "Steps of training: boosting rounds (lightgbm, xgboost), times the forest grows (random_forest), "
        "solver passes (the linear ones). 0 = the algorithm's default.",
        0,
        0,
        10_000,
    )
    checkpoint_every: int = parameter("Epochs between two checkpoints.", 10, 1, 10_000)
    learning_rate: float = parameter(
        "How much each boosting round corrects.", 0.1, 0.0001, 1.0, only=("lightgbm", "xgboost")
    )
    num_leaves: int = parameter("Leaves of each boosted tree.", 31, 2, 4096, only=("lightgbm",))
    min_rows_in_leaf: int = parameter(
        "Rows that a leaf needs. 0 = the algorithm's default (20 for lightgbm, 1 for random_forest).",
        0,
        0,
        100_000,
        only=("lightgbm", "random_forest"),
    )
    max_depth: int = parameter(
        "Depth of a tree. 0 = the algorithm's default (6 for xgboost, no limit for the others).",
        0,
        0,
        64,
        only=("lightgbm", "xgboost", "random_forest"),
    )
    trees_per_epoch: int = parameter("Trees the forest grows per epoch.", 10, 1, 1000, only=("random_forest",))
    l2: float = parameter(
        "Strength of the L2 penalty. 0 = none.", 1.0, 0, 1e6, only=("logistic_regression", "linear_regression")
    )


def parse(parameters: Mapping[str, Any]) -> TabularConfig:
    """Check the parameters of a job and fill in its algorithm's defaults. Raises TrainingError naming every fault."""
    config = check(TabularConfig, parameters)
    return replace(config, epochs=config.epochs or DEFAULT_EPOCHS[config.algorithm])


def unused(config: TabularConfig, parameters: Mapping[str, Any]) -> list[str]:
    """Names of given parameters that the chosen algorithm does not look at."""
    return [
        item.name
        for item in fields(config)
        if item.name in parameters and config.algorithm not in item.metadata.get("only", ALGORITHMS)
    ]

"""Gradient boosted trees with LightGBM, one tree (per class) an epoch.

Rows and columns are not sampled, so a run that continues from a saved model grows the same trees as one that never
stopped.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import lightgbm
import numpy as np
from onnx import ModelProto
from onnxmltools import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType

from training_containers.tabular.config import TabularConfig
from training_containers.tabular.data import Dataset
from training_containers.tabular.export_onnx import GRAPH_NAME

FRAMEWORK = "other"  # in the registry's list of frameworks
MODEL_FILE = "model.txt"
Epochs: TypeAlias = Iterator[tuple[lightgbm.Booster, float, float]]


def train(config: TabularConfig, dataset: Dataset, model: lightgbm.Booster | None, done: int) -> Epochs:
    """Continue from `model` after `done` epochs; yields (model, training loss, test loss) after each epoch."""
    if done >= config.epochs:
        return
    rows = lightgbm.Dataset(dataset.train.x, dataset.train.y, free_raw_data=False)
    held_out = lightgbm.Dataset(dataset.test.x, dataset.test.y, reference=rows, free_raw_data=False)
    booster = lightgbm.train(
        settings(config, dataset),
        rows,
        num_boost_round=1,
        valid_sets=[held_out],
        init_model=model,
        keep_training_booster=True,
    )
    for epoch in range(done + 1, config.epochs + 1):
        yield booster, booster.eval_train()[0][2], booster.eval_valid()[0][2]
        if epoch < config.epochs:
            booster.update()


def settings(config: TabularConfig, dataset: Dataset) -> dict[str, object]:
    """LightGBM's parameters; `deterministic` gives the same trees for any number of threads."""
    classes = len(dataset.labels)
    if dataset.task == "regression":
        objective = {"objective": "regression", "metric": "rmse"}
    elif classes == 2:
        objective = {"objective": "binary", "metric": "binary_logloss"}
    else:
        objective = {"objective": "multiclass", "metric": "multi_logloss", "num_class": classes}
    return {
        **objective,
        "learning_rate": config.learning_rate,
        "num_leaves": config.num_leaves,
        "min_data_in_leaf": config.min_rows_in_leaf or 20,
        "max_depth": config.max_depth or -1,
        "seed": config.seed,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }


def predict(model: lightgbm.Booster, x: np.ndarray) -> np.ndarray:
    """Class probabilities (rows, classes), or values (rows,)."""
    answers = np.asarray(model.predict(x))
    if model.dump_model(num_iteration=1)["objective"].startswith("binary"):
        return np.column_stack([1 - answers, answers])
    return answers


def save(model: lightgbm.Booster, folder: Path) -> None:
    """Write the model as LightGBM's text."""
    model.save_model(folder / MODEL_FILE)


def load(folder: Path) -> lightgbm.Booster:
    """Read a model that `save` wrote."""
    return lightgbm.Booster(model_file=folder / MODEL_FILE)


def to_onnx(model: lightgbm.Booster, width: int) -> ModelProto:
    """The model as ONNX, from float32 (rows, width)."""
    rounded = lightgbm.Booster(model_str=with_float32_thresholds(model.model_to_string()))
    types = [("features", FloatTensorType([None, width]))]
    return convert_lightgbm(rounded, GRAPH_NAME, types, zipmap=False)


def with_float32_thresholds(model: str) -> str:
    """LightGBM's text with each threshold rounded down to a 32-bit float, which changes no answer to a 32-bit value.

    ONNX holds thresholds as 32-bit floats. Rounded to the nearest, one that separates neighbouring values can reach the
    upper of the two, which then takes the wrong branch.
    """
    lines = []
    for line in model.splitlines():
        name, _, values = line.partition("=")
        if name == "threshold":
            line = "threshold=" + " ".join(repr(rounded_down(float(value))) for value in values.split())
        if name != "tree_sizes":  # lengths of the original text; LightGBM reads the trees without them too
            lines.append(line)
    return "\n".join(lines) + "\n"


def rounded_down(value: float) -> float:
    """The largest 32-bit float that is not above the value."""
    nearest = np.float32(value)
    return float(nearest if float(nearest) <= value else np.nextafter(nearest, np.float32(-np.inf)))

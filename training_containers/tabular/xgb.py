"""Gradient boosted trees with XGBoost, one tree (per class) an epoch.

Rows and columns are not sampled and the candidate thresholds come from the rows alone, so a run that continues from a
saved model grows the same trees as one that never stopped. (A module called xgboost would hide the library.)
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import numpy as np
import xgboost
from onnx import ModelProto
from onnxmltools import convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType

from training_containers.tabular.config import TabularConfig
from training_containers.tabular.data import Dataset
from training_containers.tabular.export_onnx import GRAPH_NAME

FRAMEWORK = "other"  # in the registry's list of frameworks
MODEL_FILE = "model.ubj"
DEFAULT_DEPTH = 6
Epochs: TypeAlias = Iterator[tuple[xgboost.Booster, float, float]]


def train(config: TabularConfig, dataset: Dataset, model: xgboost.Booster | None, done: int) -> Epochs:
    """Continue from `model` after `done` epochs; yields (model, training loss, test loss) after each epoch."""
    parts = [
        (xgboost.DMatrix(dataset.train.x, dataset.train.y), "train"),
        (xgboost.DMatrix(dataset.test.x, dataset.test.y), "test"),
    ]
    rows = parts[0][0]
    booster = xgboost.Booster(settings(config, dataset), [part for part, _ in parts], model)
    for epoch in range(done, config.epochs):
        booster.update(rows, epoch)
        train_loss, test_loss = (float(loss.rpartition(":")[2]) for loss in booster.eval_set(parts).split("\t")[1:])
        yield booster, train_loss, test_loss


def settings(config: TabularConfig, dataset: Dataset) -> dict[str, object]:
    """XGBoost's parameters."""
    classes = len(dataset.labels)
    if dataset.task == "regression":
        objective = {"objective": "reg:squarederror", "eval_metric": "rmse"}
    elif classes == 2:
        objective = {"objective": "binary:logistic", "eval_metric": "logloss"}
    else:
        objective = {"objective": "multi:softprob", "eval_metric": "mlogloss", "num_class": classes}
    return {
        **objective,
        "tree_method": "hist",
        "learning_rate": config.learning_rate,
        "max_depth": config.max_depth or DEFAULT_DEPTH,
        "seed": config.seed,
        "nthread": int(os.environ.get("OMP_NUM_THREADS", 0)),  # 0 = one per core
    }


def predict(model: xgboost.Booster, x: np.ndarray) -> np.ndarray:
    """Class probabilities (rows, classes), or values (rows,)."""
    answers = model.inplace_predict(x)
    if model.save_config().find('"binary:logistic"') >= 0:
        return np.column_stack([1 - answers, answers])
    return answers


def save(model: xgboost.Booster, folder: Path) -> None:
    """Write the model as XGBoost's UBJSON."""
    model.save_model(folder / MODEL_FILE)


def load(folder: Path) -> xgboost.Booster:
    """Read a model that `save` wrote."""
    return xgboost.Booster(model_file=folder / MODEL_FILE)


def to_onnx(model: xgboost.Booster, width: int) -> ModelProto:
    """The model as ONNX, from float32 (rows, width)."""
    return convert_xgboost(model, GRAPH_NAME, [("features", FloatTensorType([None, width]))])

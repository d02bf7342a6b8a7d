"""Random forest, grown a few trees per epoch; a forest grown in steps is the same as one grown at once."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import joblib
import numpy as np
from onnx import ModelProto
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from training_containers.tabular.config import TabularConfig
from training_containers.tabular.data import Dataset
from training_containers.tabular.export_onnx import sklearn_to_onnx
from training_containers.tabular.metrics import loss

FRAMEWORK = "sklearn"
MODEL_FILE = "model.joblib"
Forest: TypeAlias = RandomForestClassifier | RandomForestRegressor
Epochs: TypeAlias = Iterator[tuple[Forest, float, float]]


def train(config: TabularConfig, dataset: Dataset, model: Forest | None, done: int) -> Epochs:
    """Continue from `model` after `done` epochs; yields (model, training loss, test loss) after each epoch."""
    model = unfitted(config, dataset.task) if model is None else model
    parts = (dataset.train, dataset.test)
    sums = [np.zeros(1), np.zeros(1)]  # of the trees' answers to each part
    counted = 0
    for epoch in range(done + 1, config.epochs + 1):
        model.n_estimators = epoch * config.trees_per_epoch
        model.fit(dataset.train.x, dataset.train.y)
        for tree in model.estimators_[counted:]:
            sums = [total + predict(tree, part.x) for total, part in zip(sums, parts, strict=True)]
        counted = len(model.estimators_)
        train_loss, test_loss = (loss(part.y, total / counted) for total, part in zip(sums, parts, strict=True))
        yield model, train_loss, test_loss


def unfitted(config: TabularConfig, task: str) -> Forest:
    """The forest before its first tree."""
    forest = RandomForestClassifier if task == "classification" else RandomForestRegressor
    return forest(
        warm_start=True,
        max_depth=config.max_depth or None,
        min_samples_leaf=config.min_rows_in_leaf or 1,
        random_state=config.seed,
        n_jobs=int(os.environ.get("OMP_NUM_THREADS", -1)),
    )


def predict(model: Any, x: np.ndarray) -> np.ndarray:
    """Class probabilities (rows, classes), or values (rows,), of a forest or of one of its trees."""
    return model.predict_proba(x) if hasattr(model, "predict_proba") else model.predict(x)


def save(model: Forest, folder: Path) -> None:
    """Write the model in scikit-learn's own form."""
    joblib.dump(model, folder / MODEL_FILE, compress=1)


def load(folder: Path) -> Forest:
    """Read a model that `save` wrote. This unpickles: only for files whose hash was checked, from a job of ours."""
    return joblib.load(folder / MODEL_FILE)


def to_onnx(model: Forest, width: int) -> ModelProto:
    """The model as ONNX, from float32 (rows, width)."""
    return sklearn_to_onnx(model, width)

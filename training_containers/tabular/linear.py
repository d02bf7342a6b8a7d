"""Linear models on standardised columns: logistic regression, and ridge regression.

Both solvers start each epoch where the last one ended, so the coefficients are the whole state of a run: two iterations
of L-BFGS per epoch for logistic regression, one pass of coordinate descent for ridge regression.
"""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import joblib
import numpy as np
from onnx import ModelProto
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import ElasticNet, LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from training_containers.tabular.config import TabularConfig
from training_containers.tabular.data import Dataset
from training_containers.tabular.export_onnx import sklearn_to_onnx
from training_containers.tabular.metrics import loss

FRAMEWORK = "sklearn"
MODEL_FILE = "model.joblib"
Epochs: TypeAlias = Iterator[tuple[Pipeline, float, float]]
SOLVER_ITERATIONS = 2  # of L-BFGS per epoch


def train(config: TabularConfig, dataset: Dataset, model: Pipeline | None, done: int) -> Epochs:
    """Continue from `model` after `done` epochs; yields (model, training loss, test loss) after each epoch."""
    precise = dataset.train.x.astype(np.float64)
    if model is None:
        model = make_pipeline(StandardScaler().fit(precise), estimator(config, dataset))
    scaler, linear = model.steps[0][1], model.steps[1][1]
    x = scaler.transform(precise)
    for _ in range(done, config.epochs):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # an epoch is a part of the way there
            linear.fit(x, dataset.train.y)
        train_loss, test_loss = (loss(part.y, predict(model, part.x)) for part in (dataset.train, dataset.test))
        yield model, train_loss, test_loss
        if dataset.task == "classification" and linear.n_iter_[0] < SOLVER_ITERATIONS:
            return  # converged


def estimator(config: TabularConfig, dataset: Dataset) -> LogisticRegression | ElasticNet:
    """The unfitted model; l2 has the meaning it has in scikit-learn's Ridge."""
    if dataset.task == "classification":
        c = 1 / config.l2 if config.l2 else np.inf
        return LogisticRegression(C=c, max_iter=SOLVER_ITERATIONS, warm_start=True)
    return ElasticNet(alpha=config.l2 / len(dataset.train.y), l1_ratio=0, max_iter=1, warm_start=True)


def predict(model: Pipeline, x: np.ndarray) -> np.ndarray:
    """Class probabilities (rows, classes), or values (rows,)."""
    return model.predict_proba(x) if hasattr(model, "predict_proba") else model.predict(x)


def save(model: Pipeline, folder: Path) -> None:
    """Write the model in scikit-learn's own form."""
    joblib.dump(model, folder / MODEL_FILE)


def load(folder: Path) -> Pipeline:
    """Read a model that `save` wrote. This unpickles: only for files whose hash was checked, from a job of ours."""
    return joblib.load(folder / MODEL_FILE)


def to_onnx(model: Pipeline, width: int) -> ModelProto:
    """The model as ONNX, from float32 (rows, width)."""
    return sklearn_to_onnx(model, width)

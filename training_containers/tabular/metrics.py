"""How good a model is on the held-out rows, and which columns that rests on."""

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn import metrics as sk

from training_containers.tabular.data import Dataset
from training_containers.tabular.features import widths

IMPORTANCE_METHOD = "permutation: rise of the test loss (log loss, or RMSE) when the column is shuffled"
IMPORTANCE_ROWS = 1000
IMPORTANCE_REPEATS = 3


def loss(y: np.ndarray, answers: np.ndarray) -> float:
    """Log loss of class probabilities (rows, classes), or RMSE of values (rows,)."""
    if answers.ndim == 1:
        return float(np.sqrt(np.mean((y - answers) ** 2)))
    chosen = answers[np.arange(len(y)), y] / answers.sum(axis=1)
    return float(-np.log(np.clip(chosen, 1e-15, 1)).mean())


def evaluate(dataset: Dataset, answers: np.ndarray) -> dict[str, Any]:
    """The figures on the test rows, beside those of the best guess that looks at no column."""
    return classification(dataset, answers) if dataset.task == "classification" else regression(dataset, answers)


def classification(dataset: Dataset, probabilities: np.ndarray) -> dict[str, Any]:
    """Accuracy, macro averages, log loss, ROC AUC for two classes, and the confusion matrix (rows: truth)."""
    y, predicted, classes = dataset.test.y, probabilities.argmax(axis=1), np.arange(len(dataset.labels))
    precision, recall, f1, _ = sk.precision_recall_fscore_support(
        y,
        predicted,
        labels=classes,
        average="macro",
        zero_division=0.0,  # pyright: ignore[reportArgumentType]
    )
    figures = {
        "test_accuracy": float(np.mean(predicted == y)),
        "test_macro_precision": float(precision),
        "test_macro_recall": float(recall),
        "test_macro_f1": float(f1),
        "test_log_loss": loss(y, probabilities),
        "test_baseline_accuracy": float(np.mean(y == np.bincount(dataset.train.y).argmax())),
    }
    if len(classes) == 2 and len(np.unique(y)) == 2:  # of rows that are all of one class there is no curve
        figures["test_roc_auc"] = float(sk.roc_auc_score(y, probabilities[:, 1]))
    return {
        "primary_metric": {"name": "test_accuracy", "value": figures["test_accuracy"], "direction": "max"},
        "metrics": figures,
        "confusion_matrix": {
            "labels": dataset.labels,
            "matrix": sk.confusion_matrix(y, predicted, labels=classes).tolist(),
        },
    }


def regression(dataset: Dataset, values: np.ndarray) -> dict[str, Any]:
    """RMSE, MAE and R2, in the unit of the target."""
    y = dataset.test.y
    figures = {
        "test_rmse": loss(y, values),
        "test_mae": float(sk.mean_absolute_error(y, values)),
        "test_r2": float(sk.r2_score(y, values)),
        "test_baseline_rmse": loss(y, np.full(len(y), dataset.train.y.mean())),
    }
    return {
        "primary_metric": {"name": "test_rmse", "value": figures["test_rmse"], "direction": "min"},
        "metrics": figures,
        "confusion_matrix": None,
    }


def importance(dataset: Dataset, predict: Callable[[np.ndarray], np.ndarray], seed: int) -> list[dict[str, Any]]:
    """Permutation importance of each feature on at most 1000 test rows, most important first.

    All encoded columns of a feature are shuffled together.
    """
    generator = np.random.default_rng(seed)
    x, y = dataset.test.x[:IMPORTANCE_ROWS], dataset.test.y[:IMPORTANCE_ROWS]
    unshuffled = loss(y, predict(x))
    result = []
    start = 0
    for feature, width in zip(dataset.features, widths(dataset.features), strict=True):
        rises = []
        for _ in range(IMPORTANCE_REPEATS):
            shuffled = x.copy()
            shuffled[:, start : start + width] = x[generator.permutation(len(x)), start : start + width]
            rises.append(loss(y, predict(shuffled)) - unshuffled)
        result.append({"feature": feature["name"], "importance": float(np.mean(rises))})
        start += width
    return sorted(result, key=lambda item: -item["importance"])

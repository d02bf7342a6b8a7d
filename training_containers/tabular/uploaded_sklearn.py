"""scikit-learn's estimators and pipelines, and what behaves like them: from skops files, pickles and joblib's files."""

import math
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import skops.io

from training_containers.tabular.uploaded import Loaded, values_of


def load(path: Path, loader: str) -> Loaded:
    """Return the estimator in a file; raises ValueError for something else, or for a skops file that needs code."""
    estimator = skops_model(path) if loader == "skops" else joblib.load(path)
    if not callable(getattr(estimator, "predict", None)):
        raise ValueError(f"{path.name} holds a {type(estimator).__name__}, which cannot predict.")
    known = getattr(estimator, "feature_names_in_", None)
    names = None if known is None else [str(name) for name in known]
    width = getattr(estimator, "n_features_in_", None)

    def predict(rows: list[Any]) -> list[Any]:
        return predictions(estimator, pd.DataFrame(rows, columns=names) if names else table(rows))

    return Loaded(predict, lambda row: row_of(row, width), names, [0.0] * width if width else None)


def skops_model(path: Path) -> Any:
    """Return what a skops file holds; raises ValueError where that names types that skops itself does not trust."""
    if unknown := skops.io.get_untrusted_types(file=path):
        raise ValueError(f"{path.name} needs types that skops does not trust by itself: {', '.join(unknown[:5])}.")
    return skops.io.load(path)


def row_of(row: Any, width: int | None) -> list[Any]:
    """Return a row of numbers and texts, NaN where a value is missing; raises ValueError."""
    values = values_of(row, width)
    for value in values:
        if isinstance(value, list | dict):
            raise ValueError("a value must be a number or a text.")
    return [math.nan if value is None else value for value in values]


def table(rows: list[list[Any]]) -> np.ndarray:
    """Return rows as an array: of numbers where all are, of objects where there are texts."""
    texts = any(isinstance(value, str) for row in rows for value in row)
    return np.array(rows, dtype=object if texts else np.float64)


def predictions(estimator: Any, rows: Any) -> list[Any]:
    """Return {label, probabilities} of a classifier, {label} of one that knows no probabilities, {value} of others."""
    answers = estimator.predict(rows).tolist()
    classes = getattr(estimator, "classes_", None)
    if not isinstance(classes, np.ndarray):  # a regressor, a clustering, or a classifier of several labels at once
        return [{"value": answer} for answer in answers]
    if not hasattr(estimator, "predict_proba"):
        return [{"label": answer} for answer in answers]
    names = [str(name) for name in classes.tolist()]
    return [
        {"label": answer, "probabilities": dict(zip(names, row, strict=True))}
        for answer, row in zip(answers, estimator.predict_proba(rows).tolist(), strict=True)
    ]

"""Gradient boosting models as their libraries write them: XGBoost's JSON and UBJSON, LightGBM's text."""

from pathlib import Path
from typing import Any

import numpy as np

from training_containers.tabular.uploaded import Loaded, numbers


def load(path: Path, loader: str) -> Loaded:
    """Return the booster in a file. A prediction is {value}: what the library's own `predict` gives for the row."""
    return xgboost_model(path) if loader == "xgboost" else lightgbm_model(path)


def xgboost_model(path: Path) -> Loaded:
    """Return XGBoost's booster."""
    import xgboost  # here, so that a model of LightGBM does not load it

    booster = xgboost.Booster(model_file=path)
    names = booster.feature_names

    def predict(rows: list[Any]) -> list[Any]:
        matrix = xgboost.DMatrix(np.array(rows, np.float32), feature_names=names, feature_types=booster.feature_types)
        return [{"value": value} for value in booster.predict(matrix).tolist()]

    width = booster.num_features()
    return Loaded(predict, lambda row: numbers(row, width), names, [0.0] * width)


def lightgbm_model(path: Path) -> Loaded:
    """Return LightGBM's booster."""
    import lightgbm  # here, so that a model of XGBoost does not load it

    booster = lightgbm.Booster(model_file=path)

    def predict(rows: list[Any]) -> list[Any]:
        return [{"value": value} for value in np.asarray(booster.predict(np.array(rows, np.float64))).tolist()]

    width = booster.num_feature()
    return Loaded(predict, lambda row: numbers(row, width), booster.feature_name(), [0.0] * width)

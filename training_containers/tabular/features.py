"""From typed columns to the numbers a model sees. Training and serving both run this code, and it needs numpy only.

A number column becomes its value, with the median of the training rows where it is missing, and one more column, 1
where it is missing, if that happened in training. A category column becomes one column per category seen in training; a
category never seen becomes all zeros. The rules are the manifest's `features`, plain JSON.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

# {"name", "type": "number", "fill", "flag_missing"} or {"name", "type": "category", "categories"}
Feature: TypeAlias = dict[str, Any]

MISSING_TEXTS = ("", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "?")
NO_CATEGORY = ""  # what a missing value is called among the categories
LARGEST = float(np.finfo(np.float32).max)


def number(text: str) -> float:
    """The value of a cell, NaN where it is missing or beyond a 32-bit float; raises ValueError if it is no number."""
    text = text.strip()
    if text in MISSING_TEXTS:
        return np.nan
    if "_" in text or not text.isascii():  # float() takes 1_000 and other alphabets; pandas does not
        raise ValueError(text)
    value = float(text)
    return value if abs(value) <= LARGEST else np.nan


def category(text: str) -> str:
    """The category of a cell, NO_CATEGORY where it is missing."""
    text = text.strip()
    return NO_CATEGORY if text in MISSING_TEXTS else text


def widths(features: list[Feature]) -> list[int]:
    """How many encoded columns each feature takes."""
    return [
        1 + feature["flag_missing"] if feature["type"] == "number" else len(feature["categories"])
        for feature in features
    ]


def encode(columns: Mapping[str, np.ndarray], features: list[Feature]) -> np.ndarray:
    """Encoded rows, float32 of shape (rows, sum of widths).

    A number column is float64 with NaN where it is missing, a category column is an array of str.
    """
    rows = len(columns[features[0]["name"]])
    encoded = np.zeros((rows, sum(widths(features))), np.float32)
    start = 0
    for feature, width in zip(features, widths(features), strict=True):
        column = columns[feature["name"]]
        if feature["type"] == "number":
            missing = np.isnan(column)
            encoded[:, start] = np.where(missing, feature["fill"], column)
            if feature["flag_missing"]:
                encoded[:, start + 1] = missing
        else:
            for offset, name in enumerate(feature["categories"]):
                encoded[:, start + offset] = column == name
        start += width
    return encoded

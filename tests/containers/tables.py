"""CSV files to train on: scikit-learn's own datasets, and one of mixed types."""

import csv
import io
from typing import Any

import numpy as np
import sklearn.datasets


def to_csv(columns: list[str], rows: Any) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()


def sklearn_csv(name: str) -> str:
    """One of scikit-learn's datasets as CSV; column `target` holds class names where there are classes."""
    data = getattr(sklearn.datasets, f"load_{name}")()
    names = getattr(data, "target_names", None)
    targets = data.target if names is None else names[data.target]
    return to_csv(
        [*data.feature_names, "target"], np.column_stack([data.data.astype(str), targets.astype(str)]).tolist()
    )


def mixed_csv() -> str:
    """Numbers, categories, missing values in both, an identifier, a constant; the label follows colour and size."""
    generator = np.random.default_rng(7)
    rows = []
    for index in range(600):
        colour = generator.choice(["red", "green", "blué, dark", ""])
        size, noise = generator.normal(10, 3), generator.normal()
        label = "yes" if (colour in ("red", "")) != (size > 10) else "no"
        missing = generator.random() < 0.1
        rows.append([f"customer-{index}", colour, "" if missing else round(size, 3), noise, "same", label])
    return to_csv(["id", "colour", "size", "noise", "constant", "bought"], rows)

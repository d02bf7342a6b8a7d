"""How good a model is on the examples that were held out, beside the best guess that looks at none."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.metrics import confusion_matrix, log_loss, precision_recall_fscore_support


def accuracy(logits: Any, labels: Any) -> dict[str, float]:
    """Return the share of right answers."""
    return {"accuracy": float(np.mean(np.argmax(logits, axis=-1) == labels))}


def classification(
    logits: Any, labels: Any, names: list[str], trained: Sequence[int]
) -> tuple[dict[str, float], dict[str, Any]]:
    """Return the figures of a classifier, and what plots draw: its confusion matrix (rows: truth) and each class.

    `logits` are of shape (examples, classes), `labels` of shape (examples,); `trained` are the labels it learned from.
    """
    classes = np.arange(len(names))
    predicted = np.argmax(logits, axis=-1)
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities = shifted / shifted.sum(axis=-1, keepdims=True)
    each = precision_recall_fscore_support(labels, predicted, labels=classes, zero_division=0.0)  # pyright: ignore[reportArgumentType]
    precision, recall, f1, support = (np.asarray(figure) for figure in each)
    figures = {
        "test_accuracy": float(np.mean(predicted == labels)),
        "test_macro_precision": float(precision.mean()),
        "test_macro_recall": float(recall.mean()),
        "test_macro_f1": float(f1.mean()),
        "test_log_loss": float(log_loss(labels, probabilities, labels=classes)),
        "test_baseline_accuracy": float(np.mean(labels == np.bincount(np.asarray(trained)).argmax())),
    }
    matrix = confusion_matrix(labels, predicted, labels=classes).tolist()
    return figures, {
        "confusion_matrix": {"labels": names, "matrix": matrix},
        "per_class": [
            {
                "label": name,
                "precision": float(precision[number]),
                "recall": float(recall[number]),
                "f1": float(f1[number]),
                "support": int(support[number]),
            }
            for number, name in enumerate(names)
        ],
    }

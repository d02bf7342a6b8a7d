"""ONNX: the form a model is served in, written only to be compared with the native model before anyone relies on it."""

from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType

from training_containers.tabular.runtime import ONNX_FILE, onnx_predict

PROBABILITY_TOLERANCE = 1e-4
GRAPH_NAME = "tabular"  # the converters' default is random, and the same model should give the same bytes
VALUE_TOLERANCE = 1e-3  # of the predictions' standard deviation


def sklearn_to_onnx(model: Any, width: int) -> ModelProto:
    """A scikit-learn model as ONNX: `features`, float32 (rows, width), to (class index, probabilities) or values."""
    options = {id(model): {"zipmap": False}} if hasattr(model, "predict_proba") else None
    types = [("features", FloatTensorType([None, width]))]
    return convert_sklearn(model, GRAPH_NAME, types, options=options)


def write(folder: Path, model: ModelProto) -> None:
    """Write model.onnx, the same bytes for the same model.

    The converters list the operator sets in the order of a Python set of names, which differs between processes.
    """
    model.opset_import.sort(key=lambda operators: operators.domain)
    (folder / ONNX_FILE).write_bytes(model.SerializeToString(deterministic=True))


def compare(folder: Path, x: np.ndarray, native: np.ndarray) -> dict[str, Any]:
    """How model.onnx answers the whole test part against the native model; `served` names the one to rely on."""
    return comparison(onnx_predict(folder / ONNX_FILE)(x), native)


def comparison(onnx: np.ndarray, native: np.ndarray) -> dict[str, Any]:
    """Largest absolute difference of probabilities or values, and the share of equal labels."""
    difference = float(np.abs(onnx - native).max())
    if native.ndim == 2:
        tolerance = PROBABILITY_TOLERANCE
        agreement = float(np.mean(onnx.argmax(axis=1) == native.argmax(axis=1)))
    else:
        tolerance = VALUE_TOLERANCE * float(native.std()) + float(np.finfo(np.float32).eps * np.abs(native).max())
        agreement = None
    return {
        "rows": len(native),
        "max_abs_difference": difference,
        "tolerance": tolerance,
        "label_agreement": agreement,
        "served": "onnx" if difference <= tolerance else "native",
    }

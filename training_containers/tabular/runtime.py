"""Running a model that was written: by ONNX Runtime alone, or natively with the library that trained it."""

import importlib
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TypeAlias

import numpy as np

# float32 (rows, width) -> probabilities (rows, classes) or values (rows,)
Predict: TypeAlias = Callable[[np.ndarray], np.ndarray]

ONNX_FILE = "model.onnx"
MODULES = {
    "lightgbm": "boosting",
    "xgboost": "xgb",
    "random_forest": "forest",
    "logistic_regression": "linear",
    "linear_regression": "linear",
}


def algorithm_module(algorithm: str) -> ModuleType:
    """The module that trains, saves, loads and converts this algorithm; imported late: its libraries are slow."""
    return importlib.import_module(f"training_containers.tabular.{MODULES[algorithm]}")


def onnx_predict(file: Path) -> Predict:
    """The model in an ONNX file."""
    import onnxruntime  # here, so that a model served natively does not load it

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", 0))  # 0 = one per core
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    answers = session.get_outputs()[-1].name  # a classifier gives (label, probabilities), a regressor values

    def predict(x: np.ndarray) -> np.ndarray:
        result = np.asarray(session.run([answers], {session.get_inputs()[0].name: x})[0])
        return result.reshape(len(x)) if len(session.get_outputs()) == 1 else result

    return predict


def native_predict(folder: Path, algorithm: str) -> Predict:
    """The native model in a folder."""
    module = algorithm_module(algorithm)
    model = module.load(folder)
    return lambda x: module.predict(model, x)


def predict_as(served: str, folder: Path, algorithm: str) -> Predict:
    """The model in a folder, in the form that was found to be right when it was trained: onnx or native."""
    return onnx_predict(folder / ONNX_FILE) if served == "onnx" else native_predict(folder, algorithm)

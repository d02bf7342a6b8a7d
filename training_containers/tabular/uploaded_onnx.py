"""ONNX models of any kind, by ONNX Runtime alone: a row is a tensor, or an object of tensors by input name."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from training_containers.common.batching import BadRequest
from training_containers.tabular.uploaded import Loaded

TYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
    "tensor(string)": np.object_,
}


def load(path: Path, loader: str) -> Loaded:
    """Return the model in a file; raises ValueError where an input is no tensor of numbers or texts.

    A prediction is {value} of the only output, or all outputs by name.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", 0))  # 0 = one per core
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    inputs = session.get_inputs()
    if strange := [f"{one.name} is a {one.type}" for one in inputs if one.type not in TYPES]:
        raise ValueError(f"{path.name} takes something else than tensors of numbers and texts: {strange[0]}.")
    alone = any(one.shape and one.shape[0] == 1 for one in inputs)  # exported for one row at a time

    def predict(rows: list[Any]) -> list[Any]:
        batches = [[row] for row in rows] if alone else [rows]
        return [prediction for batch in batches for prediction in run(session, batch)]

    return Loaded(predict, lambda row: tensors(row, inputs), guess=zeros(inputs), whole=True)


def run(session: Any, rows: list[dict[str, np.ndarray]]) -> list[Any]:
    """Return predictions for rows; raises BadRequest where their shapes differ."""
    try:
        stacked = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    except ValueError as error:
        raise BadRequest("The rows have different shapes: send them in requests of their own.") from error
    outputs = [found if isinstance(found, list) else found.tolist() for found in session.run(None, stacked)]
    if len(outputs) == 1:
        return [{"value": value} for value in outputs[0]]
    names = [output.name for output in session.get_outputs()]
    return [dict(zip(names, values, strict=True)) for values in zip(*outputs, strict=True)]


def tensors(row: Any, inputs: list[Any]) -> dict[str, np.ndarray]:
    """Return the tensors of a row by input; raises ValueError for other names or shapes than the model's."""
    if len(inputs) == 1 and not isinstance(row, dict):
        row = {inputs[0].name: row}
    names = {one.name for one in inputs}
    if not isinstance(row, dict) or row.keys() != names:
        raise ValueError(f"it must be an object of the inputs {', '.join(sorted(names))}.")
    return {one.name: tensor(row[one.name], one) for one in inputs}


def tensor(values: Any, wanted: Any) -> np.ndarray:
    """Return the values of one input; raises ValueError."""
    kind = TYPES[wanted.type]
    array = np.array(values, np.object_ if kind is np.object_ else None)
    if kind is not np.object_ and array.dtype.kind not in "biuf":
        raise ValueError(f"{wanted.name} must be numbers.")
    if array.dtype.kind == "f" and np.issubdtype(kind, np.integer) and not (array == np.round(array)).all():
        raise ValueError(f"{wanted.name} must be whole numbers.")
    shape = wanted.shape[1:]
    fits = len(array.shape) == len(shape) and all(
        length == size for length, size in zip(array.shape, shape, strict=True) if isinstance(size, int)
    )
    if not fits:
        raise ValueError(f"{wanted.name} must have the shape {list(shape)}, and has {list(array.shape)}.")
    return array.astype(kind)


def zeros(inputs: list[Any]) -> Any:
    """Return a row of zeros, of length 1 where the model leaves a length open."""
    row = {
        one.name: np.zeros(
            [size if isinstance(size, int) else 1 for size in one.shape[1:]],
            np.float64 if TYPES[one.type] is not np.object_ else "U1",
        ).tolist()
        for one in inputs
    }
    return row[inputs[0].name] if len(inputs) == 1 else row

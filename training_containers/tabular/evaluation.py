"""A tabular evaluation job: a trained model, in the form in which it is served, asked about every row of a data set.

The figures are those that training computes on its held-out rows, with the same names, so that they can be compared.
"""

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from training_containers.common import artefacts, model_archive, tables
from training_containers.common.contract import Job, Paths, TrainingError, read_json_object
from training_containers.common.progress import Progress
from training_containers.common.shutdown import Shutdown
from training_containers.tabular import data, metrics
from training_containers.tabular.features import NO_CATEGORY, Feature, encode
from training_containers.tabular.runtime import ONNX_FILE, Predict, algorithm_module, predict_as

LIBRARIES = ("numpy", "scikit-learn", "onnxruntime")
LOADED, ANSWERED = 20.0, 90.0  # percent of the job when each part is done
ROWS_AT_ONCE = 10_000


def evaluate(paths: Paths, job: Job, shutdown: Shutdown) -> None:
    """Run the job; raises TrainingError for data that the model cannot be asked about, Stopped after SIGTERM."""
    progress = Progress(job.stage, job.job_id)
    progress.emit("started", 0)
    model_archive.prepare(paths)
    folder = paths.base / model_archive.UNPACKED
    manifest = read_json_object(folder / "manifest.json")
    predict = verified(folder, manifest)
    files = tables.find_files(paths.channel("train"), tuple(data.READERS))
    dataset = all_rows(files, manifest)
    rows = len(dataset.test.y)
    print(f"{manifest['algorithm']} for '{manifest['target']}' is asked about {rows} rows.", flush=True)
    progress.emit("progress", LOADED, 0, 1)

    answers = []
    for start in range(0, rows, ROWS_AT_ONCE):
        shutdown.raise_if_requested(f"after {start} of {rows} rows")
        answers.append(predict(dataset.test.x[start : start + ROWS_AT_ONCE]))
        done = min(start + ROWS_AT_ONCE, rows) / rows
        progress.emit("progress", LOADED + (ANSWERED - LOADED) * done, done, 1)
    report = metrics.evaluate(dataset, np.concatenate(answers))
    progress.emit("eval", ANSWERED, 1, 1, report["metrics"])

    about = {
        "schema": 1,
        "job_id": job.job_id,
        "training_type": job.training_type,
        "evaluates": job.base_model,
        "task": dataset.task,
        "target": manifest["target"],
        "primary_metric": report["primary_metric"],
        "metrics": report["metrics"],
        "rows": {"test": rows},
        "data": [{"file": file.name, "sha256": artefacts.sha256(file)} for file in files],
        "versions": {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}},
    }
    artefacts.publish(paths, about, report)
    progress.emit("final", 100, 1, 1, report["metrics"])


def verified(folder: Path, manifest: dict[str, Any]) -> Predict:
    """The model as it is served; raises TrainingError if its file is not the one that the manifest lists."""
    served, algorithm = manifest["served"], manifest["algorithm"]
    try:
        artefacts.verified_file(
            folder, manifest, ONNX_FILE if served == "onnx" else algorithm_module(algorithm).MODEL_FILE
        )
    except ValueError as error:
        raise TrainingError(str(error)) from error
    return predict_as(served, folder, algorithm)


def all_rows(files: list[Path], manifest: dict[str, Any]) -> data.Dataset:
    """Every row that has a value in the target, encoded as the model was trained; raises TrainingError naming the
    column or the class that does not fit it."""
    table = pd.concat([data.read_table(file) for file in files], ignore_index=True)
    features: list[Feature] = manifest["features"]
    target = manifest["target"]
    lacking = [name for name in [target, *(feature["name"] for feature in features)] if name not in table]
    if lacking:
        raise TrainingError(f"The data has no column {lacking[0]!r}, which the model needs ({len(lacking)} lack).")
    table = table[table[target].notna()].reset_index(drop=True)
    if table.empty:
        raise TrainingError(f"No row has a value in '{target}'.")
    y = truth(table[target], manifest["labels"] or [])
    x = encode({feature["name"]: typed(table, feature) for feature in features}, features)
    part = data.Split(x, y)
    # The best guess that looks at no column is made from these rows: those that trained the model are not here.
    return data.Dataset(manifest["task"], manifest["labels"] or [], features, [], part, part)


def truth(target: pd.Series, labels: list[str]) -> np.ndarray:
    """The index of each row's class, or its value under regression; raises TrainingError for what the model has not."""
    if not labels:
        values = data.numeric(target)
        if values.isna().any():
            raise TrainingError(f"Column '{target.name}' has values that are no numbers; the model gives numbers.")
        return values.to_numpy()
    names, codes = data.class_indices(target)
    if unknown := sorted(set(names) - set(labels)):
        raise TrainingError(f"Column '{target.name}' has a class that the model does not know: {unknown[0]!r}.")
    return np.array([labels.index(name) for name in names])[codes]


def typed(table: pd.DataFrame, feature: Feature) -> np.ndarray:
    """A column as `encode` wants it; raises TrainingError for text where the model was trained on numbers."""
    column = table[feature["name"]]
    if feature["type"] == "category":
        return column.fillna(NO_CATEGORY).to_numpy(dtype=object)
    if not data.is_numeric(column):
        raise TrainingError(f"Column '{feature['name']}' must hold numbers: the model was trained on numbers there.")
    return data.numeric(column).to_numpy()

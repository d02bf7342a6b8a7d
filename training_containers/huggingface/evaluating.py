"""An evaluation job: a trained model, asked about every example of a data set. Each type's module has an `evaluate`.

The figures are those that training computes on what it holds out, with the same names, so that they can be compared.
"""

import platform
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from datasets import ClassLabel, Dataset

from training_containers.common import artefacts, model_archive
from training_containers.common.contract import TrainingError, read_json_object
from training_containers.huggingface import evaluation
from training_containers.huggingface.run import LIBRARIES, Report, Run


def evaluate(run: Run, module: ModuleType) -> None:
    """Run the job; raises TrainingError for data that does not fit the model."""
    report: Report = module.evaluate(run)
    primary = {
        "name": report.primary_metric,
        "value": report.metrics[report.primary_metric],
        "direction": report.direction,
    }
    run.progress.emit("eval", 90, 1, 1, report.metrics)
    about = {
        "schema": 1,
        "job_id": run.job.job_id,
        "training_type": run.job.training_type,
        "evaluates": run.job.base_model,
        "task": report.task,
        **report.manifest,
        "primary_metric": primary,
        "metrics": report.metrics,
        "versions": {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}},
    }
    artefacts.publish(run.paths, about, {"primary_metric": primary, "metrics": report.metrics, **report.plots})
    run.progress.emit("final", 100, 1, 1, report.metrics)


def trained_model(run: Run) -> tuple[Path, dict[str, Any]]:
    """Return the folder of the model and its manifest; raises TrainingError unless its files are those it lists."""
    folder = run.paths.base / model_archive.UNPACKED
    if not (folder / "manifest.json").is_file():
        raise TrainingError("The model has no manifest.json: only what was trained here can be evaluated.")
    manifest = read_json_object(folder / "manifest.json")
    try:
        for file in manifest["files"]:
            artefacts.verified_file(folder, manifest, file["name"])
    except ValueError as error:
        raise TrainingError(str(error)) from error
    return folder, manifest


def with_known_classes(examples: Dataset, role: str, names: list[str]) -> Dataset:
    """Return the examples with the model's class numbers instead of names; raises TrainingError for another class."""
    refuse_unknown(role, {str(name) for name in examples.unique(role)}, names)
    numbers = {name: number for number, name in enumerate(names)}
    coded = examples.map(lambda row: {role: numbers[str(row[role])]})
    return coded.cast_column(role, ClassLabel(names=names))


def refuse_unknown(role: str, found: set[str], names: list[str]) -> None:
    """Raise TrainingError for a class among those found that is none of the model's."""
    if unknown := sorted(found - set(names)):
        raise TrainingError(f"Column '{role}' has a class that the model does not know: {unknown[0]!r}.")


def classification(task: str, logits: Any, labels: Any, names: list[str]) -> Report:
    """Return the report on a classifier; the best guess that looks at nothing is made from these very examples."""
    figures, plots = evaluation.classification(logits, labels, names, np.asarray(labels).tolist())
    rows = {"rows": {"test": len(labels)}}
    return Report(task, "test_accuracy", "max", figures, plots, rows)

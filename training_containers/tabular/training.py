"""A tabular training job from top to bottom: configuration, data, training, evaluation, export, artefacts.

The algorithms (boosting.py, xgb.py, forest.py, linear.py) are modules with the same functions: `train` yields after
each epoch, and `predict`, `save`, `load`, `to_onnx` do what they say. Slow libraries are imported after the first
progress line.
"""

import hashlib
import json
import platform
import sys
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from training_containers.common import artefacts, checkpoints, tables
from training_containers.common.contract import Paths, read_job, run_training
from training_containers.common.progress import Progress
from training_containers.common.shutdown import Shutdown
from training_containers.tabular.config import TabularConfig, parse, unused

XGBOOST = "xgboost" if sys.platform == "darwin" else "xgboost-cpu"
LIBRARIES = ("numpy", "scikit-learn", "lightgbm", XGBOOST, "onnx", "onnxruntime", "skl2onnx", "onnxmltools")
LOADED, TRAINED, EVALUATED = 5.0, 90.0, 95.0  # percent of the job when each part is done


def main() -> int:
    """The exit status of one job, in the folders the environment names."""
    return run_training(train)


def train(paths: Paths) -> None:
    """Run the job; raises TrainingError for what its owner can mend, Stopped after SIGTERM."""
    # ------------------------------------------------------------------------------------------------ configuration
    shutdown = Shutdown()
    job = read_job(paths)
    if job.training_type == "custom":
        from training_containers.common import custom

        return custom.train(paths, job, shutdown)
    if job.kind == "evaluation":
        from training_containers.tabular import evaluation

        return evaluation.evaluate(paths, job, shutdown)
    checkpoint = checkpoints.newest(paths.checkpoints)
    state = checkpoint.state if checkpoint else {}
    progress = Progress(job.stage, job.job_id, state.get("sequence", 0), state.get("percent", 0.0))
    progress.emit("started", 0)

    config = parse(job.parameters)
    if ignored := unused(config, job.parameters):
        print(f"Not used by {config.algorithm}: {', '.join(ignored)}.", flush=True)

    # --------------------------------------------------------------------------------------------------------- data
    from training_containers.tabular import data

    files = tables.find_files(paths.channel("train"), tuple(data.READERS))
    dataset = data.load(files, config)
    fingerprint = fingerprint_of(config, files)
    progress.emit("progress", LOADED, 0, config.epochs)
    print(
        f"{dataset.task} of '{config.target}' with {config.algorithm}: {len(dataset.train.y)} rows to train, "
        f"{len(dataset.test.y)} to test, {len(dataset.features)} columns; left out: {', '.join(dataset.ignored)}.",
        flush=True,
    )
    shutdown.raise_if_requested("before training began")

    # ----------------------------------------------------------------------------------------------------- training
    from training_containers.tabular.runtime import algorithm_module

    algorithm = algorithm_module(config.algorithm)
    resumed, epoch, history = None, 0, []
    if checkpoint and state["fingerprint"] == fingerprint:
        resumed, epoch, history = algorithm.load(checkpoint.folder), state["epoch"], state["history"]
        print(f"Resuming after epoch {epoch} of {config.epochs}.", flush=True)
    elif checkpoint:
        print("The checkpoint belongs to other data or parameters; starting from nothing.", flush=True)

    model = resumed
    for model, train_loss, test_loss in algorithm.train(config, dataset, resumed, epoch):
        epoch += 1
        percent = LOADED + (TRAINED - LOADED) * epoch / config.epochs
        if progress.due(percent):
            losses = {"train_loss": train_loss, "test_loss": test_loss}
            history.append({"epoch": epoch, **losses})
            progress.emit("progress", percent, epoch, config.epochs, losses)
        if shutdown.requested or epoch % config.checkpoint_every == 0:
            state = {
                "epoch": epoch,
                "sequence": progress.sequence,
                "percent": progress.percent,
                "history": history,
                "fingerprint": fingerprint,
            }
            folder = checkpoints.begin(paths.checkpoints, epoch)
            algorithm.save(model, folder)
            checkpoints.complete(folder, state)
        shutdown.raise_if_requested(f"after epoch {epoch} of {config.epochs}; the checkpoint is saved")

    # --------------------------------------------------------------------------------------------------- evaluation
    from training_containers.tabular import export_onnx, metrics, runtime

    answers = algorithm.predict(model, dataset.test.x)
    report = metrics.evaluate(dataset, answers)
    progress.emit("eval", TRAINED, epoch, config.epochs, report["metrics"])

    # ------------------------------------------------------------------------------------------------------- export
    paths.model.mkdir(parents=True, exist_ok=True)
    algorithm.save(model, paths.model)
    export_onnx.write(paths.model, algorithm.to_onnx(model, dataset.train.x.shape[1]))
    report["onnx"] = export_onnx.compare(paths.model, dataset.test.x, answers)
    if report["onnx"]["served"] == "native":
        print(f"model.onnx differs from the trained model, which is served instead: {report['onnx']}", flush=True)
    progress.emit("progress", EVALUATED, epoch, config.epochs)

    predict = runtime.predict_as(report["onnx"]["served"], paths.model, config.algorithm)
    report["feature_importance"] = metrics.importance(dataset, predict, config.seed)
    report["feature_importance_method"] = metrics.IMPORTANCE_METHOD
    report["history"] = history

    # ---------------------------------------------------------------------------------------------------- artefacts
    manifest = {
        "schema": 1,
        "job_id": job.job_id,
        "training_type": job.training_type,
        "task": dataset.task,
        "algorithm": config.algorithm,
        "framework": algorithm.FRAMEWORK,
        "served": report["onnx"]["served"],
        "target": config.target,
        "labels": dataset.labels or None,
        "features": dataset.features,
        "ignored_columns": dataset.ignored,
        "parameters": asdict(config),
        "primary_metric": report["primary_metric"],
        "metrics": report["metrics"],
        "rows": {"train": len(dataset.train.y), "test": len(dataset.test.y)},
        "data": [{"file": file.name, "sha256": artefacts.sha256(file)} for file in files],
        "versions": {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}},
    }
    artefacts.publish(paths, manifest, report)
    progress.emit("final", 100, epoch, config.epochs, report["metrics"])


def fingerprint_of(config: TabularConfig, files: list[Path]) -> str:
    """What a checkpoint must share with a run to be continued by it: every parameter, and the bytes of the data."""
    identity = {"config": asdict(config), "data": [artefacts.sha256(file) for file in files]}
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()

"""Stopping and resuming a tabular job: the end is the same as if nothing had happened.

.venv/bin/python -m pytest tests/containers/test_tabular_resume.py
"""

import hashlib
import json
import shutil
import signal

import pytest

from tests.containers.jobs import Job, progress_lines
from tests.containers.tables import sklearn_csv


def assert_same_end(job: Job, uninterrupted: Job) -> None:
    """Every figure of metrics.json, with the whole history, and the very bytes of the ONNX model."""
    assert job.json("model/metrics.json") == uninterrupted.json("model/metrics.json")
    model, reference = (
        hashlib.sha256((each.base / "model/model.onnx").read_bytes()).hexdigest() for each in (job, uninterrupted)
    )
    assert model == reference


@pytest.mark.parametrize(
    ("dataset", "algorithm"),
    [
        ("breast_cancer", "lightgbm"),
        ("wine", "xgboost"),
        ("wine", "random_forest"),
        ("breast_cancer", "logistic_regression"),
    ],
)
def test_sigterm_saves_a_checkpoint_and_the_resumed_job_ends_the_same(trained, job, dataset, algorithm):
    uninterrupted, _ = trained(dataset, algorithm)
    running = job.write(sklearn_csv(dataset), target="target", algorithm=algorithm).start()
    running.read_until_epoch(3)
    assert running.end(signal.SIGTERM) == 0, running.output
    assert "the checkpoint is saved." in running.output
    lines = progress_lines(running.output)
    assert lines[-1]["event"] == "progress"
    assert not (job.base / "model").exists()
    assert not (job.base / "output/failure").exists()

    resumed = job.run()
    assert resumed.returncode == 0, resumed.stderr
    assert f"Resuming after epoch {lines[-1]['epoch']} of" in resumed.stdout
    more = progress_lines(resumed.stdout)
    assert [line["sequence"] for line in lines + more] == list(range(1, len(lines + more) + 1))
    percents = [line["percent"] for line in lines + more]
    assert percents == sorted(percents)
    assert_same_end(job, uninterrupted)


def test_after_a_kill_and_with_a_damaged_checkpoint_the_older_one_is_used(trained, job):
    uninterrupted, _ = trained("diabetes", "linear_regression")
    running = job.write(sklearn_csv("diabetes"), target="target", algorithm="linear_regression").start()
    running.read_until_epoch(22)
    assert running.end(signal.SIGKILL) == -signal.SIGKILL
    newest = sorted((job.base / "checkpoints").iterdir())[-1]
    state = json.loads((newest / "state.json").read_text())
    (newest / "model.joblib").write_bytes(b"half a fi")

    resumed = job.run()
    assert resumed.returncode == 0, resumed.stderr
    assert f"Resuming after epoch {state['epoch'] - 10} of 100." in resumed.stdout
    assert_same_end(job, uninterrupted)


def test_a_checkpoint_of_other_parameters_is_not_continued(trained, job):
    original, _ = trained("wine", "lightgbm")
    shutil.copytree(original.base / "checkpoints", job.base / "checkpoints")
    done = job.write(sklearn_csv("wine"), target="target", algorithm="lightgbm", epochs=10, seed=1).run()
    assert done.returncode == 0, done.stderr
    assert "The checkpoint belongs to other data or parameters" in done.stdout
    assert progress_lines(done.stdout)[-1]["epoch"] == 10


def test_sigterm_before_training_began_exits_cleanly(job):
    running = job.write(sklearn_csv("iris"), target="target").start()
    running.read_until_epoch(0)
    assert running.end(signal.SIGTERM) == 0, running.output
    assert "Stopped before training began." in running.output
    assert not (job.base / "output/failure").exists()

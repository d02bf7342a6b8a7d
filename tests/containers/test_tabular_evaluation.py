"""Evaluation of tabular models by the image's own `train`: the same figures as training has, on other rows.

.venv/bin/python -m pytest tests/containers/test_tabular_evaluation.py
"""

import csv
import io
import shutil

import numpy as np
import pytest

from tests.containers.jobs import Job, progress_lines
from tests.containers.tables import to_csv


def held_out(trained: Job) -> str:
    """The rows that a job with the default split did not train on."""
    from sklearn.model_selection import train_test_split

    rows, target = trained.rows(), trained.json("model/manifest.json")["target"]
    truth = np.array([row[target] for row in rows])
    classes = trained.json("model/manifest.json")["labels"]
    _, test = train_test_split(
        np.arange(len(rows)), test_size=0.2, random_state=42, stratify=truth if classes else None
    )
    return to_csv(list(rows[0]), [list(rows[index].values()) for index in test])


@pytest.mark.parametrize(
    ("dataset", "algorithm"), [("breast_cancer", "logistic_regression"), ("mixed", "lightgbm"), ("diabetes", "xgboost")]
)
def test_on_the_rows_that_training_held_out_the_figures_are_trainings_own(trained, job, dataset, algorithm):
    before, _ = trained(dataset, algorithm)
    done = job.evaluates(before, held_out(before)).run()
    assert done.returncode == 0, done.stderr
    found, known = job.json("output/data/metrics.json"), before.json("model/metrics.json")
    same = {name for name in known["metrics"] if "baseline" not in name}  # which training takes from its other rows
    for name in same:
        assert found["metrics"][name] == pytest.approx(known["metrics"][name], abs=1e-4), name
    assert found["metrics"].keys() == known["metrics"].keys()
    assert found["primary_metric"]["name"] == known["primary_metric"]["name"]
    manifest = job.json("output/data/manifest.json")
    assert (manifest["evaluates"], manifest["rows"]["test"]) == ("ada/model@v1", known_rows(before))
    assert not (job.base / "model/model.onnx").exists(), "an evaluation makes no model"
    lines = progress_lines(done.stdout)
    assert [line["event"] for line in lines][-2:] == ["eval", "final"]
    assert lines[-1]["metrics"] == pytest.approx(found["metrics"])


def known_rows(trained: Job) -> int:
    return trained.json("model/manifest.json")["rows"]["test"]


def test_columns_may_come_in_another_order_and_rows_without_truth_are_left_out(trained, job):
    before, _ = trained("breast_cancer", "logistic_regression")
    rows = list(csv.reader(io.StringIO(held_out(before))))
    turned = [row[::-1] for row in rows]
    turned[1][0] = ""
    job.evaluates(before, to_csv(turned[0], turned[1:])).trained()
    assert job.json("output/data/manifest.json")["rows"]["test"] == known_rows(before) - 1


def test_one_class_alone_has_no_curve(trained, job):
    before, _ = trained("breast_cancer", "logistic_regression")
    rows = list(csv.reader(io.StringIO(held_out(before))))
    benign = [row for row in rows[1:] if row[-1] == "benign"]
    figures = job.evaluates(before, to_csv(rows[0], benign)).trained().json("output/data/metrics.json")["metrics"]
    assert figures["test_accuracy"] > 0.9 and "test_roc_auc" not in figures


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text.replace("target", "truth", 1), "no column 'target'"),
        (lambda text: text.replace("mean radius", "radius", 1), "no column 'mean radius'"),
        (lambda text: text.replace("malignant", "unclear", 1), "does not know: 'unclear'"),
        (lambda text: text.splitlines()[0] + "\n", "No row has a value"),
        (lambda text: text.replace("\n", "\nwide", 2).replace("\nwide", "\n", 1), "must hold numbers"),
    ],
)
def test_data_that_does_not_fit_is_named(trained, job, change, words):
    before, _ = trained("breast_cancer", "logistic_regression")
    assert job.evaluates(before, change(held_out(before))).run().returncode == 1
    assert words in job.failure
    assert job.failure_class == "data"


def test_a_model_that_was_changed_is_not_asked(trained, job, tmp_path):
    before, _ = trained("breast_cancer", "logistic_regression")
    changed = Job(tmp_path / "another", before.image)
    shutil.copytree(before.base, changed.base)
    for file in (changed.base / "model").iterdir():
        if file.suffix != ".json":
            file.write_bytes(file.read_bytes() + b" ")
    assert job.evaluates(changed, held_out(before)).run().returncode == 1
    assert "damaged or was changed" in job.failure

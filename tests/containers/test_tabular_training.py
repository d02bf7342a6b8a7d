"""Tabular training on real data, by the image's own `train`.

.venv/bin/python -m pytest tests/containers/test_tabular_training.py
"""

import hashlib
import io
import json
import subprocess

import numpy as np
import onnxruntime
import pandas as pd
import pytest
from sklearn.model_selection import train_test_split

from tests.containers.jobs import progress_lines
from tests.containers.tables import sklearn_csv, to_csv

CLASSIFIERS = [
    (dataset, algorithm)
    for dataset in ("breast_cancer", "wine")
    for algorithm in ("logistic_regression", "random_forest", "lightgbm", "xgboost")
]
REGRESSORS = [("diabetes", algorithm) for algorithm in ("linear_regression", "random_forest", "lightgbm", "xgboost")]


@pytest.mark.parametrize(("dataset", "algorithm"), CLASSIFIERS)
def test_a_classifier_is_far_better_than_guessing_the_most_frequent_class(trained, dataset, algorithm):
    job, _ = trained(dataset, algorithm)
    metrics = job.json("model/metrics.json")
    assert metrics["metrics"]["test_accuracy"] >= 0.94
    assert metrics["metrics"]["test_baseline_accuracy"] < 0.7
    assert metrics["primary_metric"] == {
        "name": "test_accuracy",
        "value": metrics["metrics"]["test_accuracy"],
        "direction": "max",
    }
    matrix = np.array(metrics["confusion_matrix"]["matrix"])
    assert matrix.trace() / matrix.sum() == metrics["metrics"]["test_accuracy"]
    if algorithm != "random_forest":  # whose later trees are as good as its first
        assert metrics["history"][-1]["train_loss"] < metrics["history"][0]["train_loss"]


@pytest.mark.parametrize(("dataset", "algorithm"), REGRESSORS)
def test_a_regressor_is_better_than_guessing_the_mean(trained, dataset, algorithm):
    job, _ = trained(dataset, algorithm)
    metrics = job.json("model/metrics.json")
    assert metrics["metrics"]["test_rmse"] < 0.8 * metrics["metrics"]["test_baseline_rmse"]
    assert metrics["metrics"]["test_r2"] > 0.35
    assert metrics["primary_metric"]["direction"] == "min"
    assert {item["feature"] for item in metrics["feature_importance"][:3]} >= {"bmi", "s5"}


@pytest.mark.parametrize(
    ("dataset", "algorithm"), CLASSIFIERS + REGRESSORS + [("mixed", "lightgbm"), ("mixed", "xgboost")]
)
def test_onnx_answers_like_the_native_model_on_the_whole_test_part(trained, dataset, algorithm):
    job, _ = trained(dataset, algorithm)
    comparison = job.json("model/metrics.json")["onnx"]
    assert comparison["rows"] == job.json("model/manifest.json")["rows"]["test"]
    assert comparison["served"] == "onnx"
    assert comparison["max_abs_difference"] <= comparison["tolerance"]
    assert comparison["label_agreement"] in (1.0, None)


@pytest.mark.parametrize("algorithm", ["logistic_regression", "random_forest", "lightgbm", "xgboost"])
def test_the_reported_accuracy_is_what_onnx_runtime_and_scikit_learn_alone_find(trained, algorithm):
    job, _ = trained("breast_cancer", algorithm)
    manifest = job.json("model/manifest.json")
    rows = job.rows()
    x = np.array([[row[feature["name"]] for feature in manifest["features"]] for row in rows], np.float32)
    y = np.array([manifest["labels"].index(row["target"]) for row in rows])
    _, x_test, _, y_test = train_test_split(x, y, test_size=0.2, random_state=42, stratify=y)
    session = onnxruntime.InferenceSession(job.base / "model/model.onnx")
    predicted = np.asarray(session.run(None, {"features": x_test})[1]).argmax(axis=1)
    assert np.mean(predicted == y_test) == pytest.approx(manifest["metrics"]["test_accuracy"])


COMPARE = """
import json, numpy as np
from training_containers.tabular.export_onnx import comparison
right = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]])
near, far = right + [[1e-6, -1e-6]], right + [[0.0, 0.0], [0.0, 0.0], [0.2, -0.2]]
values = np.array([100.0, 200.0, 300.0])
pairs = [(near, right), (far, right), (values + 0.01, values), (values + [0.0, 0.0, 1.0], values)]
print(json.dumps([comparison(onnx, native) for onnx, native in pairs]))
"""


def test_an_onnx_model_that_answers_otherwise_is_not_the_one_to_serve(image):
    done = subprocess.run(
        [image.python, "-c", COMPARE], cwd=image.directory, capture_output=True, text=True, timeout=60
    )
    near, far, near_value, far_value = json.loads(done.stdout)
    assert [each["served"] for each in (near, far, near_value, far_value)] == ["onnx", "native", "onnx", "native"]
    assert (near["label_agreement"], far["label_agreement"]) == (1, pytest.approx(2 / 3))
    assert far["max_abs_difference"] == pytest.approx(0.2)


def test_shuffled_labels_fall_to_chance(job):
    header, *lines = sklearn_csv("breast_cancer").splitlines()
    cells = [line.rpartition(",") for line in lines]
    labels = np.random.default_rng(0).permutation([label for _, _, label in cells])
    table = "\n".join([header, *(f"{values},{label}" for (values, _, _), label in zip(cells, labels, strict=True))])
    done = job.write(table, target="target", algorithm="logistic_regression").run()
    assert done.returncode == 0, done.stderr
    metrics = job.json("model/metrics.json")["metrics"]
    assert metrics["test_accuracy"] < metrics["test_baseline_accuracy"] + 0.1
    assert 0.35 < metrics["test_roc_auc"] < 0.65


def test_categories_and_missing_values_are_learned_from_and_identifiers_are_not(trained):
    job, _ = trained("mixed", "lightgbm")
    manifest = job.json("model/manifest.json")
    assert manifest["metrics"]["test_accuracy"] > 0.85
    assert manifest["ignored_columns"] == ["bought", "id", "constant"]
    colour, size, _ = manifest["features"]
    assert colour == {"name": "colour", "type": "category", "categories": ["", "blué, dark", "green", "red"]}
    assert size["type"] == "number"
    assert size["flag_missing"]


@pytest.mark.parametrize("algorithm", ["logistic_regression", "random_forest", "lightgbm", "xgboost"])
def test_progress_rises_from_0_to_100_line_by_line(trained, algorithm):
    _, stdout = trained("breast_cancer", algorithm)
    lines = progress_lines(stdout)
    assert [line["sequence"] for line in lines] == list(range(1, len(lines) + 1))
    percents = [line["percent"] for line in lines]
    assert percents == sorted(percents)
    assert (percents[0], percents[-1]) == (0, 100)
    assert (lines[0]["event"], lines[-2]["event"], lines[-1]["event"]) == ("started", "progress", "final")
    assert len({line["percent"] for line in lines if line["event"] == "progress"}) >= 8
    assert all(line["slipway"] == "local" and line["job_id"] == "job-test" for line in lines)
    epochs = [line["epoch"] for line in lines if "train_loss" in line["metrics"]]
    assert epochs == list(range(1, len(epochs) + 1))


def test_the_manifest_lists_every_file_with_its_hash_and_is_copied_to_the_output(trained):
    job, _ = trained("wine", "random_forest")
    manifest = job.json("model/manifest.json")
    on_disk = {file.name: file for file in (job.base / "model").iterdir() if file.name != "manifest.json"}
    assert set(on_disk) == {"metrics.json", "model.joblib", "model.onnx"}
    for listed in manifest["files"]:
        content = on_disk.pop(listed["name"]).read_bytes()
        assert (listed["size"], listed["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert not on_disk
    for name in ("manifest.json", "metrics.json"):
        assert (job.base / "output/data" / name).read_bytes() == (job.base / "model" / name).read_bytes()


def test_hyperparameters_may_arrive_as_json_strings(job):
    job.write(sklearn_csv("wine"))
    (job.base / "input/data/config/config.json").unlink()
    strings = {"target": '"target"', "algorithm": '"lightgbm"', "epochs": "3", "learning_rate": "0.5", "l2": "2"}
    job.put("input/config/hyperparameters.json", json.dumps({**strings, "sagemaker_region": "eu-west-1"}))
    done = job.run()
    assert done.returncode == 0, done.stderr
    parameters = job.json("model/manifest.json")["parameters"]
    assert (parameters["epochs"], parameters["learning_rate"]) == (3, 0.5)
    assert "Not used by lightgbm: l2." in done.stdout


def test_a_semicolon_file_with_a_byte_order_mark_and_numeric_labels_is_understood(job):
    rows = [[index, "a" if index % 2 else "b", float(index % 2)] for index in range(60)]
    table = "\ufeff" + to_csv(["n", "kind", "label"], rows).replace(",", ";")
    done = job.write(table, target="label", algorithm="logistic_regression").run()
    assert done.returncode == 0, done.stderr
    manifest = job.json("model/manifest.json")
    assert (manifest["task"], manifest["labels"]) == ("classification", ["0", "1"])
    assert manifest["metrics"]["test_accuracy"] == 1


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_the_encoding_of_the_file_makes_no_difference(job, encoding):
    rows = [["café" if index % 3 else "thé", index % 7, "ja" if index % 3 else "nein"] for index in range(60)]
    table = to_csv(["boisson", "nombre", "acheté"], rows).encode(encoding)
    assert job.write(table, target="acheté", algorithm="logistic_regression").run().returncode == 0
    manifest = job.json("model/manifest.json")
    assert manifest["features"][0]["categories"] == ["café", "thé"]
    assert manifest["metrics"]["test_accuracy"] == 1.0


@pytest.mark.parametrize("format", ["csv in two files", "parquet", "jsonl"])
def test_the_format_of_the_table_makes_no_difference(job, trained, format):
    expected, _ = trained("mixed", "logistic_regression")
    text = (expected.base / "input/data/train/data.csv").read_text()
    job.write(text, target="bought", algorithm="logistic_regression")
    table = pd.read_csv(io.StringIO(text))
    folder = job.base / "input/data/train"
    if format == "parquet":
        table.to_parquet(folder / "data.parquet")
    elif format == "jsonl":
        table.to_json(folder / "data.jsonl", orient="records", lines=True)
    else:
        header, *lines = text.splitlines(keepends=True)
        for name, half in (("a.csv", lines[:100]), ("b.csv", lines[100:])):
            job.put(f"input/data/train/{name}", header + "".join(half))
    (folder / "data.csv").unlink()
    done = job.run()
    assert done.returncode == 0, done.stderr
    ours, theirs = job.json("model/manifest.json"), expected.json("model/manifest.json")
    assert ours["metrics"] == pytest.approx(theirs["metrics"])
    assert [feature["name"] for feature in ours["features"]] == [feature["name"] for feature in theirs["features"]]

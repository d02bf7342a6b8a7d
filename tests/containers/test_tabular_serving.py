"""What a trained tabular model's `serve` answers, to good requests and to hostile ones.

.venv/bin/python -m pytest tests/containers/test_tabular_serving.py
"""

import json
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import requests

from tests.containers.jobs import Job, Server
from tests.containers.tables import to_csv

JSON, CSV = "application/json", "text/csv"


@pytest.fixture(scope="module")
def mixed(trained) -> Job:
    return trained("mixed", "lightgbm")[0]


@pytest.fixture(scope="module")
def server(mixed: Job) -> Iterator[Server]:
    with mixed.serve() as server:
        yield server


def labels(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [prediction["label"] for prediction in answer.json()["predictions"]]


def test_csv_and_json_in_every_form_give_the_same_predictions(mixed, server):
    rows = mixed.rows()
    names = [feature["name"] for feature in mixed.json("model/manifest.json")["features"]]
    assert names == ["colour", "size", "noise"]
    values = [[row[name] for name in names] for row in rows]
    typed = [[colour or None, float(size) if size else None, float(noise)] for colour, size, noise in values]

    expected = labels(server.post(to_csv(names, values), CSV))
    assert np.mean([label == row["bought"] for label, row in zip(expected, rows, strict=True)]) > 0.85
    forms = {
        "no header": server.post(to_csv(names, values).partition("\n")[2], "text/csv; charset=utf-8"),
        "columns the other way round": server.post(to_csv(names[::-1], [row[::-1] for row in values]), CSV),
        "the training file itself": server.post((mixed.base / "input/data/train/data.csv").read_bytes(), CSV),
        "lists": server.post({"instances": typed}),
        "lists of text": server.post({"instances": values}),
        "objects": server.post({"instances": [dict(zip(names, row, strict=True)) for row in typed]}),
    }
    for form, answer in forms.items():
        assert labels(answer) == expected, form


def test_probabilities_are_by_label_and_sum_to_one(server):
    answer = server.post({"instances": [["red", 12.5, 0.1], ["a colour never seen", None, 0]]}).json()
    for prediction in answer["predictions"]:
        assert set(prediction["probabilities"]) == {"yes", "no"}
        assert sum(prediction["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert prediction["label"] == max(prediction["probabilities"], key=prediction["probabilities"].__getitem__)


def test_the_accuracy_of_the_served_model_is_the_one_that_training_reported(trained):
    job, _ = trained("wine", "random_forest")
    manifest = job.json("model/manifest.json")
    rows = job.rows()
    with job.serve() as server:
        predicted = labels(server.post((job.base / "input/data/train/data.csv").read_bytes(), CSV))
    wrong = sum(label != row["target"] for label, row in zip(predicted, rows, strict=True))
    assert wrong <= round((1 - manifest["metrics"]["test_accuracy"]) * manifest["rows"]["test"])


def test_a_regressor_answers_values(trained):
    job, _ = trained("diabetes", "linear_regression")
    with job.serve() as server:
        answer = server.post((job.base / "input/data/train/data.csv").read_bytes(), CSV).json()
    values = np.array([prediction["value"] for prediction in answer["predictions"]])
    truth = np.array([float(row["target"]) for row in job.rows()])
    assert np.corrcoef(values, truth)[0, 1] > 0.7


def test_a_prediction_that_overflows_is_refused_not_answered(trained):
    job, _ = trained("diabetes", "linear_regression")
    with job.serve() as server:
        answer = server.post(instances([0] * 10, [3e38] * 10))
    assert (answer.status_code, answer.json()["detail"]) == (400, "Row 2: its numbers are too large for the model.")


def instances(*rows: Any) -> dict[str, Any]:
    return {"instances": list(rows)}


ROW = {"colour": "red", "size": 1, "noise": 2}
BAD = [
    (instances({**ROW, "price": 1}), JSON, "Row 1 has a column the model does not know: 'price'."),
    (instances({"colour": "red"}), JSON, "Row 1 lacks column 'noise' (2 missing in all)."),
    (instances(["red", 1, 2], ["red", 1]), JSON, "Row 2 has 2 values; the model needs 3."),
    (instances(["red", "tall", 2]), JSON, "Row 1: column 'size' must be a number, not 'tall'."),
    (instances(["red", True, 2]), JSON, "Row 1: column 'size' must be a number, not True."),
    (instances(["red", [1], 2]), JSON, "Row 1: column 'size' must be a number, not [1]."),
    (instances([{"a": 1}, 1, 2]), JSON, "Row 1: column 'colour' must be text, not {'a': 1}."),
    (instances("red"), JSON, "Row 1 must be an object or a list of values, not 'red'."),
    (instances(["red", "\ud800", 2]), JSON, "Row 1: column 'size' must be a number, not '\\ud800'."),
    (instances(["red", "1" * 100_000 + "x", 2]), JSON, "Row 1: column 'size' must be a number, not '111"),
    (instances(), JSON, "The request holds no rows."),
    (instances(*[["red", 1, 2]] * 10_001), JSON, "The request holds 10001 rows; at most 10000 are answered at once."),
    ({"rows": []}, JSON, 'The body must be {"instances": [...]}'),
    ([1, 2], JSON, 'The body must be {"instances": [...]}'),
    ("", JSON, "The body is not valid JSON."),
    ("{", JSON, "The body is not valid JSON."),
    ("[" * 100_000, JSON, "The body is not valid JSON."),
    ('{"instances": [["red", 1' + "0" * 5000 + ", 2]]}", JSON, "The body is not valid JSON."),
    (b"\xff\xfe\x00{", JSON, "The body is not valid JSON."),
    ("", CSV, "The request holds no rows."),
    ("colour,size,noise\n", CSV, "The request holds no rows."),
    ("colour,size\nred,1\n", CSV, "The header lacks column 'noise' (1 missing in all)."),
    ("colour,size,noise,colour\nred,1,2,red\n", CSV, "The header names a column twice."),
    ("colour,size,noise\nred,1\n", CSV, "Row 1 has 2 values; the header has 3."),
    ("red,1,2\nred,x,2\n", CSV, "Row 2: column 'size' must be a number, not 'x'."),
    ("colour;size;noise\nred;1;2\n", CSV, "Row 1 has 1 values; the model needs 3."),
    (b"red,1,\xff\n", CSV, "The body is not CSV in UTF-8"),
    ('"red,1,2\n', CSV, "The body is not CSV in UTF-8"),
    ("red,1_000,2\n", CSV, "Row 1: column 'size' must be a number, not '1_000'."),
    ("red,1,2\n", "text/plain", "Content-Type must be text/csv or application/json."),
]


@pytest.mark.parametrize(("body", "content_type", "detail"), BAD, ids=[each[2][:40] for each in BAD])
def test_a_bad_request_is_told_what_is_wrong_with_it(server, body, content_type, detail):
    answer = server.post(body, content_type)
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith(detail)
    assert len(answer.json()["detail"]) < 200
    assert labels(server.post(instances(["red", 1, 2])))


def test_numbers_no_model_can_hold_count_as_missing(server):
    infinite = server.post('{"instances": [["red", 1e999, 2], ["red", NaN, 2], ["red", null, 2], ["red", -1e39, 2]]}')
    predictions = infinite.json()["predictions"]
    assert predictions == [predictions[2]] * 4


def test_a_body_beyond_the_limit_is_refused(server):
    answer = server.post(b"red,1,2\n" * 1_000_000, CSV)
    assert answer.status_code == 413
    assert "fewer rows" in answer.json()["detail"]


def test_other_paths_and_methods_are_errors_in_the_same_shape(server):
    for method, path, status in [("GET", "/", 404), ("GET", "/invocations", 405), ("POST", "/ping", 405)]:
        answer = requests.request(method, server.url + path, timeout=10)
        assert (answer.status_code, set(answer.json())) == (status, {"detail"})


def test_many_clients_at_once_each_get_their_own_answer(server):
    def ask(number: int) -> str:
        return server.post(instances(["red", number, 0]), JSON).text

    alone = [ask(number) for number in range(20)]
    with ThreadPoolExecutor(8) as clients:
        assert list(clients.map(ask, range(20))) == alone


def test_serve_imports_no_training_library_when_the_model_is_onnx(mixed):
    with mixed.serve(str(mixed.image.python), "-X", "importtime") as server:
        labels(server.post(instances(["red", 1, 2])))
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in server.stderr.splitlines()}
    assert {"onnxruntime", "numpy", "uvloop", "httptools"} <= imported
    assert not imported & {"uvicorn", "sklearn", "lightgbm", "pandas", "scipy", "onnx", "skl2onnx", "joblib", "skops"}


@pytest.mark.parametrize(("dataset", "algorithm"), [("mixed", "lightgbm"), ("wine", "random_forest")])
def test_the_native_model_is_served_when_the_manifest_says_so(trained, job, dataset, algorithm):
    original, _ = trained(dataset, algorithm)
    manifest = original.json("model/manifest.json")
    for file in manifest["files"]:
        job.put(f"model/{file['name']}", (original.base / "model" / file["name"]).read_bytes())
    job.put("model/manifest.json", json.dumps({**manifest, "served": "native"}))
    (job.base / "model/model.onnx").unlink()
    table = (original.base / "input/data/train/data.csv").read_bytes()
    with original.serve() as onnx, job.serve() as native:
        assert labels(native.post(table, CSV)) == labels(onnx.post(table, CSV))


@pytest.mark.parametrize("name", ["model.onnx", "manifest.json"])
def test_a_changed_or_missing_file_is_not_served(mixed, job, name):
    for file in (mixed.base / "model").iterdir():
        job.put(f"model/{file.name}", file.read_bytes())
    if name == "model.onnx":
        content = bytearray((job.base / "model/model.onnx").read_bytes())
        content[len(content) // 2] ^= 1
        job.put("model/model.onnx", bytes(content))
    else:
        (job.base / "model" / name).unlink()
    environment = job.environment(SAGEMAKER_BIND_TO_PORT="0")
    done = subprocess.run([job.commands / "serve"], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert name in done.stderr


def test_sigterm_ends_the_server_cleanly(mixed):
    with mixed.serve() as server:
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=20) == 0

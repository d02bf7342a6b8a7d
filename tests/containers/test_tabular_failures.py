"""What a failed tabular job says: a cause its owner can act on, first and short.

.venv/bin/python -m pytest tests/containers/test_tabular_failures.py
"""

import subprocess

import pytest

from local.cloud import Image
from tests.containers.jobs import Job, progress_lines
from tests.containers.tables import sklearn_csv, to_csv

# One process for all: starting one per case would spend seconds importing the same libraries.
RUN_EACH = """
import os, sys
from training_containers.tabular.training import main
for base in sys.argv[1:]:
    os.environ["SAGEMAKER_BASE_DIR"] = base
    print(f"status {main()}", flush=True)
"""
IRIS = sklearn_csv("iris")
FAILURES = [
    ({"target": "species"}, IRIS, "Column 'species' named as target is not in the data; columns are: sepal length"),
    ({}, IRIS, "Parameter 'target' is missing"),
    ({"target": "target", "epoch": 3}, IRIS, "Parameter 'epoch' is not known"),
    ({"target": "target", "epochs": 10**9}, IRIS, "Parameter 'epochs' must be from 0 to 10000, not 1000000000."),
    ({"target": "target", "epochs": "many"}, IRIS, "Parameter 'epochs' must be a whole number, not 'many'."),
    ({"target": "target", "epochs": True}, IRIS, "Parameter 'epochs' must be a whole number, not True."),
    ({"target": "target", "test_fraction": float("nan")}, IRIS, "Parameter 'test_fraction' must be from"),
    ({"target": "target", "algorithm": "svm"}, IRIS, "Parameter 'algorithm' must be one of lightgbm"),
    ({"target": "target", "task": "regression"}, IRIS, "Regression needs numbers in 'target', which holds 'setosa'."),
    ({"target": "target", "algorithm": "linear_regression"}, IRIS, "Algorithm 'linear_regression' cannot do classifi"),
    (
        {"target": "target", "algorithm": "logistic_regression"},
        sklearn_csv("diabetes"),
        "Algorithm 'logistic_regression' cannot do regression, which is what column 'target' needs: use linear_reg",
    ),
    (
        {"target": "a", "task": "classification"},
        to_csv(["a", "b"], [[i / 7, i] for i in range(40)]),
        "Column 'a' has 40",
    ),
    ({"target": "a"}, to_csv(["a", "b"], [["x", i] for i in range(40)]), "Column 'a' has only one value"),
    ({"target": "a"}, to_csv(["a", "b"], [["xy"[i > 38], i] for i in range(40)]), "Class 'y' has only one row"),
    ({"target": "a"}, to_csv(["a", "b"], [["xy"[i % 2], "same"] for i in range(40)]), "No column besides 'a' has any"),
    ({"target": "a"}, to_csv(["a", "b"], [["x", 1], ["y", 2]]), "Only 2 rows have a value in 'a'; at least 10"),
    ({"target": "a"}, "", "data.csv"),
    ({"target": "a"}, "a,b\n1,2\n3,4,5\n", "data.csv cannot be read as CSV"),
    ({"target": "a"}, "a,a\n1,2\n", "data.csv needs a name for each column, once: repeated or empty are ['a']."),
    ({"target": "a"}, b"\xff\xfea\x00,", "data.csv is not text in UTF-8, UTF-16"),
    ({"target": "a"}, b"\x00\x01\x02PK\x03\x04", "Column 'a' named as target is not in the data"),
]


def test_the_command_fails_with_the_reason_in_the_failure_file_and_the_traceback_on_stderr(job):
    done = job.write(IRIS, target="species").run()
    assert done.returncode == 1
    assert job.failure.startswith("Column 'species' named as target is not in the data; columns are: sepal length (cm)")
    assert "Traceback" in done.stderr
    assert progress_lines(done.stdout)[0]["event"] == "started"
    assert not (job.base / "model").exists()


@pytest.fixture(scope="module")
def failed(image: Image, tmp_path_factory: pytest.TempPathFactory) -> list[Job]:
    """One job per line of FAILURES, each ended with status 1."""
    jobs = [
        Job(tmp_path_factory.mktemp("failed"), image).write(table, **parameters) for parameters, table, _ in FAILURES
    ]
    command = [image.python, "-c", RUN_EACH, *(job.base for job in jobs)]
    done = subprocess.run(command, cwd=image.directory, capture_output=True, text=True, timeout=120)
    statuses = [line for line in done.stdout.splitlines() if line.startswith("status")]
    assert statuses == ["status 1"] * len(jobs), done.stderr
    return jobs


@pytest.mark.parametrize("index", range(len(FAILURES)), ids=[reason[:40] for _, _, reason in FAILURES])
def test_the_reason_comes_first_and_says_what_to_change(failed, index):
    reason = FAILURES[index][2]
    assert failed[index].failure.startswith(reason)
    assert len(failed[index].failure) <= 1024
    assert failed[index].failure_class == ("code" if reason.startswith("Parameter ") else "data")


def test_files_of_two_formats_are_refused_by_name(failed):
    job = failed[0]
    job.put("input/data/train/other.jsonl", '{"a": 1}\n')
    assert job.run().returncode == 1
    assert job.failure.endswith("found: data.csv, other.jsonl.")

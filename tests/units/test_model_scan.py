"""What the scanner's reports mean for a version.  `pytest tests/units/test_model_scan.py`"""

from typing import Any

import pytest

from lambdas.models.scan import outcome, scanned
from lambdas.models.schemas import ModelVersion, StoredFile

VERSION = ModelVersion(
    owner="ada",
    id="mdl-1",
    model_id="iris",
    version="v1",
    name="Iris",
    framework="sklearn",
    model_type="classification",
    status="scanning",
)


def file(filename: str, **fields: Any) -> StoredFile:
    known: dict[str, Any] = {"file_path": f"ada/iris/v1/{filename}", "file_size": 1, "file_type": ".pkl"}
    return StoredFile(filename=filename, **(known | fields))


def report(**fields: Any) -> dict[str, Any]:
    return {"filename": "model.pkl", "verdict": "clean", "sha256": "a" * 64} | fields


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        (["clean", "clean"], ("ready", "clean")),
        (["clean", "unscanned"], ("ready", "unscanned")),
        (["unscanned", "suspicious"], ("ready", "suspicious")),
        (["clean", "malicious", "suspicious"], ("blocked", "malicious")),
    ],
)
def test_a_version_is_as_bad_as_its_worst_file(verdicts: list[str], expected: tuple[str, str]):
    files = [scanned(file(f"{place}.pkl"), report(verdict=verdict)) for place, verdict in enumerate(verdicts)]
    changes = outcome(VERSION, files)
    assert (changes["status"], changes["verdict"]) == expected


def test_a_blocked_version_says_which_file_and_why():
    finding = {"severity": "malicious", "code": "import", "message": "It would call os.system."}
    changes = outcome(VERSION, [scanned(file("model.pkl"), report(verdict="malicious", findings=[finding]))])
    assert changes["reason"] == "model.pkl: It would call os.system."


@pytest.mark.parametrize(
    "broken",
    [
        {"filename": "model.pkl", "error": "Runtime exited"},
        report(verdict="fine"),
        report(sha256="not a hash"),
        report(findings=[{"severity": "clean"}]),
        report(metadata={"input_shape": ["x"]}),
    ],
)
def test_a_report_that_is_none_leaves_the_file_unscanned(broken: dict[str, Any]):
    found = scanned(file("model.pkl"), broken)
    assert (found.scanned, found.verdict, found.file_hash) == (True, "unscanned", None)
    assert found.findings[0].code == "not_scanned"


def test_nothing_said_changes_nothing():
    assert scanned(file("model.pkl"), None) == file("model.pkl")


def test_the_primary_file_is_asked_first():
    files = [
        scanned(file("a.onnx"), report(framework="onnx", metadata={"num_parameters": 1, "input_shape": [4]})),
        scanned(file("b.pt", is_primary=True), report(framework="pytorch", metadata={"num_parameters": 2})),
        scanned(file("requirements.txt"), report(metadata={"dependencies": ["numpy==2.0"]})),
    ]
    changes = outcome(VERSION, files)
    assert changes["detected_framework"] == "pytorch"
    assert (changes["num_parameters"], changes["input_shape"]) == (2, [4])
    assert changes["dependencies"] == ["numpy==2.0"]
    assert "framework" not in changes  # what was declared stays


def test_what_the_owner_said_stays():
    said = VERSION.model_copy(update={"num_parameters": 7})
    changes = outcome(said, [scanned(file("model.pkl", is_primary=True), report(metadata={"num_parameters": 2}))])
    assert "num_parameters" not in changes

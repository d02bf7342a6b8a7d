"""The settings of an endpoint made from a shell, and what becomes of them.

Run: python -m pytest tests/units/operations/test_inference_command.py
"""

import json
from pathlib import Path
from typing import Any

import pytest

from operations import inference
from operations.inference_settings import InferenceSettings, read, variables
from operations.terminal import OperationError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / ".env"


def test_a_file_of_variables_is_read_as_shells_read_it() -> None:
    text = """
    # a comment
    A=1
    export B = "two words"  # why
    C='#3'
    D=4 # why
    E=
    not a variable
    """
    assert variables(text) == {"A": "1", "B": "two words", "C": "#3", "D": "4", "E": ""}


def test_the_environment_goes_before_the_file(file: Path) -> None:
    file.write_text("MODEL_ID=cancer\nSAGEMAKER_ENDPOINT_INFERENCE=ours\nUNKNOWN=1\nGPU_INSTANCE_TYPE=\n")
    found = read(file, {"MODEL_ID": "iris@v2", "PATH": "/bin"})
    assert (found.model, found.SAGEMAKER_ENDPOINT_INFERENCE) == ({"model_id": "iris", "version": "v2"}, "ours")
    assert found.GPU_INSTANCE_TYPE is None
    assert read(file, {}).model == {"model_id": "cancer"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TEMPERATURE_INFERENCE", "warm"),
        ("MAX_NEW_TOKENS_INFERENCE", "0"),
        ("ENDPOINT_TYPE", "BOTH"),
        ("MODEL_ID", "a b"),
    ],
)
def test_a_wrong_setting_is_named(file: Path, name: str, value: str) -> None:
    with pytest.raises(OperationError, match=name):
        read(file, {name: value})


def test_no_model_is_asked_for() -> None:
    with pytest.raises(OperationError, match="MODEL_ID="):
        inference.request_of(InferenceSettings())


@pytest.mark.parametrize(
    ("settings", "request_"),
    [
        ({"MODEL_ID": "iris"}, {"name": "inference", "model": {"model_id": "iris"}}),
        (
            {"MODEL_ID": "ada/llama@champion", "GPU_INSTANCE_TYPE": "ml.g5.xlarge", "ENDPOINT_TYPE": "MODEL_BASED"},
            {
                "name": "inference",
                "model": {"model_id": "llama", "version": "champion", "user_id": "ada"},
                "instance_type": "ml.g5.xlarge",
                "kind": "model_based",
            },
        ),
    ],
)
def test_settings_become_a_registration(settings: dict[str, Any], request_: dict[str, Any]) -> None:
    assert inference.request_of(InferenceSettings(**settings)) == request_


def test_a_text_is_sent_with_the_settings_of_a_language_model(tmp_path: Path) -> None:
    settings = InferenceSettings(MAX_NEW_TOKENS_INFERENCE=64, TEMPERATURE_INFERENCE=0)
    body, kind = inference.body_of(settings, "to be", "Go on:", None)
    sent = {"inputs": "Go on:\nto be", "parameters": {"max_new_tokens": 64, "temperature": 0}}
    assert (json.loads(body), kind) == (sent, "application/json")
    rows = tmp_path / "rows.csv"
    rows.write_text("a,b\n1,2\n")
    assert inference.body_of(settings, None, None, str(rows)) == (b"a,b\n1,2\n", "text/csv")
    for nothing in (None, str(tmp_path / "none.json")):
        with pytest.raises(OperationError, match="BODY="):
            inference.body_of(settings, None, None, nothing)


def test_a_name_that_several_endpoints_have_is_not_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [{"id": f"ep-{n}", "name": "twin", "status": "in_service"} for n in (1, 2)]
    monkeypatch.setattr(inference, "endpoints", lambda api: found)
    api: Any = None
    with pytest.raises(OperationError, match="ep-1, ep-2"):
        inference.the_one(api, "twin", {"in_service"})
    assert inference.the_one(api, "ep-2", {"in_service"}) == found[1]
    with pytest.raises(OperationError, match="is in_service, in_service"):
        inference.the_one(api, "twin", {"failed"})


def test_nothing_is_deleted_without_a_name() -> None:
    for rest in ([], [""]):
        with pytest.raises(OperationError, match="ENDPOINT_NAME="):
            inference.main(["local", "delete", *rest])

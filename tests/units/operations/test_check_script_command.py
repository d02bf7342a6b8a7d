"""`make check-script`: the example passes, and what is wrong with a script is said in a sentence.

Run: python -m pytest tests/units/operations/test_check_script_command.py
"""

import asyncio
import subprocess
from pathlib import Path

import pytest

from local.home import CACHE, REPOSITORY
from local.sagemaker import processes
from operations import check_script
from operations.terminal import OperationError
from tests.script_zips import EXAMPLE, HOSTILE, packed

pytestmark = pytest.mark.thorough

QUIET = """
import json, os, pathlib
model = pathlib.Path(json.load(open(os.environ["SLIPWAY_CONFIG"]))["model_folder"])
(model / "model.bin").write_bytes(b"x")
(model / "metrics.json").write_text(json.dumps({"metrics": {"loss": 1}}))
"""
ASKING = """
import socket
socket.create_connection(("1.1.1.1", 443), 5)
"""


def test_the_example_is_what_the_platform_takes(capsys: pytest.CaptureFixture[str]) -> None:
    assert check_script.main([str(EXAMPLE)]) == 0
    said = capsys.readouterr().out
    assert "The ZIP can be used: 2 files" in said
    assert "and left manifest.json, metrics.json, model.joblib." in said
    assert 'The platform would register it with {"test_accuracy": 0.9' in said


@pytest.mark.thorough
def test_the_example_runs_from_a_clean_clone(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    source = ["git", "clone", "--quiet", "--depth", "1", f"file://{REPOSITORY}", str(clone)]
    if subprocess.run(source, capture_output=True).returncode:
        pytest.skip("This copy of the sources is no git repository.")
    # What the clone would install is here already.
    (clone / ".venv").symlink_to(REPOSITORY / ".venv")
    (clone / ".slipway").mkdir()
    (clone / ".slipway" / "cache").symlink_to(CACHE)
    command = ["make", "--assume-old=requirements.txt", "check-script", "SCRIPT=examples/custom_script"]
    done = subprocess.run(command, cwd=clone, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The platform would register it with" in done.stdout


@pytest.mark.parametrize(
    ("archive", "sentence"),
    [
        (HOSTILE["above"][0], "The ZIP has an entry '../train.py' that leaves its folder"),
        (packed({"main.py": ""}), "The ZIP has no train.py: name the script as entry_point"),
    ],
)
def test_a_zip_that_the_platform_refuses_is_not_run(
    archive: bytes, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.zip").write_bytes(archive)
    assert check_script.main([str(tmp_path / "mine.zip")]) == 1
    assert capsys.readouterr().out.startswith(sentence)


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (QUIET, "It printed no progress line, so nobody sees how far it is"),
        ("print('nothing')", "The script wrote no model: nothing but metrics.json is in model_folder."),
        (ASKING, "The script ended with exit code 1. It said last: OSError: [Errno 101] Network is unreachable"),
    ],
)
def test_what_a_script_does_wrong_is_said_last(
    code: str, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if code == ASKING and not asyncio.run(processes.network_isolation_available()):
        pytest.skip("This machine cannot take the network from a program.")
    (tmp_path / "train.py").write_text(code)
    assert check_script.main([str(tmp_path)]) == 1
    assert capsys.readouterr().out.splitlines()[-1].startswith(sentence)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(OperationError, match="no folder and no ZIP at"):
        check_script.main([str(tmp_path / "none")])
    with pytest.raises(OperationError, match="no file at none"):
        check_script.main([str(EXAMPLE), "--data", "none"])

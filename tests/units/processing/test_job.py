"""The SageMaker Processing job as a process of its own, in folders like /opt/ml: reports, refusals, failures, SIGTERM.

Run: python -m pytest tests/units/processing/test_job.py
"""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from local.images import copied, entrypoint

pytestmark = pytest.mark.thorough

ROOT = Path(__file__).parents[3]
CSV = b"age,name\n31,Ada\n45,Grace\n,Edsger\n"


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A folder like /opt/ml with one CSV file in it."""
    put_job(tmp_path, "tabular", "csv", {"people.csv": CSV})
    return tmp_path


def put_job(base: Path, type: str, format: str, files: dict[str, bytes], changed: dict[str, Any] | None = None) -> None:
    """Lay out what SageMaker would: the request and the files."""
    (base / "processing/input/request").mkdir(parents=True)
    (base / "processing/input/files").mkdir()
    for name, data in files.items():
        (base / "processing/input/files" / name).write_bytes(data)
    listed = [
        {"name": name, "bucket": "datasets", "key": f"ada/ds-1/v0001/files/{name}", "size": len(data)}
        for name, data in files.items()
    ]
    request = {"type": type, "format": format, "output": "ada/ds-1/v0001/processed/", "files": listed}
    request |= changed or {}
    (base / "processing/input/request/request.json").write_text(json.dumps(request))


def run(base: Path, code: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run the job, or some code of a test, as the image would."""
    command = [sys.executable, "-c", code] if code else [sys.executable, "-m", "lambdas.processing"]
    environment = os.environ | {"SAGEMAKER_BASE_DIR": str(base)}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)


def report(base: Path) -> dict[str, Any]:
    return json.loads((base / "processing/output/report.json").read_text())


def message(base: Path) -> str:
    return (base / "output/message").read_text()


def test_a_dataset_is_read_and_reported(base: Path) -> None:
    done = run(base)
    assert done.returncode == 0, done.stderr
    found = report(base)
    assert found["refused"] is None
    assert found["rows"] == 3
    assert [(column["name"], column["type"], column["missing"]) for column in found["columns"]] == [
        ("age", "number", 1),
        ("name", "text", 0),
    ]
    assert found["files"][0]["size"] == len(CSV)
    preview = json.loads((base / "processing/output/preview.json").read_text())
    assert preview["columns"] == ["age", "name"]
    assert not (base / "output/message").exists()


def test_a_refused_dataset_is_a_finished_job(tmp_path: Path) -> None:
    put_job(tmp_path, "tabular", "parquet", {"people.parquet": b"no parquet"})
    done = run(tmp_path)
    assert done.returncode == 0, done.stderr
    assert report(tmp_path)["refused"] in done.stdout


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"files": [{"name": "people.csv", "bucket": "b", "key": "k", "size": 5}]}, "has 33 bytes; 5 bytes were asked"),
        ({"files": [{"name": "absent.csv", "bucket": "b", "key": "k", "size": 5}]}, "absent.csv is not there"),
        ({"files": [{"name": "../x.csv", "bucket": "b", "key": "k", "size": 5}]}, "'../x.csv' is no name of a file"),
        ({"files": [{"name": "people.csv"}]}, "The request is not complete: KeyError: 'bucket'"),
        ({"format": "docx"}, "KeyError: 'docx'"),
    ],
)
def test_a_failure_is_told_at_the_end_of_the_log_and_in_the_exit_message(
    tmp_path: Path, changed: dict[str, Any], reason: str
) -> None:
    put_job(tmp_path, "tabular", "csv", {"people.csv": CSV}, changed)
    done = run(tmp_path)
    assert done.returncode == 1
    assert reason in message(tmp_path)
    assert done.stderr.splitlines()[-1] == message(tmp_path)
    assert not (tmp_path / "processing/output/report.json").exists()


def test_the_exit_message_fits_into_sagemakers(tmp_path: Path) -> None:
    put_job(tmp_path, "tabular", "x" * 5000, {"people.csv": CSV})
    assert run(tmp_path).returncode == 1
    assert len(message(tmp_path)) == 1024


def test_a_lack_of_memory_is_told_in_words(base: Path) -> None:
    code = (
        "import os, pathlib\n"
        "from lambdas.processing import __main__ as job\n"
        "def process(*_): raise MemoryError\n"
        "job.process = process\n"
        "raise SystemExit(job.main(pathlib.Path(os.environ['SAGEMAKER_BASE_DIR'])))\n"
    )
    assert run(base, code).returncode == 1
    assert "out of memory" in message(base)


def test_sigterm_ends_it_at_once(base: Path) -> None:
    code = (
        "import os, pathlib, signal\n"
        "from lambdas.processing import __main__ as job\n"
        "def process(*_):\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    raise AssertionError('still there')\n"
        "job.process = process\n"
        "raise SystemExit(job.main(pathlib.Path(os.environ['SAGEMAKER_BASE_DIR'])))\n"
    )
    done = run(base, code)
    assert done.returncode == 128 + signal.SIGTERM
    assert done.stdout == "Stopped.\n"
    assert not (base / "output/message").exists()


def test_the_job_asks_for_no_library_of_aws(base: Path) -> None:
    code = (
        "import os, pathlib, sys\n"
        "from lambdas.processing import __main__ as job\n"
        "assert job.main(pathlib.Path(os.environ['SAGEMAKER_BASE_DIR'])) == 0\n"
        "print({'boto3', 'botocore', 'pydantic', 'lambdas.common'} & {*sys.modules})\n"
    )
    assert run(base, code).stdout.splitlines()[-1] == "set()"


def test_the_image_holds_all_that_it_imports(base: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    program = tmp_path_factory.mktemp("image")
    for source, place in copied(ROOT, "lambdas/processing/Dockerfile"):
        (program / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, program / place)
    dockerfile = (ROOT / "lambdas/processing/Dockerfile").read_text()
    checked = re.findall(r'^RUN (python -c ".+?")$', dockerfile.replace("\\\n", ""), re.MULTILINE)
    environment = os.environ | {"SAGEMAKER_BASE_DIR": str(base)}
    for command in (shlex.split(checked[0]), entrypoint(ROOT / "lambdas/processing/Dockerfile")):
        command[0] = sys.executable
        done = subprocess.run(command, cwd=program, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert report(base)["rows"] == 3

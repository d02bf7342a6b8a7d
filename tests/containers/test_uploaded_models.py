"""Models that were not trained here, each written by its own library and served by the image's own `serve`.

.venv/bin/python -m pytest tests/containers/test_uploaded_models.py
"""

import hashlib
import json
import os
import shutil
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lambdas.endpoints import servable
from lambdas.models.manifest import Manifest
from lambdas.models.scan import outcome, scanned
from lambdas.models.schemas import ModelFile, ModelVersion, StoredFile
from lambdas.scanner.registry import scan_file
from lambdas.scanner.report import FileReport
from lambdas.scanner.source import BytesSource
from local.cloud import Image
from tests.containers.jobs import Job
from training_containers.common import served_files
from training_containers.huggingface import uploaded as uploaded_huggingface
from training_containers.tabular import uploaded as uploaded_tabular

TABULAR = ["pickle", "joblib", "skops", "onnx", "onnx-inputs", "xgboost-json", "xgboost-ubj", "lightgbm"]
QUICK = ["classifier", "language"]
HUGGING_FACE = [*QUICK, *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("tagger", "vision", "diffusion"))]
VERSION = ModelVersion(
    owner="ada",
    id="mdl-01m7x9pxfk4b3pwqvzg",
    model_id="brought",
    version="v1",
    name="Brought",
    framework="other",
    model_type="other",
    status="ready",
)
Made = Callable[[str], Path]


@pytest.fixture(scope="session")
def made(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models of rows and columns, and what their libraries answer."""
    return make(image, "tabular", tmp_path_factory.mktemp("brought"))


@pytest.fixture(scope="session")
def made_huggingface(huggingface_image: Image, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models of transformers and diffusers, and what their libraries answer."""
    return make(huggingface_image, "huggingface", tmp_path_factory.mktemp("brought"))


def make(image: Image, maker: str, folder: Path) -> Path:
    script = Path(__file__).with_name("uploaded_models.py")
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([image.python, script, maker, folder], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def brought(job: Job, folder: Path) -> list[StoredFile]:
    """Put a version's files where SageMaker puts them, with the list that the registry makes of them."""
    shutil.copytree(folder, job.base / "model")
    files = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        content, name = path.read_bytes(), path.relative_to(folder).as_posix()
        file = StoredFile(
            filename=name,
            file_path=f"{VERSION.prefix}{name}",
            file_size=len(content),
            file_type="",
            crc32=zlib.crc32(content),
        )
        report = FileReport(name, hashlib.sha256(content).hexdigest(), scan_file(BytesSource(content), name))
        files.append(scanned(file, report.to_json()))
    changes = outcome(VERSION, files)
    assert changes["verdict"] == "clean", [file for file in files if file.verdict != "clean"]
    record = VERSION.model_copy(update=changes).model_dump(mode="json", exclude={"holds"})
    job.put("model/.slipway/registry.json", Manifest(record=record, files=files).model_dump_json())
    return files


def document(folder: Path) -> servable.Document:
    return lambda name: json.loads((folder / name).read_text())


def alike(found: Any, expected: Any) -> bool:
    """Whether two JSON values are the same, numbers to within what threads and batches change."""
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(alike(found[key], expected[key]) for key in expected)
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(alike, found, expected))
    return found == (pytest.approx(expected, rel=1e-5, abs=1e-6) if isinstance(expected, float) else expected)


@pytest.mark.parametrize("kind", TABULAR)
def test_a_model_of_rows_answers_as_its_library_does(made, job, kind):
    files = brought(job, made / kind)
    chosen = servable.servable(VERSION, list(files), document(made / kind), "models")
    assert chosen == servable.Servable("tabular", "s3://models/ada/brought/v1/")
    asked = json.loads((made / f"{kind}.json").read_text())
    with job.serve() as server:
        answer = server.post(asked["request"])
        assert answer.status_code == 200, answer.text
        assert alike(answer.json()["predictions"], asked["expected"])
        alone = [server.post({"instances": [each]}).json()["predictions"][0] for each in asked["request"]["instances"]]
        assert alike(alone, asked["expected"])
        refused = server.post({"instances": [["no", "such", "row", "at", "all"]]})
        assert refused.status_code == 400, refused.text
        assert refused.json()["detail"].startswith("Row 1: ")


@pytest.mark.thorough
@pytest.mark.parametrize("kind", HUGGING_FACE)
def test_a_model_of_hugging_face_answers_as_its_library_does(made_huggingface, huggingface_image, tmp_path, kind):
    job = Job(tmp_path, huggingface_image)
    files = brought(job, made_huggingface / kind)
    chosen = servable.servable(VERSION, list(files), document(made_huggingface / kind), "models")
    assert chosen == servable.Servable("huggingface", "s3://models/ada/brought/v1/", generates_text=kind == "language")
    asked = json.loads((made_huggingface / f"{kind}.json").read_text())
    with job.serve() as server:
        answer = server.post(asked["request"])
    assert answer.status_code == 200, answer.text
    found = answer.json()["predictions"]
    if kind == "language":
        found = [each["text"] for each in found]
    if kind == "diffusion":
        found = [each["image"] for each in found]
    assert alike(found, asked["expected"])


def test_csv_with_and_without_a_header(made, job):
    brought(job, made / "xgboost-ubj")
    asked = json.loads((made / "xgboost-ubj.json").read_text())
    rows = [[row[name] for name in "dcba"] for row in asked["request"]["instances"]]
    turned = "d,c,b,a\n" + "\n".join(",".join(map(str, row)) for row in rows)
    plain = "\n".join(",".join(map(str, row[::-1])) for row in rows)
    with job.serve() as server:
        for table in (turned, plain):
            answer = server.post(table, "text/csv")
            assert answer.status_code == 200, answer.text
            assert alike(answer.json()["predictions"], asked["expected"])
        broken = server.post("1,2\n", "text/csv")
        assert (broken.status_code, broken.json()["detail"]) == (400, "Row 1: it has 2 values; the model needs 4.")


def ended(job: Job) -> str:
    """What `serve` says as it gives up."""
    environment = job.environment(SAGEMAKER_BIND_TO_PORT="0")
    done = subprocess.run([job.commands / "serve"], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, done.stderr
    return done.stderr


@pytest.mark.parametrize("harm", ["changed", "missing", "added", "changed-without-sha256"])
def test_files_that_are_not_those_of_the_registry_are_not_loaded(made, job, harm):
    brought(job, made / "pickle")
    file = job.base / "model/forest.pkl"
    if harm == "missing":
        file.unlink()
    elif harm == "added":
        job.put("model/added.py", "print('loaded')")
    else:
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    if harm == "changed-without-sha256":  # as the registry lists files of more than 1 GiB
        registry = job.json("model/.slipway/registry.json")
        registry["files"][0]["file_hash"] = None
        job.put("model/.slipway/registry.json", json.dumps(registry))
    assert ("added.py" if harm == "added" else "forest.pkl") in ended(job)


def test_a_malicious_version_is_not_loaded(made, job):
    brought(job, made / "pickle")
    registry = job.json("model/.slipway/registry.json")
    registry["record"]["verdict"] = "malicious"
    job.put("model/.slipway/registry.json", json.dumps(registry))
    assert "malicious" in ended(job)


def test_the_model_of_a_custom_job_is_served(made, job):
    content = (made / "pickle/forest.pkl").read_bytes()
    listed = [{"name": "forest.pkl", "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}]
    job.put("model/forest.pkl", content)
    job.put("model/manifest.json", json.dumps({"training_type": "custom", "framework": "sklearn", "files": listed}))
    asked = json.loads((made / "pickle.json").read_text())
    with job.serve() as server:
        assert alike(server.post(asked["request"]).json()["predictions"], asked["expected"])
    job.put("model/forest.pkl", content + b"more")
    assert "forest.pkl" in ended(job)


def test_a_request_beside_the_model_warms_it_and_must_be_one_that_it_answers(made, job):
    folder = job.base / "made"
    shutil.copytree(made / "joblib", folder)
    (folder / "sample.json").write_text('{"instances": [{"colour": "red", "size": "round"}]}')
    brought(job, folder)
    assert "lacks column 'shape'" in ended(job)


def test_containers_and_control_plane_choose_by_the_same_names():
    for name in ("LOADERS", "WELL_KNOWN", "BY_FORMAT", "TORCH"):
        assert getattr(served_files, name) == getattr(servable, name)
    assert uploaded_huggingface.TASKS == servable.TASKS
    loaders = {*servable.LOADERS.values(), *servable.WELL_KNOWN.values(), *servable.BY_FORMAT.values()}
    assert loaders == uploaded_tabular.MODULES.keys()


@pytest.mark.parametrize("name", [*servable.LOADERS, "model.txt", "model.json", "model.pt", "readme.md", "config.json"])
@pytest.mark.parametrize("format", [None, "xgboost", "lightgbm", "json", "torch"])
def test_containers_and_control_plane_agree_on_every_file(name, format):
    name = name if "." in name else f"model.{name}"
    file = ModelFile(filename=f"a/{name}", file_path="", file_size=1, file_type="", format=format)
    container = served_files.loader_of(served_files.ServedFile(f"a/{name}", None, format=format))
    assert container == servable.loader_of(file)

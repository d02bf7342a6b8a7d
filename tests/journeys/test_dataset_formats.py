"""Every type and format of dataset through the running platform, as its users have it, and training from tables.

.venv/bin/python -m pytest tests/journeys/test_dataset_formats.py
"""

import csv
import hashlib
import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from PIL import Image

from cdk_app.bundle import build, local_target
from cdk_app.bundle_contents import CONTENTS
from lambdas.datasets.formats import FORMATS
from local.api_client import ApiClient, ApiError
from stacks.functions import handlers
from tests.journeys.conftest import ENDED, PARAMETERS
from tests.journeys.dataset_samples import SAMPLES, Sample
from tests.journeys.hostile_samples import broken, encrypted, huge, slip
from tests.platform import Platform

READ = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from lambdas.processing.process import process
from lambdas.processing.source import local_file
for type, format, folder, output in json.load(sys.stdin):
    process([local_file(path) for path in sorted(Path(folder).iterdir())], type, format, Path(output))
"""
TRAINED = ("tabular csv", "tabular parquet", "tabular excel", "tabular jsonl")


@dataclass(frozen=True)
class Uploaded:
    """A sample that went through the platform: its files, and the dataset at rest."""

    sample: Sample
    folder: Path
    dataset: dict[str, Any]

    @property
    def files(self) -> dict[str, bytes]:
        return contents(self.folder)


@pytest.fixture(scope="module")
def user(new_user: Callable[[], ApiClient]) -> ApiClient:
    """A user without other datasets."""
    return new_user()


@pytest.fixture(scope="module")
def uploaded(user: ApiClient, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Uploaded]:
    """Every sample, created by one request."""
    folders = {name: tmp_path_factory.mktemp("files") for name in SAMPLES}
    samples = {name: make(folders[name]) for name, make in SAMPLES.items()}
    found = put_all(user, {name: contents(folder) for name, folder in folders.items()})
    return {name: Uploaded(samples[name], folders[name], found[name]) for name in SAMPLES}


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def put_all(api: ApiClient, files: dict[str, dict[str, bytes]]) -> dict[str, dict[str, Any]]:
    """Create datasets at once, upload each by its plan, and return them at rest; names begin with type and format.

    One after the other is processed: each at the same time would need a function's worker of its own.
    """
    wanted = [
        {"name": name, "type": name.split()[0], "format": name.split()[1]}
        | {"files": [{"filename": filename, "size": len(content)} for filename, content in parts.items()]}
        for name, parts in files.items()
    ]
    created = api.call("POST", "/datasets/bulk", {"datasets": wanted})["items"]
    at_rest = dict[str, dict[str, Any]]()
    for item, (name, parts) in zip(created, files.items(), strict=True):
        assert item["error"] is None, item
        for filename, content in parts.items():
            api.upload_parts(content, item["dataset"]["uploads"][filename])
        path = f"/datasets/{item['dataset']['id']}"
        api.call("POST", f"{path}/complete")
        at_rest[name] = api.wait(path, "ready", "failed")
    return at_rest


# ------------------------------------------------------------------------------------------------- every format


def test_there_is_a_sample_of_every_type_and_format() -> None:
    listed = {f"{type} {format}" for type, formats in FORMATS.items() for format in formats}
    assert {" ".join(name.split()[:2]) for name in SAMPLES} == listed


@pytest.mark.parametrize("name", SAMPLES)
def test_a_dataset_is_ready_with_the_figures_of_its_files(
    user: ApiClient, uploaded: dict[str, Uploaded], name: str
) -> None:
    sample, dataset = uploaded[name].sample, uploaded[name].dataset
    assert (dataset["status"], dataset["reason"]) == ("ready", None)
    assert (dataset["rows"], dataset["size"]) == (len(sample.examples), sum(map(len, uploaded[name].files.values())))
    profile = user.call("GET", f"/datasets/{dataset['id']}/profile")
    assert named_in(sample.profile, profile) == sample.profile
    assert (profile["rows"], profile["duplicates"], profile["defects"]) == (len(sample.examples), 0, [])


def named_in(wanted: Any, found: Any) -> Any:
    """Return of `found` what `wanted` names; lists of columns and of values become dictionaries by their names."""
    if not isinstance(wanted, dict):
        return found
    if isinstance(found, list):
        found = {item.get("name", item.get("value")): item for item in found}
    return {key: named_in(value, found.get(key)) for key, value in wanted.items()}


@pytest.mark.parametrize("name", SAMPLES)
def test_what_trains_holds_what_was_put_in(
    platform: Platform, uploaded: dict[str, Uploaded], user: ApiClient, name: str
) -> None:
    sample = uploaded[name].sample
    kept = objects_of(platform, f"{user.username}/{uploaded[name].dataset['id']}/v0001/")
    assert {key for key in kept if key.startswith("files/")} == {f"files/{name}" for name in uploaded[name].files}
    converted = [key for key in kept if key.startswith("processed/converted/")]
    assert converted == ([f"processed/converted/{sample.converted}"] if sample.converted else [])
    for key in converted:
        assert rows_of(key, kept[key].decode()) == sample.examples
    if name.startswith(("image", "audio", "video")):
        found = [json.loads(line) for line in kept["processed/examples/examples.jsonl"].decode().splitlines()]
        parts = [{key: line.get(key) for key in row} for line, row in zip(found, sample.examples, strict=True)]
        assert parts == sample.examples


def test_the_bundle_alone_reads_them_all(user: ApiClient, uploaded: dict[str, Uploaded], tmp_path: Path) -> None:
    """Local workers also see what is installed beside them: here nothing hides what the bundle lacks."""
    bundle = build(local_target(), CONTENTS["processing"], handlers("processing"))  # the one that was deployed
    with zipfile.ZipFile(bundle.path) as archive:
        archive.extractall(tmp_path / "bundle")
    outputs = {name: tmp_path / name for name in SAMPLES}
    for output in outputs.values():
        output.mkdir()
    wanted = [[*name.split()[:2], str(uploaded[name].folder), str(outputs[name])] for name in SAMPLES]
    # -S: without it the interpreter's own site-packages would be there.
    command = [sys.executable, "-I", "-S", "-c", READ, str(tmp_path / "bundle")]
    subprocess.run(command, input=json.dumps(wanted), text=True, check=True)
    for name, output in outputs.items():
        report = json.loads((output / "report.json").read_text())
        profile = user.call("GET", f"/datasets/{uploaded[name].dataset['id']}/profile")
        assert {key: report[key] for key in profile} == profile


def objects_of(platform: Platform, prefix: str) -> dict[str, bytes]:
    """Return the objects below a prefix in the datasets bucket, by what follows it."""
    bucket = platform.client("ssm").get_parameter(Name="/slipway/local/datasets-bucket")["Parameter"]["Value"]
    s3 = platform.client("s3")
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]]
    return {key.removeprefix(prefix): s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}


def rows_of(key: str, text: str) -> list[dict[str, Any]]:
    """Return the rows of JSON Lines, or of a CSV whose last column alone is no number."""
    if key.endswith(".jsonl"):
        return [json.loads(line) for line in text.splitlines()]
    *numbers, last = next(csv.reader(io.StringIO(text)))
    rows = csv.DictReader(io.StringIO(text))
    return [{name: float(row[name]) for name in numbers} | {last: row[last]} for row in rows]


@pytest.mark.parametrize("name", SAMPLES)
def test_the_files_come_back_and_are_shown(user: ApiClient, uploaded: dict[str, Uploaded], name: str) -> None:
    files, dataset = uploaded[name].files, uploaded[name].dataset
    downloads = user.call("GET", f"/datasets/{dataset['id']}/download")["files"]
    assert {file["filename"]: requests.get(file["url"], timeout=60).content for file in downloads} == files
    assert {file["filename"]: file["sha256"] for file in downloads} == {
        filename: hashlib.sha256(content).hexdigest() for filename, content in files.items()
    }
    preview = user.call("GET", f"/datasets/{dataset['id']}/preview")
    assert len(preview["rows"]) == min(100, dataset["rows"])
    shown = [requests.get(url, timeout=60).content for url in preview["thumbnails"]]
    assert len(shown) == (dataset["rows"] if name.startswith("image") else 0)
    for content in shown:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            assert (image.format, max(image.size) <= 256) == ("WEBP", True)


# ----------------------------------------------------------------------------------------------------- training


def test_tables_of_every_format_train_the_same_model(
    platform: Platform, user: ApiClient, uploaded: dict[str, Uploaded]
) -> None:
    request = {"name": "Cancer", "parameters": PARAMETERS}
    ids = {name: uploaded[name].dataset["id"] for name in TRAINED}
    started = {name: user.call("POST", "/jobs", request | {"dataset_id": id}) for name, id in ids.items()}
    measured = list[dict[str, float]]()
    for name, job in started.items():
        ended = user.wait(f"/jobs/{job['id']}", *ENDED)
        assert ended["status"] == "completed", (name, ended["reason"])
        folder = "processed/converted/" if uploaded[name].sample.converted else "files/"
        assert trained_from(platform, job["id"]).endswith(f"/{user.username}/{ids[name]}/v0001/{folder}")
        measured.append(ended["progress"]["metrics"])
    assert measured[0]["test_accuracy"] > 0.9
    assert measured == [measured[0]] * len(TRAINED)


def trained_from(platform: Platform, job_id: str) -> str:
    """Return the S3 prefix that SageMaker copied into the container."""
    sagemaker = platform.client("sagemaker")
    (run,) = sagemaker.list_training_jobs(NameContains=job_id)["TrainingJobSummaries"]
    job = sagemaker.describe_training_job(TrainingJobName=run["TrainingJobName"])
    (source,) = [one["DataSource"] for one in job["InputDataConfig"] if one["ChannelName"] == "train"]
    return source["S3DataSource"]["S3Uri"]


@pytest.mark.parametrize(
    ("name", "target", "code"),
    [
        ("text csv", "city", "wrong_type"),
        ("image zip of class folders", "label", "wrong_type"),
        ("video mp4", "label", "trains_nothing_yet"),
        ("tabular parquet", "weight", "unknown_column"),
    ],
)
def test_a_job_is_refused_in_the_words_of_readiness(
    user: ApiClient, uploaded: dict[str, Uploaded], name: str, target: str, code: str
) -> None:
    id = uploaded[name].dataset["id"]
    asked = {"training_type": "tabular", "target": target}
    (found,) = user.call("GET", f"/datasets/{id}/readiness", params=asked)["items"]
    assert (found["ready"], found["problems"][0]["code"]) == (False, code)
    with pytest.raises(ApiError) as refused:
        user.call("POST", "/jobs", {"name": "No", "dataset_id": id, "parameters": PARAMETERS | {"target": target}})
    said = [f"{problem['message']} {problem['fix']}" for problem in found["problems"]]
    body: dict[str, Any] = refused.value.body
    assert (refused.value.status, body["detail"]) == (400, said[0])
    assert [error["message"] for error in body["errors"]] == said


# ---------------------------------------------------------------------------------------------------- hostile files


def test_hostile_files_fail_with_a_reason_and_the_platform_goes_on(
    user: ApiClient, uploaded: dict[str, Uploaded]
) -> None:
    (table,) = uploaded["tabular parquet"].files.values()
    (images,) = uploaded["image zip of class folders"].files.values()
    (sounds,) = uploaded["audio zip"].files.values()
    hostile: dict[str, tuple[str, bytes, str]] = {
        "image zip that is encrypted": ("data.zip", encrypted(images), "encrypted"),
        "audio zip that is encrypted": ("data.zip", encrypted(sounds), "encrypted"),
        "image zip that leaves its folder": ("data.zip", slip(images), "leaves its folder"),
        "image png of four gigapixels": ("huge.png", huge(), "more than 100,000,000 pixels"),
        "tabular parquet with a broken footer": ("rows.parquet", broken(table), "cannot be read as Parquet"),
        "tabular parquet without a footer": ("rows.parquet", table[: len(table) // 2], "has no footer"),
    }
    failed = put_all(user, {name: {filename: content} for name, (filename, content, _) in hostile.items()})
    for name, (_, _, word) in hostile.items():
        assert failed[name]["status"] == "failed" and word in failed[name]["reason"], (name, failed[name])
        assert user.request("GET", f"/datasets/{failed[name]['id']}/profile").status_code == 409
    good = put_all(user, {name: uploaded[name].files for name in ("image zip of class folders", "tabular parquet")})
    for name, dataset in good.items():
        assert (dataset["status"], dataset["rows"]) == ("ready", uploaded[name].dataset["rows"])

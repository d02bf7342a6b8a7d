"""From the release before this tree to this tree, while a job runs.  `pytest tests/journeys/test_upgrade.py`

The emulator stands for AWS and stays the same; what is deployed to it changes, as `cdk deploy` changes a stage.
"""

from __future__ import annotations

import contextlib
import io
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lambdas.common.items import from_item
from local import __main__ as commands
from local import deploy, program
from local.api_client import ApiClient
from local.assembly import assembly
from local.home import CACHE, REPOSITORY
from local.outputs import DEPLOYED
from tests.journeys.conftest import ENDED, PASSWORD, train, upload
from tests.journeys.records import Records
from tests.journeys.test_custom_script import send, start
from tests.journeys.test_failures import processes
from tests.platform import SETTINGS, Platform
from tests.script_zips import packed

RELEASE = re.compile(r"^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d{2}-\d{2}\n+Commit ([0-9a-f]{7,40})\.", re.MULTILINE)
RECORDS = {"ds", "dsv", "scr", "job", "metric#", "mdl", "ep"}
# Counters, pointers and lists of ids, which are of version 1 for as long as their attributes mean what they do: each is
# read by the names it has and changed by `ADD` or as a whole, and none holds what a person wrote.
BESIDE_RECORDS = {
    "000000000": "the search index's lists of ids",
    "a partition of its own": "who is awake, and what was done on a day",
    "contribution#": "counter",
    "usage#": "counter",
    "runs#": "counter",
    "storage#": "counter",
    "latest#": "pointer",
    "shard": "a part of the counts that GET /metrics shows",
    "request#": "the mark of a request that is counted",
    "name#": "pointer",
}
OF_THE_MOMENT = {"time_left_seconds", "cost_so_far", "utilization", "used_by", "updated_at"}
# It ends when a file appears in its folder, and not before: the job runs for as long as the test needs.
SCRIPT = """
import json, os, time
from pathlib import Path
import joblib
from sklearn.linear_model import LogisticRegression
config = json.loads(Path(os.environ["SLIPWAY_CONFIG"]).read_text())
print("waiting", flush=True)
while not (Path(config["checkpoint_folder"]) / "go").exists():
    time.sleep(0.1)
model = Path(config["model_folder"])
joblib.dump(LogisticRegression().fit([[0], [1]], [0, 1]), model / "model.joblib")
results = {"primary_metric": {"name": "test_accuracy", "direction": "max"}, "metrics": {"test_accuracy": 1.0}}
(model / "metrics.json").write_text(json.dumps(results))
"""


@pytest.fixture(scope="module")
def previous(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The assembly of the newest release of the changelog, synthesised in a tree of that commit."""
    found = RELEASE.search((REPOSITORY / "CHANGELOG.md").read_text())
    assert found, "the changelog's newest release names its commit"
    version, commit = found.groups()
    archive = subprocess.run(["git", "archive", commit], cwd=REPOSITORY, capture_output=True, check=False)
    if archive.returncode:
        pytest.skip(f"{commit}, which is {version}, is not in this clone: `git fetch --unshallow` brings it")
    tree = tmp_path_factory.mktemp("previous")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as opened:
        opened.extractall(tree)
    (tree / ".slipway").mkdir()
    (tree / ".slipway" / "cache").symlink_to(CACHE)  # whose names are made of what is in it
    synthesis = [sys.executable, "-c", "from local.assembly import assembly; print(assembly())"]
    made = subprocess.run(synthesis, cwd=tree, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    return CACHE / Path(made.stdout.strip()).name


@dataclass
class Upgrade:
    """A platform before and after; `before` is what each path answered under the release before."""

    platform: Platform
    api: ApiClient
    before: dict[str, Any]
    job: dict[str, Any]
    programs: set[int]
    ids: dict[str, str]
    model_id: str
    said: str = ""

    def up(self) -> str:
        """Run `make up` in this tree; return what it said."""
        said = io.StringIO()
        ports = {"SLIPWAY_PORT": str(self.platform.process.port)}
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(said):
            for name, value in (SETTINGS | ports).items():
                patch.setenv(name, value)
            assert commands.up(self.platform.files) == 0
        self.platform.running = commands.process.running(self.platform.files)
        return said.getvalue()

    def expect_all_readable(self) -> None:
        """What was there before is there, as it was; figures of the moment aside."""
        for path, before in self.before.items():
            now = self.api.call("GET", path)
            assert set(before) <= set(now), path
            changed = {name: (before[name], now[name]) for name in before if before[name] != now[name]}
            assert set(changed) <= OF_THE_MOMENT, (path, changed)


@pytest.fixture(scope="module")
def upgrade(previous: Path, rows: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upgrade]:
    """The release before, used by somebody whose job runs; then `make up` in this tree, the job still running."""
    platform = Platform(tmp_path_factory.mktemp("upgraded"), deploy_app=False)
    platform.up()
    try:
        deploy.deploy(platform.files, platform.process, previous, print)
        platform.files.write(program.RECORD, {"digest": "that of the release before"})
        api = ApiClient(platform.api_url)
        api.register("ada", "ada@example.com", PASSWORD)
        api.login("ada", PASSWORD)
        dataset = upload(api, rows[:200])
        trained = train(api, dataset)
        model = trained["model"]
        body = {"name": "Before", "model": {"model_id": model["model_id"], "version": model["version"]}}
        endpoint = api.call("POST", "/endpoints", body)
        assert api.wait(f"/endpoints/{endpoint['id']}", "in_service", "failed")["status"] == "in_service"
        job = start(api, send(api, packed({"train.py": SCRIPT})), dataset)
        trains = lambda found: found["stage"] == "training" or found["status"] in ENDED  # noqa: E731
        *_, job = api.follow(f"/jobs/{job['id']}", trains)
        running = set(processes(job["id"]))
        assert job["status"] == "running" and running, job
        paths = (
            f"/ai-models/ada/{model['model_id']}?version={model['version']}",
            *(f"/datasets/{dataset['id']}", f"/jobs/{trained['id']}", f"/endpoints/{endpoint['id']}", "/auth/me"),
        )
        before = {path: api.call("GET", path) for path in paths}
        ids = {"datasets": dataset["id"], "jobs": trained["id"], "endpoints": endpoint["id"], "models": model["id"]}
        whole = Upgrade(platform, api, before, job, running, ids, model["model_id"])
        assert api.request("POST", "/analyze", json={"text": "Good."}).status_code == 404, "not in that release"
        process = platform.process
        whole.said = whole.up()
        assert platform.process == process
        yield whole
    finally:
        platform.down()


def test_this_tree_is_deployed_while_the_job_goes_on(upgrade: Upgrade) -> None:
    assert (upgrade.platform.files.read(DEPLOYED) or {})["assembly"] == assembly().name
    assert upgrade.api.call("POST", "/analyze", {"text": "Good."})["sentiment"]["sentiment"] == "POSITIVE"
    assert "stays until it is at rest (1 workflows, 1 training jobs under way)" in upgrade.said
    assert upgrade.programs <= set(processes(upgrade.job["id"])), "nobody stopped its program"
    assert upgrade.api.call("GET", f"/jobs/{upgrade.job['id']}")["status"] == "running"


def test_what_was_there_before_is_readable(upgrade: Upgrade) -> None:
    upgrade.expect_all_readable()


def test_the_job_ends_well_and_its_model_is_registered(upgrade: Upgrade) -> None:
    (folder,) = (upgrade.platform.home / "sagemaker" / "jobs").glob("*/checkpoints")
    (folder / "go").touch()
    ended = upgrade.api.wait(f"/jobs/{upgrade.job['id']}", *ENDED)
    assert (ended["status"], ended["reason"]) == ("completed", None)
    model = upgrade.api.call("GET", f"/ai-models/ada/own?version={ended['model']['version']}")
    assert (model["status"], model["id"]) == ("ready", ended["model"]["id"])


def test_at_rest_the_platforms_own_program_is_replaced_and_everything_is_there(upgrade: Upgrade) -> None:
    before = upgrade.platform.process
    assert "starting again with this tree's" in upgrade.up()
    assert upgrade.platform.process.pid != before.pid
    upgrade.expect_all_readable()
    same = upgrade.platform.process
    assert "starting again" not in upgrade.up()
    assert upgrade.platform.process == same


# ------------------------------------------------------------------------------------------- versions of what is stored

NEWER = {"schema_version": 99, "from_the_future": {"kept": True}}


def kind_of(item: dict[str, Any]) -> str:
    """Return what kind of item it is: its id without what is random in it."""
    owner = "a partition of its own" if item.get("owner", "").endswith("#") else ""
    id = str(item.get("id", item.get("segment")))
    return owner or re.sub(r"-[0-9a-z]{19}|-\d+$", "", re.sub(r"[0-9a-f]{64}|(?<=#).*", "", id))


def test_every_record_carries_its_version_and_what_lies_beside_records_is_listed(upgrade: Upgrade) -> None:
    dynamodb = upgrade.platform.client("dynamodb")
    carrying, without = set(), set()
    for table in dynamodb.list_tables()["TableNames"]:
        for page in dynamodb.get_paginator("scan").paginate(TableName=table):
            for item in map(from_item, page["Items"]):
                (carrying if "schema_version" in item else without).add(kind_of(item))
    assert carrying == RECORDS
    assert without <= set(BESIDE_RECORDS)


def test_a_newer_releases_record_is_read_and_keeps_what_this_release_does_not_know(upgrade: Upgrade) -> None:
    records, ids = Records(upgrade.platform), upgrade.ids
    for noun, id in ids.items():
        records.change(noun, "ada", id, **NEWER)
    upgrade.expect_all_readable()
    for noun in ("datasets", "jobs", "endpoints"):
        upgrade.api.call("PATCH", f"/{noun}/{ids[noun]}", {"name": "Renamed"})
    upgrade.api.call("PUT", f"/ai-models/ada/{upgrade.model_id}", {"name": "Renamed"})
    for noun, id in ids.items():
        stored = from_item(records.read(noun, "ada", id) or {})
        assert stored["name"] == "Renamed" and NEWER.items() <= stored.items(), noun


def test_an_older_record_without_a_version_is_read_and_changed(upgrade: Upgrade) -> None:
    records, ids = Records(upgrade.platform), upgrade.ids
    for noun, id in ids.items():
        records.change(noun, "ada", id, schema_version=None, from_the_future=None)
    for noun in ("datasets", "jobs", "endpoints"):
        answer = upgrade.api.call("PATCH", f"/{noun}/{ids[noun]}", {"name": "Once more"})
        assert answer["name"] == "Once more" == upgrade.api.call("GET", f"/{noun}/{ids[noun]}")["name"]


@pytest.mark.slow
def test_the_release_before_can_be_deployed_again(upgrade: Upgrade, previous: Path) -> None:
    upgrade.before = {path: upgrade.api.call("GET", path) for path in upgrade.before}
    deploy.deploy(upgrade.platform.files, upgrade.platform.process, previous, print)
    upgrade.expect_all_readable()
    assert upgrade.api.request("POST", "/analyze", json={"text": "Good."}).status_code == 404

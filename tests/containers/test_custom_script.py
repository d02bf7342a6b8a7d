"""Custom scripts in the tabular image: what they find, what they must leave, how they end.

.venv/bin/python -m pytest tests/containers/test_custom_script.py
"""

import hashlib
import json
import signal
import textwrap
from pathlib import Path
from typing import Any

import pytest

from local.cloud import Image
from tests.containers.jobs import Job, progress_lines
from tests.containers.tables import sklearn_csv
from tests.script_zips import HOSTILE, damaged, example, packed

LEAVES = """
import json, os, pathlib
config = json.load(open(os.environ["SLIPWAY_CONFIG"]))
model = pathlib.Path(config["model_folder"])
"""
METRICS = '(model / "metrics.json").write_text(json.dumps({"metrics": {"loss": 0.5}}))\n'
MODEL = '(model / "weights.bin").write_bytes(b"weights")\n'
BOTH = LEAVES + METRICS + MODEL


def script(job: Job, archive: bytes | str, entry_point: str = "train.py", **parameters: Any) -> Job:
    """Put a script's ZIP, or a train.py, with its configuration and some data where SageMaker puts them."""
    data = archive if isinstance(archive, bytes) else packed({entry_point: textwrap.dedent(archive)})
    job.write(sklearn_csv("breast_cancer"), **parameters)
    config = job.json("input/data/config/config.json") | {"training_type": "custom"}
    config["script"] = {"entry_point": entry_point, "sha256": hashlib.sha256(data).hexdigest()}
    job.put("input/data/config/config.json", json.dumps(config))
    job.put("input/data/code/script.zip", data)
    return job


@pytest.fixture(scope="module")
def whole(image: Image, tmp_path_factory: pytest.TempPathFactory) -> tuple[Job, str]:
    """The example, run from its first epoch to its last: (job, its standard output)."""
    job = script(Job(tmp_path_factory.mktemp("whole"), image), example(), target="target", epochs=60)
    done = job.run()
    assert done.returncode == 0, done.stderr
    return job, done.stdout


def test_the_example_learns_and_leaves_what_the_registry_reads(whole: tuple[Job, str]) -> None:
    job, stdout = whole
    metrics, manifest = job.json("output/data/metrics.json"), job.json("output/data/manifest.json")
    assert metrics["metrics"]["test_accuracy"] > 0.93 > 0.7 > metrics["metrics"]["test_baseline_accuracy"]
    assert metrics["primary_metric"]["value"] == metrics["metrics"]["test_accuracy"]
    assert (manifest["framework"], manifest["task"], manifest["training_type"]) == (
        "sklearn",
        "classification",
        "custom",
    )
    assert [file["name"] for file in manifest["files"]] == ["metrics.json", "model.joblib"]
    lines = progress_lines(stdout)
    assert [line["sequence"] for line in lines] == list(range(61))
    assert lines[-1]["percent"] == 95


def test_the_example_stops_at_sigterm_and_resumed_ends_the_same(job: Job, whole: tuple[Job, str]) -> None:
    running = script(job, example(), target="target", epochs=60).start()
    running.read_until_epoch(2)
    assert running.end(signal.SIGTERM) == 0, running.output
    assert "Stopped after epoch" in running.output
    assert not (job.base / "output/failure").exists()
    assert not (job.base / "output/data").exists()
    resumed = job.run()
    assert resumed.returncode == 0, resumed.stderr
    assert "Going on after epoch" in resumed.stdout
    assert job.json("model/metrics.json") == whole[0].json("model/metrics.json")


def test_a_script_reads_its_configuration_and_its_own_files(job: Job) -> None:
    code = {
        "run/main.py": BOTH
        + """
import helper, sys
assert pathlib.Path("train.py").exists() is False and pathlib.Path("run/helper.py").exists()
found = {**config, "code": config["channels"], "network": helper.NAME, "data": os.listdir(config["channels"]["train"])}
print(json.dumps({"found": found}))
""",
        "run/helper.py": "NAME = 'helper'\n",
    }
    done = script(job, packed(code), "run/main.py", depth=3, seed=7).run()
    assert done.returncode == 0, done.stderr
    found = next(line["found"] for line in progress_lines(done.stdout) if "found" in line)
    assert (found["parameters"], found["seed"]) == ({"depth": 3, "seed": 7}, 7)
    assert (list(found["channels"]), found["data"]) == (["train"], ["data.csv"])
    assert found["job_id"] == "job-test" and found["stage"] == "local"


def wheel(name: str, tag: str = "py3-none-any") -> dict[str, bytes]:
    """A wheel with one module, by its place in a script's ZIP."""
    info = f"{name}-1.0.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
    tags = f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n"
    files = {f"{name}.py": "VALUE = 42\n", f"{info}/METADATA": metadata, f"{info}/WHEEL": tags}
    record = "".join(f"{file},,\n" for file in (*files, f"{info}/RECORD"))
    return {f"wheels/{name}-1.0-{tag}.whl": packed(files | {f"{info}/RECORD": record})}


def test_wheels_are_installed_for_the_script_alone_without_the_network(job: Job, image: Image) -> None:
    code = BOTH + "import unheard_of; print('value', unheard_of.VALUE)\n"
    done = script(job, packed({"train.py": code, **wheel("unheard_of")})).run()
    assert done.returncode == 0, done.stderr
    assert "Installed 1 wheels." in done.stdout and "value 42" in done.stdout
    assert not list(image.python.parent.parent.rglob("unheard_of*"))


def test_a_wheel_for_another_system_is_named(job: Job) -> None:
    done = script(job, packed({"train.py": BOTH, **wheel("odd", "cp27-cp27m-win32")})).run()
    assert done.returncode == 1
    assert job.failure.startswith("The wheels cannot be installed: odd-1.0-cp27-cp27m-win32.whl is not a supported")


FAILURES = [
    (
        "raise ValueError('no such colour')",
        "The script ended with exit code 1. It said last: ValueError: no such colour",
    ),
    ("import sys; sys.exit(3)", "The script ended with exit code 3. It wrote nothing to stderr."),
    (
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
        "The script was killed, most likely out of memory: choose",
    ),
    (LEAVES + MODEL, "The script wrote no metrics.json to model_folder."),
    (LEAVES + METRICS, "The script wrote no model: nothing but metrics.json is in model_folder."),
    (
        "pass",
        "The script wrote no model: nothing but metrics.json is in model_folder. The script wrote no metrics.json",
    ),
    (BOTH + "(model / 'metrics.json').write_text('{')", "metrics.json is not valid JSON: "),
    (
        BOTH + "(model / 'metrics.json').write_text('{\"metrics\": {\"loss\": NaN}}')",
        "metrics.json: the metric 'loss' is no finite number.",
    ),
    (
        BOTH + '(model / \'metrics.json\').write_text(\'{"metrics": {"a": 1}, "primary_metric": {"name": "b"}}\')',
        'metrics.json: "primary_metric" must be {"name": one of the metrics, "direction": "max" or "min"}.',
    ),
    (BOTH + "(model / 'manifest.json').write_text('{\"framework\": \"x\"}')", 'manifest.json: "framework" must be one'),
    (BOTH + "(model / 'passwd').symlink_to('/etc/passwd')", "The model folder holds a link, passwd: put the file"),
]


@pytest.mark.parametrize(("code", "reason"), FAILURES, ids=[reason[:50] for _, reason in FAILURES])
def test_a_failure_says_what_its_owner_can_mend(job: Job, code: str, reason: str) -> None:
    done = script(job, code).run()
    assert done.returncode == 1, done.stdout
    assert job.failure.startswith(reason)
    assert len(job.failure) <= 1024
    assert not (job.base / "output/data").exists()


def test_what_a_script_writes_to_stderr_is_in_the_log_whole_and_in_the_reason_in_short(job: Job) -> None:
    done = script(job, "import sys\nfor n in range(500): print('line', n, file=sys.stderr)\nsys.exit(1)").run()
    assert done.stderr.count("line ") >= 500
    assert job.failure.startswith("The script ended with exit code 1. It said last: line 499 (before that: line 480 | ")


@pytest.mark.parametrize("kind", [kind for kind in HOSTILE if kind != "twice"])
def test_a_dishonest_zip_is_refused_in_the_container_too(job: Job, kind: str) -> None:
    done = script(job, HOSTILE[kind][0]).run()
    assert done.returncode == 1 and "The script's ZIP " in job.failure
    left = [file for file in (job.base / "script").rglob("*") if file.is_file()]
    assert left == [] and not (job.base.parent / "train.py").exists()


@pytest.mark.parametrize("archive", [damaged(), HOSTILE["twice"][0]], ids=["damaged", "twice"])
def test_a_damaged_zip_is_not_run(job: Job, archive: bytes) -> None:
    assert script(job, archive).run().returncode == 1
    assert job.failure.startswith("The script's ZIP is damaged or not plain: ")


@pytest.mark.parametrize("entry_point", ["main.py", "../train.py", "wheels"])
def test_the_entry_point_must_be_a_file_of_the_zip(job: Job, entry_point: str) -> None:
    script(job, packed({"train.py": ""}), entry_point)
    assert job.run().returncode == 1
    assert job.failure.startswith(f"The script's ZIP has no {entry_point}")


def test_another_zip_than_the_jobs_is_not_run(job: Job) -> None:
    script(job, packed({"train.py": BOTH})).put("input/data/code/script.zip", packed({"train.py": "print('other')"}))
    done = job.run()
    assert done.returncode == 1 and "other" not in done.stdout
    assert job.failure.startswith("The script's ZIP is not the one that the job was made with")


@pytest.mark.parametrize("obeys", [True, False], ids=["it obeys", "it has no handler"])
def test_sigterm_reaches_the_script_and_is_no_failure(job: Job, obeys: bool) -> None:
    handler = "signal.signal(signal.SIGTERM, lambda *_: sys.exit('saved and left'))" if obeys else ""
    line = {"slipway": "local", "epoch": 1, "sequence": 1}
    code = f"import signal, sys, time\n{handler}\nprint({json.dumps(line)!r}, flush=True)\ntime.sleep(60)\n"
    running = script(job, code).start()
    running.read_until_epoch(1)
    assert running.end(signal.SIGTERM) == 0, running.output
    assert f"Stopped: the script ended with exit code {1 if obeys else -15}" in running.output
    assert not (job.base / "output/failure").exists()


def test_what_a_script_leaves_running_does_not_keep_the_job(job: Job) -> None:
    done = script(job, BOTH + "import subprocess; subprocess.Popen(['sleep', '600'])\n").run()
    assert done.returncode == 0, done.stderr


def test_a_script_runs_once_however_many_processes_the_image_would_train_with(
    huggingface_image: Image, tmp_path: Path
) -> None:
    job = script(Job(tmp_path, huggingface_image), BOTH)
    done = job.run(SLIPWAY_PROCESSES_PER_HOST="2")
    assert done.returncode == 0, done.stderr
    assert (job.base / "model/weights.bin").exists()
    assert done.stdout.count('"event": "started"') == 1

"""A job of type `custom`: the user's own script, run with its wheels, watched, and held to the stated layout.

docs/custom-scripts.md says what a script reads and writes. Only the standard library is used here: the script shall
find the image as it is.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections import deque
from pathlib import Path
from typing import Any

from training_containers.common import artefacts, script_archive
from training_containers.common.contract import Job, Paths, ScriptError, Stopped, TrainingError
from training_containers.common.progress import Progress
from training_containers.common.script_results import checked_manifest, checked_metrics
from training_containers.common.shutdown import Shutdown

CODE, WHEELS, ENTRY_POINT = "code", "wheels", "train.py"
NOT_DATA = {CODE, "config"}  # channels that are the platform's, not the script's
LAST_LINES, LAST_CHARACTERS = 20, 800  # of what a failed script wrote to stderr
DEFAULT_SEED = 42


def train(paths: Paths, job: Job, shutdown: Shutdown) -> None:
    """Run the job's script; raises ScriptError for what its owner can mend, Stopped after SIGTERM."""
    # The script numbers its own lines from 1.
    Progress(job.stage, job.job_id, sequence=-1).emit("started", 0)
    code, packages = paths.base / "script", paths.base / "packages"
    for folder in (code, packages):  # what an earlier run of the same job left
        shutil.rmtree(folder, ignore_errors=True)
    script = unpacked(paths, job, code)
    install(code / WHEELS, packages)
    configuration = paths.base / "script.json"
    artefacts.write_json(configuration, configuration_of(paths, job))
    for folder in (paths.model, paths.checkpoints):
        folder.mkdir(parents=True, exist_ok=True)
    shutdown.raise_if_requested("before the script began")
    search = os.pathsep.join(filter(None, (str(packages), os.environ.get("PYTHONPATH"))))
    environment = {"SLIPWAY_CONFIG": str(configuration), "PYTHONPATH": search, "PYTHONUNBUFFERED": "1"}
    run([sys.executable, str(script)], code, os.environ | environment, shutdown)

    metrics = checked_metrics(paths.model)
    manifest = {
        **checked_manifest(paths.model),
        "schema": 1,
        "job_id": job.job_id,
        "training_type": job.training_type,
        "parameters": job.parameters,
        "primary_metric": metrics.get("primary_metric"),
        "metrics": metrics["metrics"],
        "script": job.script,
    }
    (paths.model / "manifest.json").unlink(missing_ok=True)
    artefacts.publish(paths, manifest, metrics)


def unpacked(paths: Paths, job: Job, code: Path) -> Path:
    """Unpack the job's ZIP; the script to run. Raises ScriptError."""
    archives = sorted(paths.channel(CODE).glob("*.zip"))
    if len(archives) != 1:
        raise ScriptError(f"Channel '{CODE}' must hold one ZIP, and holds {len(archives)}.")
    if job.script.get("sha256") not in (None, artefacts.sha256(archives[0])):
        raise ScriptError("The script's ZIP is not the one that the job was made with: its SHA-256 differs.")
    script_archive.unpack(archives[0], code)
    entry_point = job.script.get("entry_point", ENTRY_POINT)
    script = code / entry_point
    if not script.resolve().is_relative_to(code.resolve()) or not script.is_file():
        raise ScriptError(f"The script's ZIP has no {entry_point}: name the Python file to run as entry_point.")
    return script


def install(wheels: Path, packages: Path) -> None:
    """Install the script's wheels beside the image's libraries, before which they are found; nothing is downloaded.

    A wheel runs no code when it is installed. What one depends on must be in the image or among the wheels.
    """
    found = sorted(str(wheel) for wheel in wheels.glob("*.whl"))
    if not found:
        return
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    where = ["--no-index", "--find-links", str(wheels), "--no-deps", "--target", str(packages)]
    done = subprocess.run([*pip, *where, *found], capture_output=True, text=True)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR: ")] or [done.stderr.strip()]
        raise ScriptError(f"The wheels cannot be installed: {said[0].removeprefix('ERROR: ')}")
    print(f"Installed {len(found)} wheels.", flush=True)


def configuration_of(paths: Paths, job: Job) -> dict[str, Any]:
    """What the script finds in the file that SLIPWAY_CONFIG names."""
    channels = paths.channel("").iterdir()
    return {
        "job_id": job.job_id,
        "stage": job.stage,
        "parameters": job.parameters,
        "seed": job.parameters.get("seed", DEFAULT_SEED),
        "channels": {folder.name: str(folder) for folder in sorted(channels) if folder.name not in NOT_DATA},
        "model_folder": str(paths.model),
        "checkpoint_folder": str(paths.checkpoints),
    }


def run(command: list[str], folder: Path, environment: dict[str, str], shutdown: Shutdown) -> None:
    """Run the script to its end, its lines going to the job's log; raises ScriptError, Stopped.

    SIGTERM is passed on to the script, which may take as long as SageMaker lets it: two minutes.
    """
    script = subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, start_new_session=True)
    signal.signal(signal.SIGTERM, lambda *_: (shutdown.request(), script.terminate()))
    if shutdown.requested:  # it came between the last look and the line above
        script.terminate()
    last: deque[str] = deque(maxlen=LAST_LINES)
    reader = threading.Thread(target=copy_errors, args=(script, last), daemon=True)
    reader.start()
    code = script.wait()
    try:  # what the script left running would keep the job from ending
        os.killpg(script.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    reader.join()
    if shutdown.requested:
        raise Stopped(f"Stopped: the script ended with exit code {code}; its checkpoints are kept.")
    if code == -signal.SIGKILL:
        raise TrainingError(
            "The script was killed, most likely out of memory: choose a larger instance type.", failure="memory"
        )
    if code:
        raise ScriptError(f"The script ended with exit code {code}. {told(last)}")


def copy_errors(script: subprocess.Popen[bytes], last: deque[str]) -> None:
    """Pass what the script writes to stderr on to the job's log, and remember its last lines."""
    assert script.stderr is not None
    for line in script.stderr:
        sys.stderr.buffer.write(line)
        sys.stderr.buffer.flush()
        if text := line.decode(errors="replace").strip():
            last.append(text)


def told(last: deque[str]) -> str:
    """The script's last words, the very last first: of a traceback that is the error."""
    if not last:
        return "It wrote nothing to stderr."
    error = last.pop()
    before = " | ".join(last)[-LAST_CHARACTERS:]
    return f"It said last: {error}" + (f" (before that: {before})" if before else "")

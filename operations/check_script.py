"""`make check-script SCRIPT=<folder or ZIP>`: run a custom script on a sample as the platform would.

The same rules judge the ZIP, and the image's own `train` runs it, without the network where this machine can do that.
"""

import argparse
import asyncio
import io
import json
import tempfile
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lambdas.common.zip_directory import ZipProblem
from lambdas.jobs import script_zip
from lambdas.models.schemas import TrainingResults
from local import images
from local.cloud import Image
from local.demo import breast_cancer, to_csv
from local.home import REGION, REPOSITORY
from local.sagemaker import processes
from local.sagemaker.opt_ml import OptMl, training_environment
from operations.terminal import OperationError, run

JOB_ID = "job-check"
LEFT_OUT = {"__pycache__", ".git", ".venv"}
PROGRESS = '{"slipway"'


def main(arguments: Sequence[str]) -> int:
    """Check a script; 1 when something is wrong, which is then said in a sentence each."""
    asked = parsed(arguments)
    archive = packed(Path(asked.script))
    try:
        files = script_zip.check(lambda offset, length: archive[offset : offset + length], len(archive))
        script_zip.check_entry_point(files, asked.entry_point)
    except ZipProblem as problem:
        print(f"The ZIP {problem}")
        return 1
    print(f"The ZIP can be used: {len(files)} files, {len(archive):,} bytes.", flush=True)
    name, data = sample(asked.data)
    image = images.build(REPOSITORY / "training_containers", f"{asked.image}/Dockerfile")
    with tempfile.TemporaryDirectory(prefix="slipway-check-") as folder:
        paths = OptMl(Path(folder))
        config = {"job_id": JOB_ID, "stage": "local", "training_type": "custom", "parameters": asked.parameters}
        lay_out(paths, config | {"script": {"entry_point": asked.entry_point}}, archive, name, data)
        began = time.monotonic()
        code, lines = asyncio.run(run_train(image, paths))
        faults = faults_of(paths, code, lines)
        if not faults:
            results = json.loads((paths.output_data / "metrics.json").read_text())
            left = sorted(file.relative_to(paths.model).as_posix() for file in paths.model.rglob("*") if file.is_file())
            print(f"It ran for {time.monotonic() - began:.1f} s and left {', '.join(left)}.")
            print(f"The platform would register it with {json.dumps(results['metrics'])}.")
    for fault in faults:
        print(fault)
    return int(bool(faults))


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line; exits with its usage when it cannot be read."""
    parser = argparse.ArgumentParser(prog="make check-script", description=__doc__)
    parser.add_argument("script", help="a folder, or a ZIP of its files")
    parser.add_argument("--entry-point", default="train.py", help="the Python file to run")
    parser.add_argument("--data", help="a file to train on; scikit-learn's breast-cancer data as CSV when absent")
    parser.add_argument("--parameters", type=json.loads, default={}, help="the script's parameters, as a JSON object")
    parser.add_argument("--image", default="tabular", help="the image whose libraries the script finds")
    return parser.parse_args(arguments)


def packed(script: Path) -> bytes:
    """The ZIP itself, or one made of the folder's files. Raises OperationError when there is nothing there."""
    if script.is_file():
        return script.read_bytes()
    if not script.is_dir():
        raise OperationError(f"There is no folder and no ZIP at {script}.")
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        for file in sorted(script.rglob("*")):
            if file.is_file() and not LEFT_OUT & {*file.relative_to(script).parts}:
                opened.write(file, file.relative_to(script).as_posix())
    return archive.getvalue()


def sample(data: str | None) -> tuple[str, bytes]:
    """Name and content of the file to train on. Raises OperationError when it is not there."""
    if data is None:
        return "sample.csv", to_csv(breast_cancer())
    if not Path(data).is_file():
        raise OperationError(f"There is no file at {data} to train on.")
    return Path(data).name, Path(data).read_bytes()


def lay_out(paths: OptMl, config: dict[str, Any], archive: bytes, name: str, data: bytes) -> None:
    """Fill the job's folder as SageMaker does."""
    paths.create(request())
    content = {
        ("train", name): data,
        ("code", "script.zip"): archive,
        ("config", "config.json"): json.dumps(config).encode(),
    }
    for (channel, filename), body in content.items():
        paths.channel(channel).mkdir(parents=True)
        (paths.channel(channel) / filename).write_bytes(body)


def request() -> dict[str, Any]:
    """What the platform would ask SageMaker for, as far as it reaches the container."""
    return {
        "TrainingJobName": JOB_ID,
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
        "InputDataConfig": [{"ChannelName": name} for name in ("train", "config", "code")],
        "HyperParameters": {"config": "config.json"},
        "Environment": {"SLIPWAY_STAGE": "local", "SLIPWAY_JOB_ID": JOB_ID},
    }


async def run_train(image: Image, paths: OptMl) -> tuple[int, list[str]]:
    """Run the image's `train`, printing what it prints; exit code and lines."""
    isolated = await processes.network_isolation_available()
    if not isolated:
        print("This machine cannot take the network from the script; on AWS it has none.", flush=True)
    environment = processes.program_environment(image.python, paths.base)
    environment |= training_environment(request(), JOB_ID, REGION, paths)
    entry = image.directory / "training_containers" / image.family / "train"
    process = await processes.start([str(image.python), str(entry)], paths.base, environment, isolated)
    lines = []
    ended = asyncio.create_task(process.wait())
    async for line in process.lines():
        print(f"  {line}", flush=True)
        lines.append(line)
    return await ended, lines


def faults_of(paths: OptMl, code: int, lines: list[str]) -> list[str]:
    """What is wrong with a run, a sentence each."""
    if code:
        # Its first word, in brackets, is for the control plane.
        said = paths.failure.read_text().partition("] ")[2] if paths.failure.is_file() else ""
        return [said or f"The container ended with exit code {code} and left no reason."]
    faults = []
    if sum(line.startswith(PROGRESS) for line in lines) < 2:  # the first is the container's own
        faults.append("It printed no progress line, so nobody sees how far it is: docs/custom-scripts.md has the form.")
    try:
        TrainingResults.model_validate_json((paths.output_data / "metrics.json").read_text())
    except ValidationError as error:
        wrong = ", ".join(".".join(map(str, one["loc"])) for one in error.errors()[:5])
        faults.append(f"metrics.json is not as documented: {wrong}.")
    return faults


if __name__ == "__main__":
    run(main)

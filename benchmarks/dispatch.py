"""What the platform adds between accepting a job and its container's first line, beyond a bare start of the same
entry point.  `python -m benchmarks.dispatch`

A platform of its own runs seven small jobs; between them the same `train` is started bare, as one process. Both
times end at the first progress line, which the container prints before it imports anything heavy.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from local.api_client import ApiClient
from local.cloud import Image
from local.demo import breast_cancer, to_csv
from local.home import Home
from local.images import Images
from local.outputs import Deployment

ROUNDS = 7
GOAL_SECONDS = 0.5
PARAMETERS = {"target": "diagnosis", "algorithm": "logistic_regression"}
PASSWORD = "Correct-horse-7"
ENDED = ("completed", "failed", "cancelled")


def main() -> int:
    """Print the figures as JSON; return 1 when the goal is missed."""
    home = Home(Path(tempfile.mkdtemp(prefix="slipway-bench-")))
    platform("up", home)
    try:
        api = ApiClient(home.read("outputs.json")["ApiUrl"])  # pyright: ignore[reportOptionalSubscript]
        api.register("bench", "bench@example.com", PASSWORD)
        api.login("bench", PASSWORD)
        content = to_csv(breast_cancer())
        dataset = api.upload(content, "rows.csv", name="Rows")
        api.wait(f"/datasets/{dataset['id']}", "ready")
        image = tabular_image(home)
        run_job(api, dataset["id"])  # warm: functions and file cache
        rounds = [(run_job(api, dataset["id"]), bare_start(image, content)) for _ in range(ROUNDS)]
    finally:
        platform("down", home)
    jobs, bare = (statistics.median(times) for times in zip(*rounds, strict=True))
    figures = {
        "accept_to_first_line_seconds": round(jobs, 3),
        "bare_start_seconds": round(bare, 3),
        "added_seconds": round(jobs - bare, 3),
        "goal_seconds": GOAL_SECONDS,
        "rounds": [[round(seconds, 3) for seconds in one] for one in rounds],
    }
    print(json.dumps({"dispatch": figures}, indent=1))
    return int(jobs - bare > GOAL_SECONDS)


def run_job(api: ApiClient, dataset_id: str) -> float:
    """Run one job to its end; return the seconds from its acceptance to its first line."""
    body = {"name": "Bench", "dataset_id": dataset_id, "parameters": PARAMETERS}
    job = api.call("POST", "/jobs", body)
    job = api.wait(f"/jobs/{job['id']}", *ENDED)
    assert job["status"] == "completed", job
    first = api.call("GET", f"/jobs/{job['id']}/logs?limit=1")["items"][0]["message"]
    return seconds_between(job["created_at"], json.loads(first)["time"])


def bare_start(image: Image, content: bytes) -> float:
    """Start `train` as one process; return the seconds until its first line, as the container's clock has it."""
    with tempfile.TemporaryDirectory() as base:
        write_inputs(Path(base), content)
        began = time.time()
        done = subprocess.run(
            [image.python, image.directory / "training_containers" / image.family / "train"],
            env={"SAGEMAKER_BASE_DIR": base, "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=True,
        )
    first: dict[str, Any] = json.loads(done.stdout.splitlines()[0])
    return datetime.fromisoformat(first["time"]).timestamp() - began


def write_inputs(base: Path, content: bytes) -> None:
    """Lay out what SageMaker would."""
    config = {"job_id": "bench", "stage": "local", "training_type": "tabular", "parameters": PARAMETERS}
    for name, data in (("train/rows.csv", content), ("config/config.json", json.dumps(config).encode())):
        file = base / "input" / "data" / name
        file.parent.mkdir(parents=True)
        file.write_bytes(data)
    (base / "input" / "config").mkdir()
    (base / "input" / "config" / "hyperparameters.json").write_text(json.dumps({"config": "config.json"}))


def platform(command: str, home: Home) -> None:
    """Run a command of the platform for a home of its own, on a free port."""
    environment = os.environ | {"SLIPWAY_HOME": str(home.path), "SLIPWAY_PORT": "0"}
    subprocess.run([sys.executable, "-m", "local", command], env=environment, check=True, stdout=sys.stderr)


def tabular_image(home: Home) -> Image:
    """Return the image that the platform's jobs run."""
    deployment = Deployment(home)
    uri = next(uri for uri, built in deployment.images().items() if built["dockerfile"].startswith("tabular/"))
    return Images(deployment).resolve(uri)


def seconds_between(earlier: str, later: str) -> float:
    """Return the seconds between two ISO times."""
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()


if __name__ == "__main__":
    sys.exit(main())

"""How much our model server adds to a request, and how much of a batchable model's speed reaches its clients.

Run: `python -m benchmarks.serving`. It installs the tabular image's environment, and the servers that ours is compared
with in one of their own. Added: the same sums over the same JSON, behind our server and in a bare route of Starlette on
the same uvicorn, uvloop and httptools; one connection. Batched: a model that takes 5 ms for up to 16 instances whatever
their number, and no CPU, as one on a GPU does; 16 connections, each asking for one instance. Ours, LitServe with two
settings, of which the better counts, and BentoML, all with batches of up to 16, against a loop that calls the model
with 16 instances at a time. Every round starts each server afresh and runs the loop beside them.
"""

import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.closed_loop import Figures, measure
from local import images
from local.home import CACHE, REPOSITORY

HOME = CACHE / "bench" / "serving"
PACKAGES = (
    "litserve==0.2.19",
    "bentoml==1.4.39",
    "starlette==1.10.0",
    "uvicorn==0.54.0",
    "uvloop==0.23.0",
    "httptools==0.9.0",
)
SERVERS = Path(__file__).with_name("model_servers")
ROUNDS = 3
SECONDS = 2.0
CONNECTIONS = 16
START_SECONDS = 120
BODY = json.dumps({"instances": [[0.5] * 64]}).encode()


def main() -> None:
    """Print the figures as one JSON object."""
    ours, theirs = tabular_python(), peers_python()
    added = {"ours": (ours, "ours.py", "sum"), "starlette": (theirs, "starlette_echo.py", "sum")}
    batched = {
        "ours": (ours, "ours.py", "slow"),
        "litserve": (theirs, "litserve_server.py", "0"),
        "litserve, 2 ms": (theirs, "litserve_server.py", "0.002"),
        "bentoml": (theirs, "bentoml_server.py", "slow"),
    }
    latency: dict[str, list[float]] = {name: [] for name in added}
    rates: dict[str, list[float]] = {name: [] for name in [*batched, "offline"]}
    for _ in range(ROUNDS):
        for name, command in added.items():
            latency[name].append(figures(command, 1).median_us)
        for name, command in batched.items():
            rates[name].append(figures(command, CONNECTIONS).per_second)
        rates["offline"].append(offline())
    p50 = {name: statistics.median(values) for name, values in latency.items()}
    rate = {name: statistics.median(values) for name, values in rates.items()}
    ratios = [ours / loop for ours, loop in zip(rates["ours"], rates["offline"], strict=True)]
    best = max(rate["litserve"], rate["litserve, 2 ms"])
    print(
        json.dumps(
            {
                "benchmark": "serving",
                "p50_us": {name: round(value, 1) for name, value in p50.items()},
                "p50_ours_over_starlette": round(p50["ours"] / p50["starlette"], 2),
                "requests_per_second": {name: round(value) for name, value in rate.items()},
                "ours_over_litserve": round(rate["ours"] / best, 2),
                "ours_over_bentoml": round(rate["ours"] / rate["bentoml"], 2),
                "ours_over_offline": round(statistics.median(ratios), 2),
                "ours_over_offline_by_round": [round(ratio, 2) for ratio in ratios],
                "load_average": round(os.getloadavg()[0], 1),
            }
        )
    )


def tabular_python() -> Path:
    """The Python of the tabular image, which our server runs in."""
    return images.build(REPOSITORY / "training_containers", "tabular/Dockerfile").python


def peers_python() -> Path:
    """The Python of an environment with what we are compared with, installed unless it is there."""
    uv, python, done = REPOSITORY / ".venv" / "bin" / "uv", HOME / "bin" / "python", HOME / "installed"
    wanted = " ".join(PACKAGES)
    if not done.exists() or done.read_text() != wanted:
        subprocess.run([uv, "venv", "--quiet", "--clear", HOME], check=True)
        subprocess.run([uv, "pip", "install", "--quiet", "--python", python, *PACKAGES], check=True)
        done.write_text(wanted)
    return python


def figures(command: tuple[Path, str, str], connections: int) -> Figures:
    """What one server does for so many connections."""
    with serving(*command) as port:
        measure(port, BODY, connections, 0.5)  # until it is warm
        return measure(port, BODY, connections, SECONDS)


@contextmanager
def serving(python: Path, program: str, argument: str) -> Iterator[int]:
    """A server's port while it runs; raises RuntimeError with its log when it does not start."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "SAGEMAKER_BIND_TO_PORT": str(port), "HOME": str(HOME)}
    environment |= {"DO_NOT_TRACK": "1", "BENTOML_DO_NOT_TRACK": "True", "OMP_NUM_THREADS": "1"}
    log = HOME / f"{program}.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [python, SERVERS / program, argument],
            env=environment,
            stdout=output,
            stderr=output,
            cwd=SERVERS,
            start_new_session=True,
        )
        try:
            wait(lambda: measure(port, BODY, 1, 0.5).answered > 0, server, log)
            yield port
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            try:
                server.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, signal.SIGKILL)
                server.wait()


def wait(ready: Callable[[], bool], server: "subprocess.Popen[bytes]", log: Path) -> None:
    """Wait until a server answers."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            if ready():
                return
        except (OSError, ValueError):
            time.sleep(0.1)
    raise RuntimeError(f"{log.stem} does not answer: {log.read_text()[-2000:]}")


def offline() -> float:
    """Instances a second of a loop that calls the model with full batches, in a process of its own."""
    done = subprocess.run(
        [sys.executable, SERVERS / "model.py", str(SECONDS)], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


if __name__ == "__main__":
    main()

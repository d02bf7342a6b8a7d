"""How much our model server adds to a request, and how much of a batchable model's speed reaches its clients.

Run: `python -m benchmarks.serving`. It installs the tabular image's environment, and the servers that ours is compared
with in one of their own. Added: the same sums over the same JSON, behind our server and in a bare route of Starlette on
uvicorn, with the same event loop and parser; one connection. Batched: a model that takes 5 ms for up to 16 instances
whatever their number, and no CPU, as one on a GPU does; 16 connections, each asking for one instance. Ours, LitServe
with two settings, of which the better counts, and BentoML, all with batches of up to 16, against a loop that calls the
model with 16 instances at a time.

All servers are up from the beginning to the end, and asked in turn, many times and each time shortly, with the loop
between them: what else the machine does meets all alike. Each ratio is the median over the rounds of the ratio in a
round.
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
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
PROGRAMS = Path(__file__).with_name("model_servers")
ROUNDS = 40
SECONDS = 0.2
WARM_SECONDS = 1.0
CONNECTIONS = 16
START_SECONDS = 600  # BentoML takes half a minute on two cores, and many times that beside other work
STOP_SECONDS = 15
BODY = json.dumps({"instances": [[0.5] * 64]}).encode()
GOALS = {"p50_ours_over_starlette": "<= 1.3", "ours_over_litserve": "> 1", "ours_over_bentoml": "> 1"}
GOALS |= {"ours_over_offline": ">= 0.8"}


@dataclass(frozen=True)
class Server:
    """A server that runs."""

    name: str
    process: "subprocess.Popen[bytes]"
    port: int
    log: Path
    connections: int

    def figures(self, seconds: float) -> Figures:
        """What it does for its connections; raises RuntimeError with what it said where it answers wrongly or not."""
        try:
            return measure(self.port, BODY, self.connections, seconds)
        except (OSError, ValueError) as error:
            raise RuntimeError(f"{self.name}: {error!r}. {self.said()}") from error

    def said(self) -> str:
        """How it ended, if it did, and the end of its log."""
        return f"Exit status: {self.process.poll()}. Its log ends:\n{self.log.read_text()[-4000:]}"


Round = dict[str, tuple[float, float]]  # by name: requests a second, and the p50 in microseconds


def main() -> None:
    """Print the figures as one JSON object."""
    ours, theirs = tabular_python(), peers_python()
    with ExitStack() as stack:
        servers = [
            stack.enter_context(serving("ours", ours, "ours.py", "sum", 1)),
            stack.enter_context(serving("starlette", theirs, "starlette_echo.py", "sum", 1)),
            stack.enter_context(serving("litserve", theirs, "litserve_server.py", "0", CONNECTIONS)),
            stack.enter_context(serving("litserve, 2 ms", theirs, "litserve_server.py", "0.002", CONNECTIONS)),
            stack.enter_context(serving("bentoml", theirs, "bentoml_server.py", "slow", CONNECTIONS)),
            stack.enter_context(serving("ours, batched", ours, "ours.py", "slow", CONNECTIONS)),
        ]
        for server in servers:
            server.figures(WARM_SECONDS)  # until it is warm: BentoML learns how long a batch takes
        rounds = [one_round(servers) for _ in range(ROUNDS)]
    load = round(os.getloadavg()[0], 1)
    print(json.dumps({"benchmark": "serving"} | summary(rounds) | {"goals": GOALS, "load_average": load}))


def one_round(servers: list[Server]) -> Round:
    """Ask each server, then run the loop."""
    found: Round = {}
    for server in servers:
        figures = server.figures(SECONDS)
        found[server.name] = figures.per_second, figures.median_us
    return found | {"offline": (offline(), 0.0)}


def summary(rounds: list[Round]) -> dict[str, Any]:
    """Return medians over the rounds, and of the ratios in each round."""

    def rate(name: str) -> float:
        return statistics.median(each[name][0] for each in rounds)

    def ratio(one: str, other: str, figure: int = 0) -> list[float]:
        both = ((each[one][figure], each[other][figure]) for each in rounds)
        return [first / second for first, second in both if first and second]  # one without an answer says nothing

    better = max("litserve", "litserve, 2 ms", key=rate)
    ratios = {
        "p50_ours_over_starlette": ratio("ours", "starlette", 1),
        "ours_over_litserve": ratio("ours, batched", better),
        "ours_over_bentoml": ratio("ours, batched", "bentoml"),
        "ours_over_offline": ratio("ours, batched", "offline"),
    }
    alone, batched = ("ours", "starlette"), ("ours, batched", "litserve", "litserve, 2 ms", "bentoml", "offline")
    return {
        "p50_us": {name: round(statistics.median(each[name][1] for each in rounds), 1) for name in alone},
        "requests_per_second": {name: round(rate(name)) for name in batched},
        **{name: round(statistics.median(values), 2) for name, values in ratios.items()},
        "by_round": {name: [round(value, 2) for value in values] for name, values in ratios.items()},
    }


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


@contextmanager
def serving(name: str, python: Path, program: str, argument: str, connections: int) -> Iterator[Server]:
    """A server that answers; raises RuntimeError with its log when it ends first, or takes too long."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "SAGEMAKER_BIND_TO_PORT": str(port), "HOME": str(HOME)}
    environment |= {"DO_NOT_TRACK": "1", "BENTOML_DO_NOT_TRACK": "True", "OMP_NUM_THREADS": "1"}
    log = HOME / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [python, PROGRAMS / program, argument],
            env=environment,
            stdout=output,
            stderr=output,
            cwd=PROGRAMS,
            start_new_session=True,
        )
        try:
            server = Server(name, process, port, log, connections)
            wait(lambda: measure(port, BODY, 1, 1.0).answered > 0, server)
            yield server
        finally:
            stop(process)


def wait(ready: Callable[[], bool], server: Server) -> None:
    """Wait until a server answers; raises RuntimeError with what it said."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.process.poll() is None:
        try:
            if ready():
                return
        except (OSError, ValueError):  # it does not listen yet, or answers that it is not ready
            time.sleep(0.1)
    raise RuntimeError(f"{server.name} ended, or did not answer within {START_SECONDS} seconds. {server.said()}")


def stop(process: "subprocess.Popen[bytes]") -> None:
    """End a server, then what is left of all that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def offline() -> float:
    """Instances a second of a loop that calls the model with full batches, in a process of its own."""
    done = subprocess.run(
        [sys.executable, PROGRAMS / "model.py", str(SECONDS)], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


if __name__ == "__main__":
    main()

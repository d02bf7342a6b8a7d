"""`make monitoring` beside a running platform, and traffic that gives the panels of the dashboard something to show."""

from __future__ import annotations

import math
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from local.api_client import ApiClient
from local.home import REPOSITORY
from operations.graphs import expression, rows, variables_of
from operations.scraping import INTERVAL
from tests.journeys.clients import PLAN, Client
from tests.platform import Platform

VARIABLES = variables_of("local", INTERVAL["local"])
STOP_SECONDS = 60
# Panels that have nothing to show on a platform without GPUs where no job has ended in the last hour.
MAY_BE_EMPTY = {"GPU utilisation", "Jobs ended in the last hour", "Duration of the jobs that ended"}


@dataclass(frozen=True)
class Monitored:
    """The command as it runs: what it printed, and where both programs are."""

    process: subprocess.Popen[str]
    printed: str
    prometheus: str
    grafana: str | None
    folder: Path

    def ask(self, query: str) -> list[dict[str, Any]]:
        """Return the series that a query of the dashboard finds now; raises AssertionError when it is refused."""
        params = {"query": expression(query, VARIABLES)}
        answer = requests.get(f"{self.prometheus}/api/v1/query", params=params, timeout=10).json()
        assert answer["status"] == "success", answer
        return answer["data"]["result"]


@contextmanager
def monitored(platform: Platform, **environment: str) -> Iterator[Monitored]:
    """Run the command until the block ends, then end it as Ctrl-C does, and see that it ends well."""
    process = subprocess.Popen(
        [sys.executable, "-m", "operations.monitoring", "local"],
        cwd=REPOSITORY,
        env={**os.environ, "SLIPWAY_HOME": str(platform.home), "PROMETHEUS_PORT": "0", "GRAFANA_PORT": "0"}
        | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        printed = read_until(process, "Ctrl-C stops.")
        addresses = dict(re.findall(r"^(Prometheus|Grafana)\s+(http://localhost:\d+)", printed, re.MULTILINE))
        folder = platform.home / "monitoring" / "local"
        yield Monitored(process, printed, addresses["Prometheus"], addresses.get("Grafana"), folder)
    finally:
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=STOP_SECONDS)
    assert (process.returncode, "Stopped." in said) == (0, True), said


def read_until(process: subprocess.Popen[str], last: str) -> str:
    """Return what a process prints up to a line; fails when it ends before."""
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if line.strip() == last:
            return "".join(lines)
    raise AssertionError("the command ended: " + "".join(lines))


def traffic(api: ApiClient) -> Callable[[], None]:
    """Return a function that asks once for everything that clients ask for, and for what is not there."""
    client = Client(api, random.Random(7))
    client.kept = api.call("POST", "/datasets", PLAN)["id"]

    def ask() -> None:
        for call in (*client.reads(), *client.writes()):
            call()
        client.ask("GET", "/datasets/ds-0000000000000000000", "/datasets/{id}")

    return ask


def panels() -> dict[str, list[str]]:
    """The queries of every panel of the dashboard, by its title."""
    return {panel["title"]: [target["expr"] for target in panel["targets"]] for row in rows().values() for panel in row}


def must_have_data() -> set[str]:
    """The titles of the panels that traffic fills."""
    return {*panels()} - MAY_BE_EMPTY


def empty(seen: Monitored, titles: set[str]) -> dict[str, list[str]]:
    """The queries, by panel, that find no series, or none with a number."""
    wrong = {title: [query for query in panels()[title] if not numbers(seen.ask(query))] for title in titles}
    return {title: queries for title, queries in wrong.items() if queries}


def numbers(series: Sequence[Mapping[str, Any]]) -> list[float]:
    """The values that are numbers: a quantile of nothing is none."""
    return [value for one in series if not math.isnan(value := float(one["value"][1]))]


def filled(seen: Monitored, ask: Callable[[], None], titles: set[str], seconds: float) -> dict[str, list[str]]:
    """Ask the platform again and again until the panels have data; return those that have none after so long."""
    deadline = time.monotonic() + seconds
    while (missing := empty(seen, titles)) and time.monotonic() < deadline:
        ask()
    return missing

"""A Prometheus server of a test's own, which scrapes a platform by the client credentials of its metrics' client."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from operations.monitoring import prometheus_running
from operations.scraping import Target, secret_file


@contextmanager
def scraping(folder: Path, api_url: str, token_url: str, client_id: str, secret: str) -> Iterator[str]:
    """Run Prometheus in a folder, scraping every two seconds; gives the address of its own API."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    target = Target("local", api_url, token_url, client_id, scrape_interval=2)
    with secret_file(folder, secret) as file, prometheus_running(target, folder, file, port):
        yield f"http://127.0.0.1:{port}/api/v1"


def query(api: str, expression: str) -> dict[str, float]:
    """Return what Prometheus answers: the value of each series found, by its labels as JSON."""
    answer = requests.get(f"{api}/query", params={"query": expression}, timeout=10)
    assert answer.ok, answer.text
    results = answer.json()["data"]["result"]
    return {json.dumps(result["metric"], sort_keys=True): float(result["value"][1]) for result in results}


def targets(api: str) -> list[tuple[str, str]]:
    """Return the health of each target, with the error of its last scrape."""
    active = requests.get(f"{api}/targets", timeout=10).json()["data"]["activeTargets"]
    return [(target["health"], target["lastError"]) for target in active]

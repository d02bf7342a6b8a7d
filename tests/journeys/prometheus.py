"""A Prometheus server of a test's own, which scrapes a platform by the client credentials of its metrics' client."""

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from operations.prometheus import binary

START_SECONDS = 30


@contextmanager
def scraping(folder: Path, api_url: str, token_url: str, client_id: str, secret: str) -> Iterator[str]:
    """Run Prometheus in a folder, scraping every two seconds; gives the address of its own API."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "prometheus.yml").write_text(json.dumps(configuration(api_url, token_url, client_id, secret)))
    options = {
        "config.file": folder / "prometheus.yml",
        "storage.tsdb.path": folder / "data",
        "web.listen-address": f"127.0.0.1:{port}",
    }
    with (folder / "log").open("wb") as log:
        command = [str(binary()), *(f"--{name}={value}" for name, value in options.items())]
        server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        wait_until_ready(f"http://127.0.0.1:{port}", server, folder / "log")
        yield f"http://127.0.0.1:{port}/api/v1"
    finally:
        server.terminate()
        server.wait(20)


def configuration(api_url: str, token_url: str, client_id: str, secret: str) -> dict[str, Any]:
    """Return the configuration, which is YAML, of which JSON is a part; docs/metrics.md shows the same."""
    address = urlsplit(api_url)
    return {
        "global": {"scrape_interval": "2s", "scrape_timeout": "2s"},
        "scrape_configs": [
            {
                "job_name": "slipway",
                "scheme": address.scheme,
                "metrics_path": f"{address.path}/metrics",
                "static_configs": [{"targets": [address.netloc]}],
                "oauth2": {
                    "client_id": client_id,
                    "client_secret": secret,
                    "token_url": token_url,
                    "scopes": ["slipway/metrics.read"],
                },
            }
        ],
    }


def wait_until_ready(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    """Poll until the server is ready; fails with its log when it ends or takes too long."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            if requests.get(f"{url}/-/ready", timeout=2).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.05)
    raise AssertionError(f"Prometheus did not start:\n{log.read_text()[-2000:]}")


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

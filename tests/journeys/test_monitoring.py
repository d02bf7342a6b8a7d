"""`make monitoring`: a real Prometheus beside the platform, and the dashboard's queries answered from real traffic.

Run: `pytest -s tests/journeys/test_monitoring.py`
"""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from local.api_client import ApiClient
from local.home import REPOSITORY
from operations import prometheus
from operations.terminal import OperationError
from tests.journeys.monitored import Monitored, empty, filled, monitored, must_have_data, panels, traffic
from tests.platform import Platform

FILLED_SECONDS = 120


@pytest.fixture(scope="module")
def here(platform: Platform) -> Iterator[Platform]:
    """The platform, on a machine that has Prometheus or can fetch it."""
    try:
        prometheus.binary()
    except OperationError as missing:
        pytest.skip(str(missing))
    yield platform


def test_every_panel_that_traffic_fills_has_data_and_ctrl_c_ends_it(
    here: Platform, new_user: Callable[..., ApiClient], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    began = time.monotonic()
    without_grafana(monkeypatch)
    with monitored(here) as seen:
        assert "Prometheus reads http://localhost:" in seen.printed
        assert "apt-get install grafana" in seen.printed
        keeps_the_secret(here, seen)
        assert "is watched already; end that `make monitoring` first" in refused(here)
        missing = filled(seen, traffic(new_user()), must_have_data(), FILLED_SECONDS)
        assert missing == {}
        assert empty(seen, {*panels()}).keys() <= {*panels()} - must_have_data()
        routes = {found["metric"]["route"] for found in seen.ask('request_count_total{stage="local"}')}
        assert {"/health", "/datasets/{id}", "/dashboard"} <= routes
    with pytest.raises(requests.ConnectionError):
        requests.get(seen.prometheus, timeout=5)
    assert not (seen.folder / "client-secret").exists()
    print(f"\n{len(panels())} panels in {time.monotonic() - began:.1f} s; nothing to show: {sorted(empty_titles())}")


def refused(platform: Platform) -> str:
    """What a second command says."""
    command = [sys.executable, "-m", "operations.monitoring", "local"]
    environment = os.environ | {"SLIPWAY_HOME": str(platform.home), "PROMETHEUS_PORT": "0", "GRAFANA_PORT": "0"}
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    return done.stderr


def empty_titles() -> set[str]:
    """The panels of which nothing is asked here."""
    return {*panels()} - must_have_data()


def without_grafana(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without Grafana, whatever this one has."""
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.delenv("GRAFANA_HOME", raising=False)


def keeps_the_secret(platform: Platform, seen: Monitored) -> None:
    """The client's secret is in a file for ourselves, and neither in the settings nor on a command line."""
    client = {"UserPoolId": platform.outputs["UserPoolId"], "ClientId": platform.outputs["MetricsClientId"]}
    described = platform.client("cognito-idp").describe_user_pool_client(**client)
    secret = described["UserPoolClient"]["ClientSecret"]
    file = seen.folder / "client-secret"
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == (secret, 0o600)
    assert secret not in (seen.folder / "prometheus.yml").read_text()
    lines = [process / "cmdline" for process in Path("/proc").glob("[0-9]*")]
    assert not any(secret.encode() in line.read_bytes() for line in lines if line.exists())

"""What `make monitoring` is told and tells, up to a real Prometheus.  `pytest tests/units/operations`"""

from __future__ import annotations

import json
import os
import re
import socket
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import pytest
import requests
import yaml

from operations import grafana, graphs, monitoring, prometheus
from operations.programs import Program, port_of, started, wait_for
from operations.scraping import (
    Target,
    configuration,
    first_scrape,
    secret_file,
    secret_of,
    target_of,
)
from operations.terminal import OperationError
from tests.units.operations.conftest import Scripted

OUTPUTS = {
    "ApiUrl": "https://abc123.execute-api.eu-west-1.amazonaws.com/api",
    "TokenUrl": "https://slipway-dev-123456789012.auth.eu-west-1.amazoncognito.com/oauth2/token",
    "MetricsClientId": "1example23456789",
}
TARGET = target_of("dev", OUTPUTS)
PANELS = [panel for panels in graphs.rows().values() for panel in panels]
VARIABLES = graphs.variables_of("dev", 60)
SECRET = "0123456789abcdefghijklmnop"
# Grafana as far as the command knows it: it takes two arguments, listens where grafana.ini says, and ends when told.
STUB = """#!{python}
import configparser, http.server, json, os, re, sys
assert sys.argv[1] == "server" and sys.argv[2::2] == ["--homepath", "--config"], sys.argv
settings = configparser.ConfigParser(interpolation=None)
settings.read(sys.argv[5])
of = lambda *key: re.sub(r"\\$__env\\{{(\\w+)\\}}", lambda found: os.environ[found[1]], settings.get(*key))
print(json.dumps({{"home": sys.argv[3], "data": of("paths", "data"), "environment": dict(os.environ)}}), flush=True)
class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/api/health" else 404)
        self.end_headers()
    def log_message(self, *_):
        pass
http.server.HTTPServer((of("server", "http_addr"), int(of("server", "http_port"))), Health).serve_forever()
"""


def test_prometheus_is_told_where_to_scrape_and_to_ask_for_a_token(tmp_path: Path) -> None:
    (job,) = yaml.safe_load(configuration(TARGET, tmp_path / "secret"))["scrape_configs"]
    assert (job["scheme"], job["metrics_path"]) == ("https", "/api/metrics")
    assert job["static_configs"] == [
        {"targets": ["abc123.execute-api.eu-west-1.amazonaws.com"], "labels": {"stage": "dev"}}
    ]
    assert job["oauth2"] == {
        "client_id": OUTPUTS["MetricsClientId"],
        "client_secret_file": str(tmp_path / "secret"),
        "token_url": OUTPUTS["TokenUrl"],
        "scopes": ["slipway/metrics.read"],
    }


@pytest.mark.parametrize(("stage", "command"), [("dev", "make deploy STAGE=dev"), ("local", "make up")])
def test_a_stage_without_a_client_for_metrics_names_the_setting(stage: str, command: str) -> None:
    with pytest.raises(OperationError, match=f'"metrics_client": true for it in cdk.json, and run `{command}`'):
        target_of(stage, {"ApiUrl": OUTPUTS["ApiUrl"]})


def test_the_secret_is_asked_of_cognito_and_only_we_may_read_its_file(scripted: Scripted, tmp_path: Path) -> None:
    asked = {"UserPoolId": "eu-west-1_pool", "ClientId": "1example23456789"}
    scripted.script("cognito-idp", ("describe_user_pool_client", asked, {"UserPoolClient": {"ClientSecret": SECRET}}))
    (tmp_path / "client-secret").write_text("of an earlier run that was killed, for everybody to read")
    with secret_file(tmp_path, secret_of(scripted, *asked.values())) as file:
        assert file.read_text() == SECRET
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not file.exists()


def test_a_port_that_is_taken_is_said_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAFANA_PORT", "0")
    assert port_of("GRAFANA_PORT", 3000) > 0
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OperationError, match="run again with PROMETHEUS_PORT=0"):
            port_of("PROMETHEUS_PORT", taken.getsockname()[1])
    monkeypatch.setenv("GRAFANA_PORT", "http")
    with pytest.raises(OperationError, match="GRAFANA_PORT is http; give a port"):
        port_of("GRAFANA_PORT", 3000)


def test_the_pages_of_prometheus_itself_draw_every_query_of_the_dashboard() -> None:
    page = graphs.page(VARIABLES)
    assert "$" not in unquote_plus(page), "a variable of Grafana's is left"
    assert page.count("<li>") == len(PANELS)
    assert page.count("g0.expr=") == len(PANELS) + len(graphs.rows())
    assert graphs.graphs_path(["up", "a b"]) == (
        "/graph?g0.expr=up&g0.tab=0&g0.range_input=30m&g1.expr=a+b&g1.tab=0&g1.range_input=30m"
    )
    assert graphs.expression('rate(x{stage="$stage"}[$__rate_interval])', VARIABLES) == 'rate(x{stage="dev"}[240s])'


# ------------------------------------------------------------------------------------------------- Grafana


def home(folder: Path, program: str | None = "grafana") -> Path:
    """A folder that looks like Grafana's, with the stub as its program."""
    (folder / "conf").mkdir(parents=True)
    (folder / "conf" / "defaults.ini").touch()
    if program:
        file = folder / "bin" / program
        file.parent.mkdir()
        file.write_text(STUB.format(python=sys.executable))
        file.chmod(0o755)
    return folder


@pytest.fixture(autouse=True)
def no_grafana(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without Grafana, whatever this one has."""
    monkeypatch.delenv("GRAFANA_HOME", raising=False)
    monkeypatch.setattr(grafana, "PACKAGED", tmp_path / "packaged")
    folders = os.environ["PATH"].split(os.pathsep)
    kept = [folder for folder in folders if not any((Path(folder) / name).exists() for name in grafana.PROGRAMS)]
    monkeypatch.setenv("PATH", os.pathsep.join(kept))


def test_without_grafana_there_is_none_and_the_way_to_get_it_is_known(tmp_path: Path) -> None:
    assert grafana.find() is None
    assert "apt-get install grafana" in grafana.HOW and "brew install grafana" in grafana.HOW


def test_grafana_is_found_where_each_way_of_installing_puts_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    packaged = home(tmp_path / "packaged")
    assert grafana.find() == grafana.Grafana((f"{packaged}/bin/grafana", "server"), packaged)
    brewed = home(tmp_path / "brew" / "share" / "grafana", program=None)
    program = tmp_path / "brew" / "bin" / "grafana"
    program.parent.mkdir()
    program.touch(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    assert grafana.find() == grafana.Grafana((str(program), "server"), brewed)
    old = home(tmp_path / "old", "grafana-server")
    monkeypatch.setenv("GRAFANA_HOME", str(old))
    assert grafana.find() == grafana.Grafana((f"{old}/bin/grafana-server",), old)


def test_a_grafana_that_is_not_whole_is_said_to_be_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GRAFANA_HOME", str(tmp_path / "nowhere"))
    with pytest.raises(OperationError, match=r"no conf/defaults\.ini"):
        grafana.find()
    monkeypatch.setenv("GRAFANA_HOME", str(home(tmp_path / "empty", program=None)))
    with pytest.raises(OperationError, match="no program in"):
        grafana.find()


def test_grafana_is_run_for_this_machine_alone_and_ended(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, scripted: Scripted
) -> None:
    monkeypatch.setenv("GRAFANA_HOME", str(home(tmp_path / "grafana")))
    found = grafana.find()
    assert found is not None
    scripted.environment.update(
        {"PATH": os.environ["PATH"], "GF_SERVER_HTTP_ADDR": "0.0.0.0", "AWS_REGION": "eu-west-1"}
    )
    port = port_of("ANY_PORT", 0)
    with monitoring.grafana_running(found, scripted, TARGET, tmp_path, port, "http://localhost:9090") as running:
        told = json.loads(running.log.read_text().splitlines()[0])
        assert (told["home"], told["data"]) == (str(tmp_path / "grafana"), str(tmp_path / "grafana"))
        assert told["environment"]["SLIPWAY_SCRAPE_INTERVAL"] == "60s"
        assert told["environment"]["AWS_REGION"] == "eu-west-1"
        assert "GF_SERVER_HTTP_ADDR" not in told["environment"], "it would be heard over grafana.ini"
    assert running.process.poll() is not None


def test_a_program_that_ends_by_itself_is_named_with_its_last_words(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; print('first', flush=True); sys.exit('no room left')"]
    with started("Grafana", command, tmp_path / "log", os.environ) as running:  # noqa: SIM117
        with pytest.raises(OperationError, match=r"Grafana has ended with status 1; .*log ends with: no room left"):
            wait_for(running, "http://127.0.0.1:9/")


# ---------------------------------------------------------------------------------------------- Prometheus


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real Prometheus whose target does not exist."""
    try:
        prometheus.binary()
    except OperationError as missing:
        pytest.skip(str(missing))
    folder = tmp_path_factory.mktemp("prometheus")
    target = Target("dev", "http://127.0.0.1:9/api", "http://127.0.0.1:9/token", "client", 1)
    port = port_of("ANY_PORT", 0)
    with (
        secret_file(folder, "secret") as secret,
        monitoring.prometheus_running(target, folder, secret, port),
    ):
        yield f"http://127.0.0.1:{port}"


@pytest.mark.thorough
def test_prometheus_understands_every_query_of_the_dashboard(server: str) -> None:
    refused: list[Any] = []
    queries = [graphs.expression(target["expr"], VARIABLES) for panel in PANELS for target in panel["targets"]]
    for query in queries:
        answer = requests.get(f"{server}/api/v1/query", params={"query": query}, timeout=10).json()
        refused += [] if answer["status"] == "success" else [(query, answer["error"])]
    assert refused == []
    assert len(queries) > 30


@pytest.mark.thorough
def test_prometheus_has_the_pages_that_the_command_names(server: str) -> None:
    page = requests.get(f"{server}/user/{graphs.PAGE}", timeout=10)
    assert page.ok and "Requests per second, by route" in page.text
    graph = requests.get(server + graphs.graphs_path(["up"]), timeout=10)
    assert graph.ok and "g0.expr=up" in graph.url and "Prometheus" in graph.text
    scripts = re.findall(r'<script src="([^"]+)"', graph.text)
    assert scripts and all(requests.get(server + script, timeout=10).ok for script in scripts)


@pytest.mark.thorough
def test_a_target_that_cannot_be_scraped_is_said_at_once(server: str) -> None:
    said = first_scrape(server, list[Program]())
    assert said.startswith("Prometheus cannot read http://127.0.0.1:9/api/metrics: ")
    assert "refused" in said

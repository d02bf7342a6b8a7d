"""What Prometheus reads of a stage: where, with whose token, how often, and whether it can."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from local.home import Home
from local.outputs import OUTPUTS
from operations.account import Account
from operations.deployed import outputs_of
from operations.programs import Program, why_ended
from operations.terminal import OperationError
from operations.waiting import wait_until

SCOPE = "slipway/metrics.read"
INTERVAL = {"local": 5}  # seconds between two scrapes
INTERVAL_ON_AWS = 60  # each is a request, a function's run and its queries, which AWS bills
TIMEOUT = 20  # a function may have to start first


@dataclass(frozen=True)
class Target:
    """What Prometheus scrapes, and whom it asks for the token."""

    stage: str
    api_url: str
    token_url: str
    client_id: str
    scrape_interval: int  # seconds


def deployed_outputs(account: Account, stage: str) -> dict[str, str]:
    """Return the stage's outputs, on this machine with its own address; raises OperationError when not deployed."""
    if account.api_url is None:
        return outputs_of(account, stage)
    return Home.from_environment().read(OUTPUTS) or {}


def target_of(stage: str, outputs: Mapping[str, str]) -> Target:
    """Return what to scrape; raises OperationError, naming the setting, for a stage without a client for it."""
    if not {"MetricsClientId", "TokenUrl"} <= outputs.keys():
        deploy = "make up" if stage == "local" else f"make deploy STAGE={stage}"
        raise OperationError(
            f'Stage {stage} lets no machine read its metrics; set "metrics_client": true for it in cdk.json, '
            f"and run `{deploy}`."
        )
    interval = INTERVAL.get(stage, INTERVAL_ON_AWS)
    return Target(stage, outputs["ApiUrl"], outputs["TokenUrl"], outputs["MetricsClientId"], interval)


def secret_of(account: Account, user_pool: str, client_id: str) -> str:
    """Return the client's secret, which no output holds."""
    asked = account.client("cognito-idp").describe_user_pool_client(UserPoolId=user_pool, ClientId=client_id)
    return asked["UserPoolClient"]["ClientSecret"]


@contextmanager
def secret_file(folder: Path, secret: str) -> Iterator[Path]:
    """A file with the secret that nobody else may read while the block lasts: Prometheus reads it each time."""
    file = folder / "client-secret"
    file.unlink(missing_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as opened:
        opened.write(secret)
    try:
        yield file
    finally:
        file.unlink(missing_ok=True)


def configuration(target: Target, secret: Path) -> str:
    """Return prometheus.yml: one job, `slipway`, whose series carry the stage. Strings are quoted as JSON's are."""
    api = urlsplit(target.api_url)
    return f"""global:
  scrape_interval: {target.scrape_interval}s
  scrape_timeout: {min(TIMEOUT, target.scrape_interval)}s
scrape_configs:
  - job_name: slipway
    scheme: {api.scheme}
    metrics_path: {json.dumps(f"{api.path}/metrics")}
    oauth2:
      client_id: {json.dumps(target.client_id)}
      client_secret_file: {json.dumps(str(secret))}
      token_url: {json.dumps(target.token_url)}
      scopes: [{SCOPE}]
    static_configs:
      - targets: [{json.dumps(api.netloc)}]
        labels: {{stage: {json.dumps(target.stage)}}}
"""


def first_scrape(address: str, programs: Sequence[Program]) -> str:
    """Wait for the first scrape and say how it went, so that a refused token is not found out from empty panels."""
    targets: list[dict[str, Any]] = []

    def known() -> bool:
        for program in programs:
            if program.process.poll() is not None:
                raise OperationError(why_ended(program))
        answer = requests.get(f"{address}/api/v1/targets", params={"state": "active"}, timeout=5).json()
        targets[:] = answer["data"]["activeTargets"]
        return bool(targets) and targets[0]["health"] != "unknown"

    wait_until(known, "the first scrape", seconds=180, pause=0.2)
    scraped = targets[0]
    if scraped["health"] == "up":
        return f"Prometheus reads {scraped['scrapeUrl']}."
    return f"Prometheus cannot read {scraped['scrapeUrl']}: {scraped['lastError']}"

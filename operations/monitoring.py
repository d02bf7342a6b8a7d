"""`make monitoring`: Prometheus and Grafana on this machine, watching a stage until Ctrl-C ends both."""

import fcntl
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from local.home import Home
from operations import grafana, graphs, prometheus
from operations.account import Account, account_of
from operations.programs import Program, first_to_end, port_of, started, wait_for, why_ended
from operations.scraping import (
    Target,
    configuration,
    deployed_outputs,
    first_scrape,
    secret_file,
    secret_of,
    target_of,
)
from operations.settings import settings_of
from operations.terminal import OperationError, run

KEPT = "15d"  # by Prometheus, of what it has seen


def main(arguments: Sequence[str]) -> int:
    """Watch a stage (the argument) until Ctrl-C; raises OperationError when a program cannot start, or ends."""
    (stage,) = arguments
    # A shell that starts us in the background has us ignore Ctrl-C, and nothing else would end the programs.
    for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.default_int_handler)
    try:
        watch(stage)
    except KeyboardInterrupt:
        print("\nStopped. What Prometheus has seen is kept for the next time.")
    return 0


def watch(stage: str) -> None:
    """Run both until one of them ends; raises OperationError, which says why."""
    settings_of(stage)
    account = account_of(stage)
    outputs = deployed_outputs(account, stage)
    target = target_of(stage, outputs)
    ports = port_of("PROMETHEUS_PORT", 9090), port_of("GRAFANA_PORT", 3000)
    folder = Home.from_environment().path / "monitoring" / stage
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        stack.enter_context(alone(folder, stage))
        secret = stack.enter_context(
            secret_file(folder, secret_of(account, outputs["UserPoolId"], target.client_id)),
        )
        seen = f"http://localhost:{ports[0]}"
        programs = [stack.enter_context(prometheus_running(target, folder, secret, ports[0]))]
        if found := grafana.find():
            programs.append(stack.enter_context(grafana_running(found, account, target, folder, ports[1], seen)))
            print(f"Grafana     http://localhost:{ports[1]}/d/slipway?var-stage={stage}")
        print(f"Prometheus  {seen}/user/{graphs.PAGE}")
        if found is None:
            print(f"\nGrafana is not on this machine, so there are no dashboards.\n{grafana.HOW}\n")
        print(f"{first_scrape(seen, programs)}\nCtrl-C stops.", flush=True)
        raise OperationError(why_ended(first_to_end(programs)))


@contextmanager
def alone(folder: Path, stage: str) -> Iterator[None]:
    """Hold the folder; raises OperationError while another command watches the stage."""
    with open(folder / "lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OperationError(f"Stage {stage} is watched already; end that `make monitoring` first.") from error
        yield


@contextmanager
def prometheus_running(target: Target, folder: Path, secret: Path, port: int) -> Iterator[Program]:
    """A Prometheus that scrapes the target, and keeps what it sees in the folder."""
    program, config = prometheus.binary(), folder / "prometheus.yml"
    config.write_text(configuration(target, secret))
    pages = folder / "pages"
    pages.mkdir(exist_ok=True)
    (pages / graphs.PAGE).write_text(graphs.page(graphs.variables_of(target.stage, target.scrape_interval)))
    command = [
        str(program),
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'prometheus'}",
        f"--storage.tsdb.retention.time={KEPT}",
        f"--web.listen-address=127.0.0.1:{port}",
        f"--web.user-assets={pages}",
        *prometheus.page_arguments(program),
    ]
    with started("Prometheus", command, folder / "prometheus.log", os.environ) as running:
        wait_for(running, f"http://127.0.0.1:{port}/-/ready")
        yield running


@contextmanager
def grafana_running(
    found: grafana.Grafana, account: Account, target: Target, folder: Path, port: int, seen: str
) -> Iterator[Program]:
    """A Grafana that shows what Prometheus at `seen` knows, and asks the account's CloudWatch."""
    around = grafana.environment(account.environment, folder / "grafana", port, seen, target.scrape_interval)
    with started("Grafana", grafana.command(found), folder / "grafana.log", around) as running:
        wait_for(running, f"http://localhost:{port}/api/health")
        yield running


if __name__ == "__main__":
    run(main)

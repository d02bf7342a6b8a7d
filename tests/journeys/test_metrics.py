"""GET /metrics of a whole platform: exact counts, and a real Prometheus.  `pytest tests/journeys/test_metrics.py`"""

import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import requests

from local.api_client import ApiClient
from tests.api.metrics import delivery, types
from tests.journeys.conftest import configured, functions, invoke
from tests.journeys.prometheus import query, scraping, targets
from tests.journeys.requests_sent import (
    Call,
    Seen,
    access_token,
    counted,
    credentials,
    logged,
    metrics,
    request_lines,
    send,
    settled,
    until_equal,
)
from tests.platform import Platform

CALLS = [
    *[Call("GET", "/health", "/health")] * 5,
    Call("PUT", "/jobs/job-0", "/jobs/{id}", "/jobs/{proxy+}", anonymous=True, attempts=2),
    Call("GET", "/training-types", "/training-types"),
    Call("GET", "/jobs?limit=1", "/jobs"),
    Call("GET", "/jobs/job-0/nothing/here", "unmatched"),
    Call("GET", "/datasets/ds-0000000000000000000", "/datasets/{id}", "/datasets/{proxy+}"),
    Call("POST", "/datasets", "/datasets", body={"nonsense": True}, attempts=2),
]
ROUTES = {route for call in CALLS for route in (call.route, call.resource)}
ANSWERING = ("system", "jobs", "datasets")
WORKERS, EACH = 16, 200


@pytest.fixture(scope="module")
def token(platform: Platform) -> str:
    return access_token(platform)


def test_counts_are_what_clients_saw_whatever_happens_to_functions_and_lines(
    platform: Platform, token: str, new_user: Callable[..., ApiClient]
) -> None:
    """16 clients x 200 requests; functions change and die in mid-run, lines are delivered again."""
    bearer = str(new_user().session.headers["Authorization"]).removeprefix("Bearer ")

    def on_page() -> Seen:
        return counted(platform, token, ROUTES)

    before = settled(on_page)  # lines of tests before may still be on their way
    changing = threading.Thread(target=change_functions, args=(platform,))
    changing.start()
    seen = send(platform.api_url, bearer, CALLS, WORKERS, EACH // 2)
    changing.join()
    assert kill_worker(platform, "system"), "an idle worker"
    seen += send(platform.api_url, bearer, CALLS, WORKERS, EACH // 2)
    assert seen.total() >= WORKERS * EACH
    assert {key[2] for key in seen} >= {"2xx", "4xx"}

    after = until_equal(on_page, lambda: before + seen)
    assert after - before == seen, f"{logged(platform, ANSWERING, ROUTES) - before=}"

    again = [json.dumps(line) for key in ANSWERING for line in request_lines(platform, key)][-500:]
    assert invoke(platform, "metrics_count", delivery(again)) == {"lines": len(again), "counted": 0}
    assert on_page() == after


def change_functions(platform: Platform) -> None:
    """Change functions' configurations while they answer, by which their workers are replaced."""
    for key in ANSWERING:
        with configured(platform, key, RECYCLED="once"):
            pass


def kill_worker(platform: Platform, key: str) -> bool:
    """End one worker process of a function, which runs in a folder named after the function."""
    name = functions(platform)[key].encode()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            command = (process / "cmdline").read_bytes()
            if name in command and bytes(platform.files.temporary) in command:
                os.kill(int(process.name), signal.SIGKILL)
                return True
    return False


def test_every_metric_is_there_with_its_name_and_type(platform: Platform, token: str) -> None:
    answer = requests.get(f"{platform.api_url}/metrics", headers={"Authorization": f"Bearer {token}"}, timeout=60)
    found = types(answer.text)
    promised = {
        "counter": {"request_count", "error_count", "sentiment_count", "job_count"},
        "histogram": {"request_latency_seconds", "text_length", "comprehend_latency_seconds", "sentiment_confidence"}
        | {"entities_per_text", "job_duration_seconds"},
        "gauge": {"active_requests", "jobs_active", "endpoint_count", "queue_depth", "queue_oldest_seconds"}
        | {"gpu_utilization_ratio", "slipway_source_up"},
    }
    assert {kind: {name for name, of in found.items() if of == kind} for kind in promised} == promised
    up = {
        str(labels): value for (name, *labels), value in metrics(platform, token).items() if name == "slipway_source_up"
    }
    assert list(up.values()) == [1, 1, 1], up


def test_only_programs_with_the_scope_read_on_a_stage_with_a_client(platform: Platform, member: ApiClient) -> None:
    url = f"{platform.api_url}/metrics"
    assert requests.get(url, timeout=60).status_code == 401
    bearer = {"Authorization": str(member.session.headers["Authorization"])}
    assert requests.get(url, headers=bearer, timeout=60).status_code == 401  # an ID token has no scope
    with_token = {"Authorization": f"Bearer {access_token(platform)}"}
    assert requests.get(url, headers=with_token, timeout=60).status_code == 200
    assert requests.get(f"{platform.api_url}/jobs", headers=with_token, timeout=60).status_code == 401


def test_a_real_prometheus_scrapes_and_answers(platform: Platform, token: str, tmp_path: Path) -> None:
    for _ in range(7):
        requests.get(f"{platform.api_url}/health", timeout=60).raise_for_status()
    arguments = platform.api_url, platform.outputs["TokenUrl"], *credentials(platform)
    with scraping(tmp_path, *arguments) as prometheus:
        wanted = lambda: logged(platform, ["system"], ["/health"])  # noqa: E731

        def answered() -> Seen:  # by the function: what the gateway answered for it in tests before is in other logs
            found = query(prometheus, 'request_count_total{job="slipway",route="/health",status="2xx"}')
            labels = [(json.loads(series), value) for series, value in found.items()]
            return Counter({(of["method"], of["route"], of["status"]): int(value) for of, value in labels})

        assert until_equal(answered, wanted) == wanted(), targets(prometheus)
        assert [health for health, _ in targets(prometheus)] == ["up"]
        slow = query(prometheus, "histogram_quantile(0.99, sum by (le) (request_latency_seconds_bucket))")
        assert 0 < next(iter(slow.values())) <= 30

"""Many clients at once, and what each of them saw; and what the platform's logs and metrics say of the same."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import requests

from tests.api.metrics import Samples, requests_of, samples
from tests.journeys.conftest import functions
from tests.platform import Platform

Seen = Counter[tuple[str, str, str]]  # (method, route, class of status) -> answers
ARRIVAL_SECONDS = 60
SETTLED_SECONDS = 3
POLL_SECONDS = 0.3
NO_FUNCTION = (502, 503, 504)  # API Gateway's answers: it got none, or none in time


@dataclass(frozen=True)
class Call:
    """A request as a client sends it, the template of the route that answers it, and API Gateway's for it if another.

    API Gateway's own counts where it answers because a function did not.
    """

    method: str
    path: str
    route: str
    gateway_route: str | None = None
    body: Any = None
    anonymous: bool = False
    attempts: int = 1  # of a client that does not take no for an answer

    @property
    def resource(self) -> str:
        return self.gateway_route or self.route

    def seen(self, status: int) -> tuple[str, str, str]:
        """Return what a client has seen that was answered with a status."""
        by_gateway = self.anonymous or status in NO_FUNCTION
        return self.method, self.resource if by_gateway else self.route, f"{status // 100}xx"


def send(api_url: str, token: str, calls: Sequence[Call], workers: int, each: int) -> Seen:
    """Send `each` requests from each of many clients at once; return what all of them saw.

    A client sends what fails again as often as the call says, and has seen every answer.
    """
    seen: Seen = Counter()
    lock = threading.Lock()

    def work(number: int) -> None:
        own: Seen = Counter()
        with requests.Session() as session:
            bearer = {"Authorization": f"Bearer {token}"}
            for turn in range(each):
                call = calls[(number + turn) % len(calls)]
                headers = None if call.anonymous else bearer
                for _ in range(call.attempts):
                    url = api_url + call.path
                    answer = session.request(call.method, url, json=call.body, headers=headers, timeout=60)
                    own[call.seen(answer.status_code)] += 1
                    if answer.ok:
                        break
        with lock:
            seen.update(own)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seen


def logged(platform: Platform, keys: Iterable[str], routes: Iterable[str]) -> Seen:
    """Return the requests of these routes that the functions' logs tell of, each once."""
    lines = {line["request_id"]: line for key in keys for line in request_lines(platform, key)}
    found = [(line["method"], line.get("route", ""), f"{line['status'] // 100}xx") for line in lines.values()]
    return Counter(each for each in found if each[1] in {*routes})


def request_lines(platform: Platform, key: str) -> Iterable[dict[str, Any]]:
    """Yield the lines that a function has written of requests."""
    configuration = platform.client("lambda").get_function_configuration(FunctionName=functions(platform)[key])
    pages = platform.client("logs").get_paginator("filter_log_events")
    for page in pages.paginate(logGroupName=configuration["LoggingConfig"]["LogGroup"]):
        lines = [event["message"] for event in page["events"] if event["message"].startswith("{")]
        yield from (line for line in map(json.loads, lines) if line["message"] == "request")


def access_token(platform: Platform) -> str:
    """Return an access token of the metrics' client, by its credentials."""
    client_id, secret = credentials(platform)
    answer = requests.post(
        platform.outputs["TokenUrl"],
        data={"grant_type": "client_credentials", "scope": "slipway/metrics.read"},
        auth=(client_id, secret),
        timeout=10,
    )
    assert answer.ok, answer.text
    return answer.json()["access_token"]


def credentials(platform: Platform) -> tuple[str, str]:
    """Return the id and the secret of the metrics' client, as an operator asks for them."""
    client_id = platform.outputs["MetricsClientId"]
    described = platform.client("cognito-idp").describe_user_pool_client(
        UserPoolId=platform.outputs["UserPoolId"], ClientId=client_id
    )
    return client_id, described["UserPoolClient"]["ClientSecret"]


def metrics(platform: Platform, token: str) -> Samples:
    """Return every sample of the page of the metrics."""
    answer = requests.get(f"{platform.api_url}/metrics", headers={"Authorization": f"Bearer {token}"}, timeout=60)
    assert answer.ok, answer.text
    return samples(answer.text)


def counted(platform: Platform, token: str, routes: Iterable[str]) -> Seen:
    """Return the requests of these routes that the metrics count."""
    of_routes = {*routes}
    found = requests_of(metrics(platform, token)).items()
    return Counter({key: int(number) for key, number in found if key[1] in of_routes})


def settled(ask: Callable[[], Seen]) -> Seen:
    """Ask until the answer has stayed the same for longer than lines take to arrive, or long enough; return it."""
    deadline = time.monotonic() + ARRIVAL_SECONDS
    found, since = ask(), time.monotonic()
    while time.monotonic() - since < SETTLED_SECONDS and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        if (now := ask()) != found:
            found, since = now, time.monotonic()
    return found


def until_equal(ask: Callable[[], Seen], wanted: Callable[[], Seen]) -> Seen:
    """Ask until the answer is what is wanted, or is past it, or long enough; return the last answer."""
    deadline = time.monotonic() + ARRIVAL_SECONDS
    while True:
        found, expected = ask(), wanted()
        if found == expected or found.total() > expected.total() or time.monotonic() > deadline:
            return found
        time.sleep(POLL_SECONDS)

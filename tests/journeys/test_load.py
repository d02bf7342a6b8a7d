"""Sixteen clients at once, reading and writing: nothing fails.  `pytest tests/journeys/test_load.py`"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from local.api_client import ApiClient
from tests.journeys.clients import Client, failures, live_together, told

CLIENTS = 16


@pytest.fixture
def clients(new_user: Callable[..., ApiClient]) -> Iterator[list[Client]]:
    """Users of their own, gone afterwards with all that they made."""
    with ThreadPoolExecutor(CLIENTS) as pool:
        made = [
            Client(api, random.Random(seed)) for seed, api in enumerate(pool.map(lambda _: new_user(), range(CLIENTS)))
        ]
        yield made
        list(pool.map(Client.clean_up, made))


@pytest.mark.parametrize("seconds", [20, pytest.param(120, marks=pytest.mark.slow)])
def test_no_request_of_sixteen_clients_fails(clients: list[Client], seconds: int, record_property: Any) -> None:
    took = live_together(clients, seconds)
    answers = [answer for client in clients for answer in client.answers]
    record_property(f"{CLIENTS} clients", told(answers, took))
    assert failures(answers) == {}
    assert all(client.answers for client in clients), "a client was never answered"


def test_a_request_that_fails_is_seen_to_fail(new_user: Callable[..., ApiClient]) -> None:
    client = Client(new_user(), random.Random(0))
    client.ask("GET", "/datasets/ds-0000000000000000000", "/datasets/{id}")
    client.api.api_url = "http://127.0.0.1:9"  # where nobody listens
    client.read_health()
    gone, unreachable = failures(client.answers)
    assert gone.startswith("GET /datasets/{id}: 404 ")
    assert unreachable.startswith("GET /health: ConnectionError")

"""What the look at endpoints asks CloudWatch for, and what it makes of the answer.

Run: python -m pytest tests/units/test_endpoint_health.py
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lambdas.endpoints import health, metrics
from tests.units.test_endpoints import ENDPOINT

CLOCK = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
Asked = list[tuple[list[dict[str, Any]], datetime, datetime]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """What CloudWatch is asked; each endpoint had two errors and took 1.5 seconds."""
    questions: Asked = []

    def read(queries: list[dict[str, Any]], since: datetime, until: datetime, period: int) -> dict[str, Any]:
        questions.append((queries, since, until))
        return {each["Id"]: {since: 2.0 if each["Id"].startswith("errors") else 1_500_000.0} for each in queries}

    monkeypatch.setattr(metrics, "read", read)
    return questions


def test_looks_at_equal_distances_see_every_five_minutes_once(asked: Asked) -> None:
    for phase in (0, 7, 119, 121, 299):
        asked.clear()
        for number in range(4):
            health.look([ENDPOINT], CLOCK + timedelta(seconds=phase + number * 300))
        seen = [(since, until) for _, since, until in asked]
        assert all(until - since == timedelta(minutes=5) for since, until in seen)
        assert [until for _, until in seen[:-1]] == [since for since, _ in seen[1:]]
        assert all(until <= CLOCK + timedelta(seconds=phase + n * 300 - 120) for n, (_, until) in enumerate(seen))


def test_errors_add_up_and_latencies_stay_apart_however_many_there_are(asked: Asked) -> None:
    errors, latencies = health.look([ENDPOINT] * 501, CLOCK)
    assert (errors, latencies) == (1002, [1500.0] * 501)
    assert [len(queries) for queries, _, _ in asked] == [500, 500, 2]
    for queries, _, _ in asked:
        assert len({query["Id"] for query in queries}) == len(queries)


def test_an_asynchronous_endpoint_may_be_slow(asked: Asked) -> None:
    assert health.look([ENDPOINT.model_copy(update={"kind": "async"})], CLOCK) == (2, [])

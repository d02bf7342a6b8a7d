"""Requests in transactions: whatever is delivered how often, the sums are those of each request once.

Run: python -m pytest tests/units/test_counting.py
"""

from collections import Counter
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as some

from lambdas.common.tallies import Tally, shards, tally_in, total
from lambdas.metrics.counting import MOST_ACTIONS, Series, actions, in_transactions, read, tallies_of, written
from lambdas.metrics.observations import Observation, Request

LABELS = some.sampled_from(["GET", "/jobs/{job_id}", "2xx", 'a"[b]', "é"])
OBSERVATIONS = some.one_of(
    some.builds(Observation, some.just("request_count"), some.tuples(LABELS, LABELS, LABELS)),
    some.builds(
        Observation,
        some.just("request_latency_seconds"),
        some.tuples(LABELS, LABELS),
        some.decimals(0, 40, places=6),
    ),
)
REQUESTS = some.lists(
    some.builds(
        Request,
        some.integers(0, 10**9).map(str),
        some.lists(OBSERVATIONS, min_size=1, max_size=10).map(tuple),
    ),
    unique_by=lambda request: request.id,
    max_size=60,
)


class Table:
    """The items that transactions leave, done as DynamoDB does them: whole, or not at all with each action's reason."""

    def __init__(self) -> None:
        self.markers: set[str] = set()
        self.items: dict[tuple[str, str], Tally] = {}

    def do(self, transaction: list[dict[str, Any]]) -> list[str]:
        """Do a transaction; return the reasons why not, none when it is done."""
        assert 1 <= len(transaction) <= MOST_ACTIONS
        puts = [each["Put"]["Item"]["id"]["S"] for each in transaction if "Put" in each]
        keys = [tuple(each["Update"]["Key"][k]["S"] for k in ("id", "series")) for each in transaction[len(puts) :]]
        assert len({*puts, *keys}) == len(transaction), "DynamoDB refuses two actions on an item"
        if self.markers & {*puts}:
            return ["ConditionalCheckFailed" if id in self.markers else "None" for id in puts]
        self.markers |= {*puts}
        for key, each in zip(keys, transaction[len(puts) :], strict=True):
            names, values = each["Update"]["ExpressionAttributeNames"], each["Update"]["ExpressionAttributeValues"]
            added = tally_in({name: values[f":{place[1:]}"] for place, name in names.items()})
            self.items[key] = total([self.items.get(key, {}), added])
        return []

    def sums(self) -> dict[Series, Tally]:
        """Return the series, their shards summed."""
        found: dict[Series, list[Tally]] = {}
        for (_, series), tally in self.items.items():
            found.setdefault(read(series), []).append(tally)
        return {series: total(tallies) for series, tallies in found.items()}


@given(REQUESTS, some.data())
def test_any_split_duplication_and_order_of_deliveries_gives_the_same_sums(requests: Any, data: Any) -> None:
    again = data.draw(some.lists(some.sampled_from(requests), max_size=20)) if requests else []
    lines = data.draw(some.permutations([*requests, *again]))
    table = Table()
    while lines:
        size = data.draw(some.integers(1, len(lines)))
        batch, lines = lines[:size], lines[size:]
        for group in in_transactions(batch):
            while group:
                shard = data.draw(some.sampled_from(shards()))
                codes = table.do(actions(group, "metrics", shard, now=0))
                if not codes:
                    break
                group = [request for request, code in zip(group, codes, strict=True) if code == "None"]
    assert table.sums() == tallies_of(requests)


@given(REQUESTS)
def test_transactions_hold_every_request_once_and_few_are_needed(requests: list[Request]) -> None:
    groups = in_transactions([*requests, *requests])
    assert Counter(request.id for group in groups for request in group) == Counter(each.id for each in requests)
    alike = [Request(str(number), requests[0].observations) for number in range(300)] if requests else []
    assert len(in_transactions(alike)) <= 4


@given(some.text(max_size=20), some.lists(some.text(max_size=20)).map(tuple))
def test_a_series_is_read_as_it_was_written(name: str, labels: tuple[str, ...]) -> None:
    series = name.replace("[", "_"), labels
    assert read(written(series)) == series


def test_sums_of_latencies_are_exact() -> None:
    requests = [
        Request(str(n), (Observation("request_latency_seconds", ("GET", "/"), Decimal("0.1")),)) for n in range(1000)
    ]
    assert tallies_of(requests)["request_latency_seconds", ("GET", "/")]["sum"] == Decimal(100)

"""Counters and histograms in DynamoDB: an item per series and shard, which only ever grows and is summed when read.

Many writers add to one series at the same moment; each takes a shard at random, so they rarely meet. A histogram's item
has, beside the count and the sum, how many values fell into each bucket by itself: Prometheus' cumulative buckets are
made when it is read, so that bounds may be added and left out later.
"""

import random
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

SHARDS = 8
COUNT, SUM, BUCKET = "count", "sum", "le_"
JOB_SECONDS = (60, 300, 900, 1800, 3600, 7200, 14_400, 28_800, 86_400, 432_000)  # SageMaker stops a job after 5 days
ONE = Decimal(1)
Tally = dict[str, Decimal]  # attribute -> what it grows by, or has grown to


def any_shard() -> str:
    """Return one of the shards at random."""
    return shards()[random.randrange(SHARDS)]


def shards() -> list[str]:
    """Return all shards."""
    return [f"shard-{number}" for number in range(SHARDS)]


def counted(value: Decimal = ONE) -> Tally:
    """Return what a counter grows by."""
    return {COUNT: value}


def observed(value: Decimal, bounds: Sequence[float]) -> Tally:
    """Return what a histogram with these upper bounds grows by; a value at a bound is within it."""
    at = bisect_left(bounds, value)
    bucket = {f"{BUCKET}{bounds[at]:g}": ONE} if at < len(bounds) else {}
    return {COUNT: ONE, SUM: value, **bucket}


def total(tallies: Iterable[Tally]) -> Tally:
    """Return the sum of tallies."""
    summed: Tally = {}
    for tally in tallies:
        for name, value in tally.items():
            summed[name] = summed.get(name, Decimal(0)) + value
    return summed


def adding(table: str, key: Mapping[str, Any], tally: Tally) -> dict[str, Any]:
    """Return the arguments of the update that adds a tally to an item, which need not exist."""
    names = {f"#{number}": name for number, name in enumerate(tally)}
    return {
        "TableName": table,
        "Key": dict(key),
        "UpdateExpression": "ADD " + ", ".join(f"{place} :{place[1:]}" for place in names),
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": {f":{place[1:]}": {"N": f"{tally[name]:f}"} for place, name in names.items()},
    }


def tally_in(item: Mapping[str, Any]) -> Tally:
    """Return the tally of an item as DynamoDB gives it."""
    of_tally = {name for name in item if name in (COUNT, SUM) or name.startswith(BUCKET)}
    return {name: Decimal(item[name]["N"]) for name in of_tally}


def cumulative(tally: Tally, bounds: Sequence[float]) -> list[tuple[float, float]]:
    """Return a histogram's buckets as Prometheus has them: upper bound and values up to it, the infinite one last."""
    stored = {float(name.removeprefix(BUCKET)): count for name, count in tally.items() if name.startswith(BUCKET)}
    upto = [(bound, float(sum(count for at, count in stored.items() if at <= bound))) for bound in bounds]
    return [*upto, (float("inf"), float(tally[COUNT]))]

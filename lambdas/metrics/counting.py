"""Requests counted in DynamoDB, each exactly once, however often its log line is delivered.

One transaction counts several requests: a marker per request, which must not be there yet, and an addition to each
series that they touch, in one shard at random. So a function that dies, or is told the same lines again, leaves either
the marker and its counts or neither. Markers go after two days: Lambda gives up on an event after six hours.
"""

import json
import random
import time
from collections.abc import Iterable, Sequence
from typing import Any

from lambdas.common import aws
from lambdas.common.environment import variable
from lambdas.common.tallies import Tally, adding, any_shard, counted, observed, shards, tally_in, total
from lambdas.metrics.catalogue import METRICS
from lambdas.metrics.observations import Observation, Request

Series = tuple[str, tuple[str, ...]]  # a metric's name, and the values of its labels
MOST_ACTIONS = 100  # of a transaction
MARKER_SECONDS = 2 * 24 * 3600
TURNS = 10
COUNTED = "ConditionalCheckFailed"  # by whom the same line was delivered before
BUSY = {"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}


class NotCounted(Exception):
    """Others kept changing the same series; Lambda delivers the lines again."""


# ------------------------------------------------------------------------------------------- pure


def in_transactions(requests: Iterable[Request]) -> list[list[Request]]:
    """Return the requests, each id once, in groups that one transaction holds."""
    groups: list[list[Request]] = []
    touched: set[Series] = set()
    for request in {request.id: request for request in requests}.values():
        own = set(map(series_of, request.observations))
        if not groups or len(groups[-1]) + 1 + len(touched | own) > MOST_ACTIONS:
            groups.append([])
            touched = set()
        groups[-1].append(request)
        touched |= own
    return groups


def tallies_of(requests: Iterable[Request]) -> dict[Series, Tally]:
    """Return what requests add to each series."""
    added: dict[Series, list[Tally]] = {}
    for request in requests:
        for observation in request.observations:
            added.setdefault(series_of(observation), []).append(tally_of(observation))
    return {series: total(tallies) for series, tallies in added.items()}


def series_of(observation: Observation) -> Series:
    """Return the series of an observation."""
    return observation.metric, observation.labels


def tally_of(observation: Observation) -> Tally:
    """Return what one observation adds to its series."""
    metric = METRICS[observation.metric]
    is_counter = metric.kind == "counter"
    return counted(observation.value) if is_counter else observed(observation.value, metric.buckets)


def written(series: Series) -> str:
    """Return a series as a sort key: `request_count["GET","/health","2xx"]`."""
    name, labels = series
    return name + json.dumps(labels, separators=(",", ":"))


def read(key: str) -> Series:
    """Return the series of a sort key."""
    name, _, labels = key.partition("[")
    return name, tuple(json.loads(f"[{labels}"))


def actions(requests: Sequence[Request], table: str, shard: str, now: float) -> list[dict[str, Any]]:
    """Return the transaction that counts requests: their markers in the same order, then the additions."""
    expires_at = {"N": str(int(now) + MARKER_SECONDS)}
    markers = [
        {
            "Put": {
                "TableName": table,
                "Item": {"id": {"S": f"request#{request.id}"}, "series": {"S": "counted"}, "expires_at": expires_at},
                "ConditionExpression": "attribute_not_exists(id)",
            }
        }
        for request in requests
    ]
    additions = [
        {"Update": adding(table, {"id": {"S": shard}, "series": {"S": written(series)}}, tally)}
        for series, tally in tallies_of(requests).items()
    ]
    return [*markers, *additions]


# -------------------------------------------------------------------------------------------- AWS


def count(requests: Iterable[Request]) -> int:
    """Count requests that are not counted yet; return how many. Raises NotCounted."""
    return sum(count_together(group) for group in in_transactions(requests))


def count_together(requests: list[Request]) -> int:
    """Count requests in one transaction; those that are counted already are left out. Raises NotCounted."""
    turn = 0
    while requests:
        codes = transact(requests)
        if codes is None:
            break
        old = {request.id for request, code in zip(requests, codes, strict=False) if code == COUNTED}
        requests = [request for request in requests if request.id not in old]
        if old:
            continue  # there are fewer now: this ends
        turn += 1
        if turn == TURNS:
            raise NotCounted(f"{len(requests)} requests are not counted: the series are busy.")
        time.sleep(random.uniform(0, 0.02 * 2**turn))
    return len(requests)


def transact(requests: Sequence[Request]) -> list[str] | None:
    """Try the transaction in a shard at random; return None when it is done, else why not, action by action."""
    dynamodb = aws.client("dynamodb")
    try:
        dynamodb.transact_write_items(
            TransactItems=actions(requests, variable("METRICS_TABLE"), any_shard(), time.time())
        )
    except dynamodb.exceptions.TransactionCanceledException as error:
        codes = [reason.get("Code", "None") for reason in error.response.get("CancellationReasons", [])]
        if not {*codes} & {COUNTED, *BUSY}:
            raise
        return codes
    return None


def counters() -> dict[Series, Tally]:
    """Return every series as it stands, its shards summed.

    Read consistently: an older state than the one shown before would look like a restart, and Prometheus would count
    all of it again.
    """
    pages = aws.client("dynamodb").get_paginator("query").paginate
    found: dict[Series, list[Tally]] = {}
    for shard in shards():
        for page in pages(
            TableName=variable("METRICS_TABLE"),
            KeyConditionExpression="id = :shard",
            ExpressionAttributeValues={":shard": {"S": shard}},
            ConsistentRead=True,
        ):
            for item in page["Items"]:
                found.setdefault(read(item["series"]["S"]), []).append(tally_in(item))
    return {series: total(tallies) for series, tallies in found.items()}

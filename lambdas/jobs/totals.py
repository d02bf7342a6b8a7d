"""How many jobs of everybody have ended, and how long they ran: counted in the transaction that ends a job.

The items are in the jobs table, in a partition of their own: `completed#shard-3`.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any

from lambdas.common import aws
from lambdas.common.environment import variable
from lambdas.common.items import key
from lambdas.common.tallies import JOB_SECONDS, SHARDS, Tally, adding, any_shard, counted, observed, tally_in, total
from lambdas.common.transactions import Write
from lambdas.jobs.outcome import Outcome
from lambdas.jobs.schemas import Job

PARTITION = "ended#"  # no username has a `#`
DURATIONS = "-seconds"  # beside an outcome: of the jobs that started


def ended(job: Job, outcome: Outcome, changes: dict[str, Any]) -> list[Write]:
    """Return the writes that count how a job ends by these changes; they belong in the transaction that ends it."""
    tallies = {outcome: counted()}
    started_at, ended_at = changes.get("started_at") or job.started_at, changes["ended_at"]
    if started_at:
        ran = (datetime.fromisoformat(ended_at) - datetime.fromisoformat(started_at)).total_seconds()
        tallies[f"{outcome}{DURATIONS}"] = observed(round(Decimal(max(ran, 0)), 3), JOB_SECONDS)
    shard = any_shard()
    return [
        Write("Update", adding(variable("JOBS_TABLE"), key(PARTITION, f"{name}#{shard}"), tally))
        for name, tally in tallies.items()
    ]


def totals() -> tuple[dict[str, Tally], dict[str, Tally]]:
    """Return by outcome how many jobs have ended, and how long those ran that started; at most 48 items are read."""
    found = aws.client("dynamodb").query(
        TableName=variable("JOBS_TABLE"),
        KeyConditionExpression="#owner = :ended",
        ExpressionAttributeNames={"#owner": "owner"},
        ExpressionAttributeValues={":ended": {"S": PARTITION}},
        ConsistentRead=True,
    )["Items"]
    assert len(found) <= 6 * SHARDS
    names = {item["id"]["S"].partition("#")[0] for item in found}
    sums = {n: total(tally_in(item) for item in found if item["id"]["S"].startswith(f"{n}#")) for n in sorted(names)}
    durations = {name: tally for name, tally in sums.items() if name.endswith(DURATIONS)}
    return (
        {name: tally for name, tally in sums.items() if name not in durations},
        {name.removesuffix(DURATIONS): tally for name, tally in durations.items()},
    )

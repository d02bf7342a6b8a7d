"""What a user may train: counters per user, changed in the transactions that begin and end jobs.

A job counts from when it is queued until it has ended. Its longest run is taken from the month's hours when it begins,
and what it did not use is given back when it ends: the sum never exceeds the limit, whoever asks at the same moment.
"""

from datetime import UTC, datetime, timedelta

from lambdas.common import aws
from lambdas.common.environment import optional, variable
from lambdas.common.errors import TooManyRequests
from lambdas.common.items import key
from lambdas.common.transactions import Write
from lambdas.jobs.answers import Usage
from lambdas.jobs.schemas import Job

AT_ONCE = "usage#jobs"
HOUR = 3600


def charging(job: Job) -> list[Write]:
    """Return the writes that count a job whose `charged_month` is set; they fail with TooManyRequests past a limit."""
    assert job.charged_month is not None
    return [charging_job(job.owner), charging_hours(job.owner, job.charged_month, job.charged_seconds)]


def charging_job(owner: str) -> Write:
    """Return the write that counts one more job as queued or running."""
    most = int(variable("MAX_JOBS_PER_USER"))
    detail = f"You have {most} jobs that wait or run, the most there may be; stop one, or try again when one has ended."
    update = counting(owner, AT_ONCE, 1)
    update["ConditionExpression"] = "attribute_not_exists(#count) OR #count < :most"
    update["ExpressionAttributeValues"][":most"] = {"N": str(most)}
    return Write("Update", update, TooManyRequests(detail, retry_after=60))


def charging_hours(owner: str, month: str, seconds: int) -> Write:
    """Return the write that takes instance-seconds from a month; raises TooManyRequests when they never fit."""
    update, most = counting(owner, f"usage#{month}", seconds), optional("MAX_INSTANCE_HOURS_PER_USER")
    if most is None:
        return Write("Update", update)
    room = int(most) * HOUR - seconds
    detail = (
        f"This may take {seconds / HOUR:.1f} instance-hours, and you may have {most} in a month (GET /jobs/usage says "
        "what is left): lower max_runtime_seconds, or ask an admin for a larger max_instance_hours_per_user."
    )
    refusal = TooManyRequests(detail, retry_after=seconds_left(datetime.now(UTC)))
    if room < 0:
        raise refusal
    update["ConditionExpression"] = "attribute_not_exists(#count) OR #count <= :room"
    update["ExpressionAttributeValues"][":room"] = {"N": str(room)}
    return Write("Update", update, refusal)


def releasing(job: Job) -> list[Write]:
    """Return the writes that count a job as ended now; they belong in a transaction that happens once."""
    if job.charged_month is None:
        return []
    unused = job.charged_seconds - used_seconds(job, datetime.now(UTC))
    changes = [(AT_ONCE, -1), (f"usage#{job.charged_month}", -unused)]
    return [Write("Update", counting(job.owner, counter, change)) for counter, change in changes]


def used_seconds(job: Job, ended: datetime) -> int:
    """Return the instance-seconds that a job took, never more than it was charged for."""
    if job.started_at is None:
        return 0
    ran = (ended - datetime.fromisoformat(job.started_at)).total_seconds()
    return min(max(round(ran), 0) * job.instance_count, job.charged_seconds)


def month_of(time: datetime) -> str:
    """Return the month that a job which begins now counts against."""
    return time.strftime("%Y-%m")


def seconds_left(now: datetime) -> int:
    """Return the seconds until the next month begins."""
    next_month = (now.replace(day=1) + timedelta(days=32)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return int((next_month - now).total_seconds()) + 1


def counting(owner: str, counter: str, change: int) -> dict:
    """Return the arguments of the update that adds to one of a user's counters."""
    return {
        "TableName": variable("JOBS_TABLE"),
        "Key": key(owner, counter),
        "UpdateExpression": "ADD #count :change",
        "ExpressionAttributeNames": {"#count": "count"},
        "ExpressionAttributeValues": {":change": {"N": str(change)}},
    }


def usage(owner: str) -> Usage:
    """Return what a user's jobs take and may take."""
    month, most = month_of(datetime.now(UTC)), optional("MAX_INSTANCE_HOURS_PER_USER")
    return Usage(
        jobs=read(owner, AT_ONCE),
        max_jobs=int(variable("MAX_JOBS_PER_USER")),
        month=month,
        instance_hours=round(read(owner, f"usage#{month}") / HOUR, 2),
        max_instance_hours=int(most) if most else None,
    )


def read(owner: str, counter: str) -> int:
    """Return one of a user's counters."""
    answer = aws.client("dynamodb").get_item(
        TableName=variable("JOBS_TABLE"), Key=key(owner, counter), ConsistentRead=True
    )
    return int(answer.get("Item", {}).get("count", {}).get("N", 0))

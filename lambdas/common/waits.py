"""What is under way: one item per job, dataset or endpoint that is not at rest yet, with the task token of
the workflow that waits for it. Opened with the record, closed with its last change; reconcile reads the rest.
"""

import json
import time
from collections.abc import Callable
from typing import Any

from lambdas.common import aws
from lambdas.common.environment import variable
from lambdas.common.errors import Conflict
from lambdas.common.observability import logger
from lambdas.common.transactions import Write

YEAR = 366 * 24 * 3600  # a standard workflow cannot outlive it
# A token past its deadline, already answered, or of an execution that is gone: nobody waits any more. The
# caller has described the resource and stores its state itself, so nothing is lost.
NOBODY_WAITS = {"TaskTimedOut", "TaskDoesNotExist", "InvalidToken"}


def opening(id: str, owner: str) -> Write:
    """Return the write that marks `id` as under way; it belongs in the transaction that creates the record."""
    item = {
        "id": {"S": id},
        "owner": {"S": owner},
        "opened_at": {"N": str(int(time.time()))},
        "expires_at": {"N": str(int(time.time()) + YEAR)},
    }
    put = {"TableName": variable("WAITS_TABLE"), "Item": item, "ConditionExpression": "attribute_not_exists(id)"}
    return Write("Put", put, Conflict(f"{id} is under way already."))


def closing(id: str) -> Write:
    """Return the write that marks `id` as at rest; it belongs in the transaction that ends the record."""
    delete = {"TableName": variable("WAITS_TABLE"), "Key": {"id": {"S": id}}}
    return Write("Delete", delete, Conflict(f"{id} is at rest already."))


def keep_token(id: str, token: str) -> None:
    """Keep a workflow's task token before the call is made whose end it waits for."""
    aws.client("dynamodb").update_item(
        TableName=variable("WAITS_TABLE"),
        Key={"id": {"S": id}},
        UpdateExpression="SET #token = :token",
        ExpressionAttributeNames={"#token": "token"},
        ExpressionAttributeValues={":token": {"S": token}},
    )


def under_way(prefix: str) -> list[tuple[str, str]]:
    """Return (owner, id) of everything under way whose id starts with `prefix`.

    This reads what is running now, never what has ended: the table's size is the platform's concurrency.
    """
    pages = (
        aws.client("dynamodb")
        .get_paginator("scan")
        .paginate(
            TableName=variable("WAITS_TABLE"),
            FilterExpression="begins_with(id, :prefix)",
            ExpressionAttributeValues={":prefix": {"S": prefix}},
        )
    )
    return [(item["owner"]["S"], item["id"]["S"]) for page in pages for item in page["Items"] if "owner" in item]


def reconcile_all(prefix: str, reconcile: Callable[[str, str], None]) -> None:
    """Call `reconcile(owner, id)` for everything under way whose id starts with `prefix`.

    One that cannot be reconciled does not keep the others from it; its error is raised in the end, for the alarm.
    """
    failures = []
    for owner, id in under_way(prefix):
        try:
            reconcile(owner, id)
        except Exception as error:
            logger.exception("not reconciled", extra={"id": id})
            failures.append(error)
    if failures:
        raise failures[0]


def succeed(id: str, output: dict[str, Any]) -> bool:
    """Let the workflow that waits for `id` go on with `output`; return False when nobody waits."""
    return _send(id, "send_task_success", output=json.dumps(output))


def fail(id: str, error: str, cause: str) -> bool:
    """Let the workflow that waits for `id` fail; return False when nobody waits."""
    return _send(id, "send_task_failure", error=error[:256], cause=cause[:32_768])


def heartbeat(id: str) -> bool:
    """Tell the workflow that waits for `id` that its resource lives; return False when nobody waits."""
    return _send(id, "send_task_heartbeat")


def _send(id: str, operation: str, **answer: str) -> bool:
    key = {"id": {"S": id}}
    item = aws.client("dynamodb").get_item(TableName=variable("WAITS_TABLE"), Key=key, ConsistentRead=True).get("Item")
    if item is None or "token" not in item:
        return False
    try:
        getattr(aws.client("stepfunctions"), operation)(taskToken=item["token"]["S"], **answer)
    except Exception as error:
        if aws.error_code(error) not in NOBODY_WAITS:
            raise
        logger.info("nobody waits", extra={"id": id, "reason": aws.error_code(error)})
        return False
    return True

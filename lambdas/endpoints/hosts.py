"""Which components are on an endpoint of SageMaker: an item for each host, in a partition beside the records.

A component is among its host's members from the transaction that begins its run until it is gone from SageMaker. Who
leaves last deletes the host; from then on, and until that is done, nobody joins.
"""

from typing import Any

from lambdas.common import aws
from lambdas.common.environment import variable
from lambdas.common.errors import Conflict
from lambdas.common.items import Item, key
from lambdas.common.transactions import Write
from lambdas.endpoints.schemas import Endpoint

PARTITION = "hosts#"  # no username has a `#`


def joining(endpoint: Endpoint, first: bool) -> list[Write]:
    """Return the write that makes an endpoint one of its host's members; none for other kinds.

    `first` says that there is no host yet. Fails with Conflict when that has changed.
    """
    if endpoint.host is None:
        return []
    condition = "attribute_not_exists(id)" if first else "attribute_exists(members)"
    update = update_of(endpoint, "ADD members :id") | {"ConditionExpression": condition}
    return [Write("Update", update, Conflict(f"What {endpoint.id} is to run on changes just now; try again."))]


def is_first(host: str) -> bool:
    """Return whether there is no such host yet; raises Conflict while it is being deleted."""
    item = read(host)
    if item is not None and "members" not in item:
        raise Conflict("The instances that it is to run on are being taken away; try again in a minute.")
    return item is None


def members(host: str) -> list[str]:
    """Return the ids of the endpoints whose components are on a host, or about to be."""
    return sorted((read(host) or {}).get("members", {}).get("SS", []))


def leave(endpoint: Endpoint) -> list[str] | None:
    """Take an endpoint, whose component is gone, from its host's members; return those that stay. Safe to repeat.

    None says that the host is gone already: it was the last one's to delete.
    """
    dynamodb = aws.client("dynamodb")
    update = update_of(endpoint, "DELETE members :id") | {
        "ConditionExpression": "attribute_exists(id)",
        "ReturnValues": "ALL_NEW",
    }
    try:
        item = dynamodb.update_item(**update)["Attributes"]
    except dynamodb.exceptions.ConditionalCheckFailedException:
        return None
    return sorted(item.get("members", {}).get("SS", []))


def forget(host: str) -> None:
    """Remove the item of a host that SageMaker has no more; one that has members again stays."""
    dynamodb = aws.client("dynamodb")
    try:
        dynamodb.delete_item(
            TableName=variable("ENDPOINTS_TABLE"),
            Key=item_key(host),
            ConditionExpression="attribute_not_exists(members)",
        )
    except dynamodb.exceptions.ConditionalCheckFailedException:
        return


def read(host: str) -> Item | None:
    """Return a host's item, if there is one."""
    table = variable("ENDPOINTS_TABLE")
    answer = aws.client("dynamodb").get_item(TableName=table, Key=item_key(host), ConsistentRead=True)
    return answer.get("Item")


def update_of(endpoint: Endpoint, expression: str) -> dict[str, Any]:
    """Return the update of a host's members by one endpoint."""
    return {
        "TableName": variable("ENDPOINTS_TABLE"),
        "Key": item_key(endpoint.host or ""),
        "UpdateExpression": expression,
        "ExpressionAttributeValues": {":id": {"SS": [endpoint.id]}},
    }


def item_key(host: str) -> Item:
    """Return the key of a host's item."""
    return key(PARTITION, f"{host}#host")

"""Which endpoints SageMaker has, or is about to: one item each, beside the records, in a partition of their own.

The sweep reads these instead of every endpoint that ever was. An item comes and goes in the transaction that starts or
ends an endpoint's run, so there is one exactly while the endpoint may be billed.
"""

from collections.abc import Iterator

from lambdas.common import aws
from lambdas.common.environment import variable
from lambdas.common.items import from_item, key, read_items
from lambdas.common.transactions import Write
from lambdas.endpoints.schemas import Endpoint

PARTITION = "awake#"  # no username has a `#`


def adding(endpoint: Endpoint) -> Write:
    """Return the write that counts an endpoint among those awake."""
    item = key(PARTITION, item_id(endpoint.id)) | {
        "user": {"S": endpoint.owner},
        "endpoint": {"S": endpoint.id},
    }
    return Write("Put", {"TableName": variable("ENDPOINTS_TABLE"), "Item": item})


def removing(id: str) -> Write:
    """Return the write that no longer does; again is no error."""
    delete = {"TableName": variable("ENDPOINTS_TABLE"), "Key": key(PARTITION, item_id(id))}
    return Write("Delete", delete)


def everyone() -> Iterator[tuple[str, str]]:
    """Yield (owner, id) of every endpoint that is awake: as many items are read as there are of them."""
    pages = (
        aws.client("dynamodb")
        .get_paginator("query")
        .paginate(
            TableName=variable("ENDPOINTS_TABLE"),
            KeyConditionExpression="#owner = :awake",
            ExpressionAttributeNames={"#owner": "owner"},
            ExpressionAttributeValues={":awake": {"S": PARTITION}},
            ConsistentRead=True,
        )
    )
    for page in pages:
        for item in page["Items"]:
            yield item["user"]["S"], item["endpoint"]["S"]


def awake_endpoints(owner: str | None) -> list[Endpoint]:
    """Return a user's (None: everybody's) endpoints that are awake, the oldest first."""
    keys = [key(user, id) for user, id in everyone() if owner in (None, user)]
    found = [Endpoint.model_validate(from_item(item)) for item in read_items(variable("ENDPOINTS_TABLE"), keys)]
    return sorted(found, key=lambda endpoint: endpoint.id)


def item_id(id: str) -> str:
    """Return the id of an endpoint's item; with a `#`, so that it is nobody's record."""
    return f"{id}#awake"

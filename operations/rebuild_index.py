"""`make rebuild-index STAGE=dev`: make the registry's table and search index again from what is beside the files in S3.

For after a table was lost or restored from a backup. What is in the table already stays true; doing it twice does no
harm, and people may go on working meanwhile.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from operations.account import Account, account_of
from operations.deployed import platform_stack, resources_of
from operations.settings import settings_of
from operations.terminal import OperationError, run

LOGICAL_ID = "ModelsRebuild"  # what the function's name in the platform stack begins with
PAGE_SECONDS = 910  # the function may take 900 for a page


@dataclass(frozen=True)
class Holders:
    """Records that hold a model version: which they are, and the attributes that say which version it is."""

    noun: str
    prefix: str
    model: str
    version: str
    condition: str
    values: dict[str, Any]
    named: dict[str, Any] = field(default_factory=dict)


HOLDERS = {
    "endpoints": Holders(
        "endpoints", "ep-", "model", "model_version_id", "holds_model = :true", {":true": {"BOOL": True}}
    ),
    "jobs": Holders(  # they let go when they end
        "jobs",
        "job-",
        "base_model",
        "base_model_id",
        "attribute_exists(base_model_id) AND #status IN (:pending, :running)",
        {":pending": {"S": "pending"}, ":running": {"S": "running"}},
        {"ExpressionAttributeNames": {"#status": "status"}},
    ),
}


def main(arguments: Sequence[str]) -> int:
    """Rebuild the registry of a stage: the argument is the stage."""
    (stage,) = arguments
    settings_of(stage)
    account = account_of(stage)
    restored = 0
    for page in pages(account, function_of(account, stage)):
        restored += page["restored"]
        if page["restored"]:
            print(f"{restored} model versions restored so far", flush=True)
    tables = {noun: table_of(account, stage, noun) for noun in ("models", "endpoints", "jobs")}
    held = {noun: list(restore_holds(account, holders, tables)) for noun, holders in HOLDERS.items()}
    counts = {noun: sum(restored for _, restored in found) for noun, found in held.items()}
    print(
        f"Restored {restored} model versions that stage {stage} lacked; "
        f"{counts['endpoints']} endpoints and {counts['jobs']} jobs hold theirs."
    )
    for holder in (id for found in held.values() for id, restored in found if not restored):
        print(f"{holder} uses a version that is not in the registry; delete it, or look for the version's files.")
    return 0


def function_of(account: Account, stage: str) -> str:
    """Return the name of the function that rebuilds; raises OperationError when the stage has none."""
    for resource in resources_of(account, platform_stack(stage)):
        if resource.type == "AWS::Lambda::Function" and resource.logical_id.startswith(LOGICAL_ID):
            return resource.physical_id
    raise OperationError(f"Stage {stage} has no function that rebuilds; run `make deploy STAGE={stage}`.")


def pages(account: Account, function: str) -> Iterator[dict[str, Any]]:
    """Yield what the function says of each page until there is none left; raises OperationError when it fails."""
    client = account.client("lambda", seconds=PAGE_SECONDS)
    cursor: str | None = None
    while True:
        answer = client.invoke(FunctionName=function, Payload=json.dumps({"cursor": cursor}).encode())
        page = json.load(answer["Payload"])
        if "FunctionError" in answer:
            raise OperationError(
                f"{function} failed: {page.get('errorMessage')}. What is restored stays; run it again."
            )
        yield page
        cursor = page["cursor"]
        if cursor is None:
            return


def table_of(account: Account, stage: str, noun: str) -> str:
    """Return the name of a noun's table."""
    return account.client("ssm").get_parameter(Name=f"/slipway/{stage}/{noun}-table")["Parameter"]["Value"]


def restore_holds(account: Account, holders: Holders, tables: dict[str, str]) -> Iterator[tuple[str, bool]]:
    """Let each holder hold the version that it uses; yield its id, and whether there was one to hold.

    Holds are not in S3: they say what the holders' own records say, and keep a version from being deleted.
    """
    prefix = {":prefix": {"S": holders.prefix}}
    found = (
        account.client("dynamodb")
        .get_paginator("scan")
        .paginate(
            TableName=tables[holders.noun],
            FilterExpression=f"begins_with(id, :prefix) AND {holders.condition}",
            **holders.named,
            ExpressionAttributeValues=prefix | holders.values,
        )
    )
    for item in (item for page in found for item in page["Items"]):
        gone = hold(account, holders, tables, item)
        if gone != holders.noun:
            yield item["id"]["S"], gone is None


def hold(account: Account, holders: Holders, tables: dict[str, str], item: dict[str, Any]) -> str | None:
    """Store a hold; return the noun whose record was gone when there was nothing to hold or be held."""
    client = account.client("dynamodb")
    owner = item[holders.model]["M"].get("user_id", item["owner"])
    # Together: a holder that lets go at this moment has let go, and nobody else would release it again.
    still_there = {
        "TableName": tables[holders.noun],
        "Key": {"owner": item["owner"], "id": item["id"]},
        "ConditionExpression": holders.condition,
        **holders.named,
        "ExpressionAttributeValues": holders.values,
    }
    addition = {
        "TableName": tables["models"],
        "Key": {"owner": owner, "id": item[holders.version]},
        "UpdateExpression": "ADD holds :holder",
        "ConditionExpression": "attribute_exists(id)",
        "ExpressionAttributeValues": {":holder": {"SS": [item["id"]["S"]]}},
    }
    try:
        client.transact_write_items(TransactItems=[{"ConditionCheck": still_there}, {"Update": addition}])
    except client.exceptions.TransactionCanceledException as error:
        codes = [reason.get("Code") for reason in error.response["CancellationReasons"]]
        if "ConditionalCheckFailed" not in codes:
            raise
        return (holders.noun, "models")[codes.index("ConditionalCheckFailed")]
    return None


if __name__ == "__main__":
    run(main)

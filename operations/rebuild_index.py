"""`make rebuild-index STAGE=dev`: make the registry's table and search index again from what is beside the files in S3.

For after a table was lost or restored from a backup. What is in the table already stays true; doing it twice does no
harm, and people may go on working meanwhile.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from operations.account import Account, account_of
from operations.deployed import platform_stack, resources_of
from operations.settings import settings_of
from operations.terminal import OperationError, run

LOGICAL_ID = "ModelsRebuild"  # what the function's name in the platform stack begins with
PAGE_SECONDS = 910  # the function may take 900 for a page


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
    held, missing = restore_holds(account, table_of(account, stage, "endpoints"), table_of(account, stage, "models"))
    print(f"Restored {restored} model versions that stage {stage} lacked; {held} endpoints hold theirs.")
    for endpoint in missing:
        print(
            f"The endpoint {endpoint} serves a version that is not in the registry; delete it, or look for its files."
        )
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


def restore_holds(account: Account, endpoints: str, models: str) -> tuple[int, list[str]]:
    """Let each endpoint hold the version it was made of; return how many do, and which found no version.

    Holds are not in S3: they say what the endpoints' own records say, and keep a version from being deleted.
    """
    held, missing = 0, []
    found = (
        account.client("dynamodb")
        .get_paginator("scan")
        .paginate(
            TableName=endpoints,
            FilterExpression="begins_with(id, :prefix) AND holds_model = :true",
            ExpressionAttributeValues={":prefix": {"S": "ep-"}, ":true": {"BOOL": True}},
        )
    )
    for endpoint in (item for page in found for item in page["Items"]):
        refused = hold(account, endpoints, models, endpoint)
        held += refused is None
        missing += [endpoint["id"]["S"]] if refused == models else []
    return held, missing


def hold(account: Account, endpoints: str, models: str, endpoint: dict[str, Any]) -> str | None:
    """Store an endpoint's hold; return the table whose record was gone when there was nothing to hold or be held."""
    client = account.client("dynamodb")
    owner = endpoint["model"]["M"].get("user_id", endpoint["owner"])
    # Together: an endpoint that is taken down at this moment has let go, and nobody else would release it again.
    still_there = {
        "TableName": endpoints,
        "Key": {"owner": endpoint["owner"], "id": endpoint["id"]},
        "ConditionExpression": "holds_model = :true",
        "ExpressionAttributeValues": {":true": {"BOOL": True}},
    }
    addition = {
        "TableName": models,
        "Key": {"owner": owner, "id": endpoint["model_version_id"]},
        "UpdateExpression": "ADD holds :endpoint",
        "ConditionExpression": "attribute_exists(id)",
        "ExpressionAttributeValues": {":endpoint": {"SS": [endpoint["id"]["S"]]}},
    }
    try:
        client.transact_write_items(TransactItems=[{"ConditionCheck": still_there}, {"Update": addition}])
    except client.exceptions.TransactionCanceledException as error:
        codes = [reason.get("Code") for reason in error.response["CancellationReasons"]]
        if "ConditionalCheckFailed" not in codes:
            raise
        return (endpoints, models)[codes.index("ConditionalCheckFailed")]
    return None


if __name__ == "__main__":
    run(main)

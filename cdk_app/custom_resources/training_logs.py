"""Subscribe a function to a log group that may or may not exist yet, and that others use as well.

Properties: LogGroup, FilterName, FilterPattern, DestinationArn, RetentionDays. Attribute: Warning, empty when the
subscription is in place. A log group takes two subscriptions; a third is a warning, never a failed deployment,
because progress is shown from the log's tail as well.
"""

import json
import logging
import urllib.request
from typing import Any

import boto3

logger = logging.getLogger()


def handler(event: dict[str, Any], context: Any) -> None:
    """Handle a CloudFormation custom resource request, and tell CloudFormation how it went."""
    properties = event["ResourceProperties"]
    answer = {
        "Status": "SUCCESS",
        "PhysicalResourceId": f"{properties['LogGroup']}:{properties['FilterName']}",
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
    }
    try:
        logs = boto3.client("logs")
        if event["RequestType"] == "Delete":
            unsubscribe(logs, properties)
        else:
            answer["Data"] = {"Warning": subscribe(logs, properties)}
    except Exception as error:  # whatever it was, CloudFormation must hear of it, or it waits for an hour
        logger.exception("failed")
        answer |= {"Status": "FAILED", "Reason": f"{type(error).__name__}: {error}"[:1000]}
    respond(event["ResponseURL"], answer)


def subscribe(logs: Any, properties: dict[str, str]) -> str:
    """Ensure the group and this stage's subscription; return a warning, or an empty string."""
    group = properties["LogGroup"]
    try:
        logs.create_log_group(logGroupName=group)
        logs.put_retention_policy(logGroupName=group, retentionInDays=int(properties["RetentionDays"]))
    except logs.exceptions.ResourceAlreadyExistsException:
        pass  # somebody else's group: how long they keep it is theirs to say
    try:
        logs.put_subscription_filter(
            logGroupName=group,
            filterName=properties["FilterName"],
            filterPattern=properties["FilterPattern"],
            destinationArn=properties["DestinationArn"],
        )
    except logs.exceptions.LimitExceededException:
        return f"{group} has no room for another subscription: metric history is kept at the end of a job only."
    return ""


def unsubscribe(logs: Any, properties: dict[str, str]) -> None:
    """Remove this stage's subscription; the group and its logs stay."""
    try:
        logs.delete_subscription_filter(logGroupName=properties["LogGroup"], filterName=properties["FilterName"])
    except logs.exceptions.ResourceNotFoundException:
        pass


def respond(url: str, answer: dict[str, Any]) -> None:
    """Send the answer to CloudFormation."""
    request = urllib.request.Request(url, json.dumps(answer).encode(), {"Content-Type": ""}, method="PUT")
    with urllib.request.urlopen(request, timeout=30):
        pass

"""Workflows: an execution bears its record's id, so it is started once and can be found again."""

import json
from typing import Any

from lambdas.common import aws
from lambdas.common.environment import variable
from lambdas.common.observability import emit, logger


def start(workflow: str, owner: str, id: str, name: str | None = None) -> None:
    """Start the workflow whose ARN the variable `workflow` holds, for a record; `name` is the record's id.

    A second start changes nothing, and a failed one loses nothing: the record is stored as under way, and
    reconcile starts what has not started.
    """
    stepfunctions = aws.client("stepfunctions")
    payload = json.dumps({"owner": owner, "id": id})
    try:
        stepfunctions.start_execution(stateMachineArn=variable(workflow), name=name or id, input=payload)
    except stepfunctions.exceptions.ExecutionAlreadyExists:
        logger.info("workflow started already", extra={"id": id})
    except Exception as error:
        if not aws.error_code(error):
            raise
        logger.exception("workflow not started; reconcile will", extra={"id": id})


def reason_of(error: dict[str, Any]) -> str:
    """Return the words of a workflow's error, {"Error", "Cause"}: a Lambda's own message where there is one."""
    cause = str(error.get("Cause") or error.get("Error") or "The workflow ended.")
    try:
        cause = str(json.loads(cause).get("errorMessage", cause))
    except (ValueError, AttributeError):
        pass  # plain words
    return cause[:1000]


def broke(event: dict[str, Any]) -> None:
    """Count a workflow that failed, ran out of time or was aborted, of which EventBridge tells.

    It may tell twice, and Lambda calls a function that raises again: the count is one or more for each.
    """
    detail = event["detail"]
    logger.error("workflow broke", extra={"execution": detail.get("executionArn"), "status": detail.get("status")})
    emit("WorkflowFailures", 1)


def execution(workflow: str, name: str) -> dict[str, Any]:
    """Return DescribeExecution of an execution by its name; its status is ABSENT when there never was one."""
    stepfunctions = aws.client("stepfunctions")
    arn = f"{variable(workflow).replace(':stateMachine:', ':execution:')}:{name}"
    try:
        return stepfunctions.describe_execution(executionArn=arn)
    except stepfunctions.exceptions.ExecutionDoesNotExist:
        return {"status": "ABSENT"}

"""What SageMaker, CloudWatch and Application Auto Scaling have of an endpoint: made, looked at, taken away.

Names are made from the endpoint's id, so everything can be repeated: what exists already is taken as done, what is
gone already is taken as deleted.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lambdas.common import aws, objects
from lambdas.common.environment import mapping, optional, variable
from lambdas.common.observability import logger
from lambdas.endpoints import components, endpoint_request
from lambdas.endpoints.schemas import Endpoint

# Not `Could not find model data`, which never comes.
UNSEEN = re.compile('Could not find (model "|endpoint|inference component)')
MISSING = {"ValidationException", "ResourceNotFound"}  # what SageMaker calls a name it does not have
# Statuses in which SageMaker takes no change; a configuration may be deleted in none of them.
BUSY = {"Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting"}
BROKEN = {"Failed", "OutOfService"}


class NotVisibleYet(Exception):
    """SageMaker does not see yet what was just made: it is eventually consistent. The workflow tries again."""


def deployment() -> endpoint_request.Deployment:
    """Return what this stage gives every endpoint."""
    vpc = optional("VPC_CONFIG")
    return endpoint_request.Deployment(
        stage=variable("STAGE"),
        role_arn=variable("EXECUTION_ROLE_ARN"),
        images=mapping("IMAGES"),
        llm_image=variable("LLM_IMAGE"),
        jobs_bucket=variable("JOBS_BUCKET"),
        vpc=json.loads(vpc) if vpc else None,
        kms_key_arn=optional("KMS_KEY_ARN"),
    )


def describe(name: str) -> dict[str, Any] | None:
    """Return DescribeEndpoint, or None when there is no such endpoint."""
    try:
        return aws.client("sagemaker").describe_endpoint(EndpointName=name)
    except Exception as error:
        if aws.error_code(error) in MISSING:
            return None
        raise


@dataclass(frozen=True)
class State:
    """What SageMaker says of an endpoint, or of its component: its status, why it failed, which deployment serves."""

    status: str
    reason: str | None
    deployed: str | None


def state(endpoint: Endpoint) -> State | None:
    """Return what SageMaker says of what serves an endpoint, None when it has none."""
    if endpoint.host:
        component = describe_component(endpoint)
        if component is None:
            return None
        model = component.get("Specification", {}).get("ModelName")
        return State(component["InferenceComponentStatus"], component.get("FailureReason"), model)
    found = describe(endpoint.endpoint_name)
    if found is None:
        return None
    return State(found["EndpointStatus"], found.get("FailureReason"), found["EndpointConfigName"])


def describe_component(endpoint: Endpoint) -> dict[str, Any] | None:
    """Return DescribeInferenceComponent, or None when there is no such component."""
    try:
        return aws.client("sagemaker").describe_inference_component(InferenceComponentName=components.name(endpoint))
    except Exception as error:
        if aws.error_code(error) in MISSING:
            return None
        raise


def create(create: Callable[..., Any], **request: Any) -> None:
    """Create something at SageMaker; the same name from an earlier try is taken as done.

    SageMaker calls a taken name ValidationException too, and tells the two apart only in words. Raises NotVisibleYet.
    """
    try:
        create(**request)
    except Exception as error:
        if aws.error_code(error) in {"ValidationException", "ResourceInUse"} and "already exist" in str(error):
            return
        if aws.error_code(error) == "ValidationException" and UNSEEN.search(str(error)):
            raise NotVisibleYet(str(error)) from error
        raise


def create_model_and_config(endpoint: Endpoint) -> None:
    """Make the model and the configuration of an endpoint's deployment."""
    sagemaker, to = aws.client("sagemaker"), deployment()
    create(sagemaker.create_model, **endpoint_request.create_model(endpoint, to))
    config = components.create_host_config if endpoint.host else endpoint_request.create_endpoint_config
    create(sagemaker.create_endpoint_config, **config(endpoint, to))


def delete_model_and_config(endpoint: Endpoint) -> None:
    """Delete the configuration, unless it is a host's, and the model of an endpoint's deployment."""
    name = endpoint_request.deployed_name(endpoint)
    if endpoint.host is None:
        delete_config(name)
    delete(aws.client("sagemaker").delete_model, ModelName=name)


def delete_config(name: str) -> None:
    """Delete an endpoint's configuration."""
    delete(aws.client("sagemaker").delete_endpoint_config, EndpointConfigName=name)


def delete(delete: Callable[..., Any], **named: str) -> None:
    """Delete something at SageMaker; what is gone already is taken as done."""
    try:
        delete(**named)
    except Exception as error:
        if aws.error_code(error) not in MISSING:
            raise


def delete_alarm(endpoint: Endpoint) -> None:
    """Delete the alarm of an endpoint's deployment."""
    delete_alarm_named(endpoint_request.deployed_name(endpoint))


def delete_alarm_named(name: str) -> None:
    """Delete an alarm."""
    try:
        aws.client("cloudwatch").delete_alarms(AlarmNames=[name])
    except Exception as error:
        if aws.error_code(error) not in {"ResourceNotFound", "ResourceNotFoundException"}:
            raise


def scale(endpoint: Endpoint) -> str | None:
    """Let an endpoint in service scale as it says; return why it cannot, in which case it does not scale."""
    if endpoint.autoscaling is None:
        return None
    scaling = aws.client("application-autoscaling")
    try:
        scaling.register_scalable_target(**endpoint_request.register_scalable_target(endpoint))
        scaling.put_scaling_policy(**endpoint_request.put_scaling_policy(endpoint))
    except Exception as error:
        if aws.error_code(error) not in {"ValidationException", "LimitExceededException", "ObjectNotFoundException"}:
            raise
        logger.warning("not scaled", extra={"id": endpoint.id, "reason": str(error)})
        stop_scaling(endpoint)
        return f"Autoscaling could not be set up: {error}"
    return None


def stop_scaling(endpoint: Endpoint) -> None:
    """Take an endpoint's variant, and with it its policy and alarms, from Application Auto Scaling."""
    try:
        aws.client("application-autoscaling").deregister_scalable_target(**endpoint_request.scalable_target(endpoint))
    except Exception as error:
        if aws.error_code(error) != "ObjectNotFoundException":
            raise


def let_logs_end(endpoint: Endpoint) -> None:
    """Give the endpoint's log group, which SageMaker makes without an end, the retention of the stage."""
    try:
        aws.client("logs").put_retention_policy(
            logGroupName=endpoint_request.log_group(endpoint),
            retentionInDays=int(variable("LOG_RETENTION_DAYS")),
        )
    except Exception as error:
        if aws.error_code(error) != "ResourceNotFoundException":  # nothing was ever logged
            raise


def delete_inferences(endpoint: Endpoint) -> None:
    """Delete the inputs and answers of an asynchronous endpoint."""
    if endpoint.kind == "async":
        objects.delete_prefix(variable("JOBS_BUCKET"), endpoint_request.inferences_prefix(endpoint))

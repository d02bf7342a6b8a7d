"""What AWS has of an inference component: placed on its host, scaled, taken away with the host when it is the last."""

from datetime import UTC, datetime, timedelta

from lambdas.common import aws
from lambdas.common.observability import logger
from lambdas.endpoints import components, hosts, resources
from lambdas.endpoints.schemas import Endpoint

LONGEST = timedelta(hours=2)  # from the request for a component until it serves; some are never there
REFUSALS = {"ValidationException", "LimitExceededException", "ObjectNotFoundException"}


class NotPlaced(Exception):
    """The component does not come into service; the message says why."""


def place(endpoint: Endpoint) -> bool:
    """Go one step towards a component in service, and return whether it is there: the host first, then it.

    Raises NotPlaced when it never will be, NotVisibleYet to be tried again.
    """
    sagemaker, to = aws.client("sagemaker"), resources.deployment()
    state = resources.state(endpoint)
    if state is not None:
        if state.status in resources.BROKEN:
            raise NotPlaced(state.reason or "SageMaker gave no reason.")
        return state.status == "InService" or in_time(endpoint)
    host = resources.describe(endpoint.sagemaker_endpoint)
    if host is None:
        resources.create(sagemaker.create_endpoint, **components.create_host(endpoint, to))
    elif host["EndpointStatus"] == "InService":
        resources.create(sagemaker.create_inference_component, **components.create_component(endpoint, to))
    elif host["EndpointStatus"] in resources.BROKEN:
        raise NotPlaced(host.get("FailureReason", "SageMaker gave no reason."))
    return in_time(endpoint)


def in_time(endpoint: Endpoint) -> bool:
    """Return False: it is not there yet. Raises NotPlaced when it should have been long ago."""
    if endpoint.started_at and datetime.now(UTC) - datetime.fromisoformat(endpoint.started_at) > LONGEST:
        raise NotPlaced(f"It was not in service after {LONGEST.total_seconds() / 3600:.0f} hours.")
    return False


def take_away(endpoint: Endpoint) -> bool:
    """Ask SageMaker to delete the component, and its host when no other is on it; return whether that is done."""
    stop_scaling(endpoint)
    state = resources.state(endpoint)
    if state is not None:
        if state.status not in resources.BUSY:
            delete = aws.client("sagemaker").delete_inference_component
            resources.delete(delete, InferenceComponentName=components.name(endpoint))
        if resources.state(endpoint) is not None:
            return False
    left = hosts.leave(endpoint)
    return left is None or bool(left) or host_is_gone(endpoint)


def host_is_gone(endpoint: Endpoint) -> bool:
    """Ask SageMaker to delete a host that nothing is on any more; return whether all of it is gone."""
    host = endpoint.sagemaker_endpoint
    described = resources.describe(host)
    if described is not None:
        if described["EndpointStatus"] not in resources.BUSY:
            resources.delete(aws.client("sagemaker").delete_endpoint, EndpointName=host)
        if resources.describe(host) is not None:
            return False
    resources.delete_config(host)
    hosts.forget(host)
    return True


def scale(endpoint: Endpoint) -> str | None:
    """Let a component in service scale as its endpoint says; return why it cannot, in which case it does not."""
    if endpoint.copies is None or not endpoint.copies.scales:
        return None
    scaling = aws.client("application-autoscaling")
    try:
        scaling.register_scalable_target(**components.register_scalable_target(endpoint))
        scaling.put_scaling_policy(**components.follow_calls(endpoint))
        if endpoint.copies.min_copies == 0:
            policy = scaling.put_scaling_policy(**components.leave_zero(endpoint))
            alarm = components.put_zero_alarm(endpoint, policy["PolicyARN"])
            aws.client("cloudwatch").put_metric_alarm(**alarm)
    except Exception as error:
        if aws.error_code(error) not in REFUSALS:
            raise
        logger.warning("not scaled", extra={"id": endpoint.id, "reason": str(error)})
        stop_scaling(endpoint)
        return f"Its copies do not scale, as autoscaling could not be set up: {error}"
    return None


def stop_scaling(endpoint: Endpoint) -> None:
    """Take a component, and with it its policies, from Application Auto Scaling; delete the alarm that is ours."""
    if endpoint.copies is None or not endpoint.copies.scales:
        return
    try:
        aws.client("application-autoscaling").deregister_scalable_target(**components.scalable_target(endpoint))
    except Exception as error:
        if aws.error_code(error) != "ObjectNotFoundException":
            raise
    if endpoint.copies.min_copies == 0:
        resources.delete_alarm_named(components.zero_alarm_name(endpoint))

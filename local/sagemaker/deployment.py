"""How an endpoint's update goes on after the new fleet answers: it bakes, and alarms may roll it back."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from local.cloud import Cloud
from local.sagemaker.concurrency import in_thread
from local.sagemaker.fleet_metrics import FleetMetrics
from local.sagemaker.protocol import invalid
from local.sagemaker.serving import Plan
from local.sagemaker.store import Record

BAKING_SPEED = 60.0  # a minute of baking takes a second here: nobody watches a laptop for five minutes
LOOK_INTERVAL = 0.1  # seconds between two looks at the alarms


@dataclass(frozen=True)
class Guardrails:
    """What a DeploymentConfig asks for: seconds to bake, and the alarms that are watched meanwhile."""

    baking: float
    alarms: tuple[str, ...]


def guardrails(config: Record | None) -> Guardrails:
    """The guardrails of a DeploymentConfig. Raises ValidationException for what one machine cannot do."""
    if config is None:
        return Guardrails(0, ())
    if "RollingUpdatePolicy" in config:
        raise invalid("RollingUpdatePolicy is not implemented by the local platform.")
    policy = config.get("BlueGreenUpdatePolicy", {})
    routing = policy.get("TrafficRoutingConfiguration", {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0})
    if routing["Type"] != "ALL_AT_ONCE":
        raise invalid(f"Traffic routing {routing['Type']} is not implemented by the local platform.")
    waiting = routing["WaitIntervalInSeconds"] + policy.get("TerminationWaitInSeconds", 0)
    if waiting >= policy.get("MaximumExecutionTimeoutInSeconds", waiting + 1):
        raise invalid("MaximumExecutionTimeoutInSeconds must be larger than the total waiting time.")
    alarms = config.get("AutoRollbackConfiguration", {}).get("Alarms", [])
    return Guardrails(waiting, tuple(alarm["AlarmName"] for alarm in alarms))


def rolling(config: Record | None) -> Guardrails:
    """The guardrails of an inference component's DeploymentConfig; one machine has one batch."""
    if config is None:
        return Guardrails(0, ())
    alarms = config.get("AutoRollbackConfiguration", {}).get("Alarms", [])
    waiting = config["RollingUpdatePolicy"]["WaitIntervalInSeconds"]
    return Guardrails(waiting, tuple(alarm["AlarmName"] for alarm in alarms))


def check_change(old: Record | None, new: Plan, guarded: bool) -> None:
    """Raises ValidationException for an update that AWS does not do; `old` is the plan in service, if there is one."""
    variant = old["variant"] if old else new.variant
    serverless = "ServerlessConfig" in new.variant
    if serverless and "ServerlessConfig" not in variant:
        raise invalid("A real-time endpoint cannot be updated to a serverless one.")
    if old and (new.asynchronous is None) != (old.get("asynchronous") is None):
        raise invalid("An endpoint cannot be changed from real-time to asynchronous, or back.")
    if guarded and serverless:
        raise invalid("DeploymentConfig is not supported for serverless endpoints.")
    if guarded and variant["VariantName"] != new.variant["VariantName"]:
        raise invalid("With a DeploymentConfig the new configuration must keep the names of the variants.")


def serving_variant(plan: Plan) -> Record:
    """What DescribeEndpoint says of a variant that serves a model."""
    image = plan.model["PrimaryContainer"]["Image"]
    variant: Record = {
        "VariantName": plan.variant["VariantName"],
        "DeployedImages": [{"SpecifiedImage": image, "ResolvedImage": image, "ResolutionTime": time.time()}],
        "CurrentWeight": plan.variant.get("InitialVariantWeight", 1.0),
        "DesiredWeight": plan.variant.get("InitialVariantWeight", 1.0),
    }
    if "ServerlessConfig" in plan.variant:
        return variant | {"CurrentServerlessConfig": plan.variant["ServerlessConfig"]}
    count = plan.variant.get("InitialInstanceCount", 1)
    return variant | {"CurrentInstanceCount": count, "DesiredInstanceCount": count}


def hosting(variant: Record) -> Record:
    """What DescribeEndpoint says of a variant that has instances for inference components."""
    count = variant.get("InitialInstanceCount", 1)
    said = {m: variant[m] for m in ("VariantName", "ManagedInstanceScaling", "RoutingConfig") if m in variant}
    return said | {"CurrentInstanceCount": count, "DesiredInstanceCount": count, "CurrentWeight": 1.0}


class Alarms:
    """Alarms as a deployment sees them: those on an endpoint's invocations by our figures, others by their state."""

    def __init__(self, cloud: Cloud, metrics: FleetMetrics) -> None:
        self._cloud, self._metrics = cloud, metrics

    async def check(self, names: tuple[str, ...], role: str) -> None:
        """Raises ValidationException when an alarm is not there, or the execution role may not look at it."""
        if not names:
            return
        try:
            found = await in_thread(self._described, names, role)
        except Exception as error:  # whatever CloudWatch says to the role is what the caller must know
            raise invalid(f"Cannot describe the alarms of AutoRollbackConfiguration with {role}: {error}") from error
        if missing := set(names) - {alarm["AlarmName"] for alarm in found}:
            raise invalid(f"The alarms {', '.join(sorted(missing))} of AutoRollbackConfiguration do not exist.")

    async def fired(self, names: tuple[str, ...], role: str) -> str | None:
        """The first alarm in the state ALARM, if any."""
        for alarm in await in_thread(self._described, names, role) if names else []:
            breached = (
                self._metrics.breached(alarm) if self._metrics.concerns(alarm) else alarm["StateValue"] == "ALARM"
            )
            if breached:
                return alarm["AlarmName"]
        return None

    def _described(self, names: tuple[str, ...], role: str) -> list[dict[str, Any]]:
        cloudwatch = self._cloud.client("cloudwatch", role_arn=role)
        return cloudwatch.describe_alarms(AlarmNames=list(names))["MetricAlarms"]


async def baked(guarded: Guardrails, alarms: Alarms, role: str, speed: float, lives: Callable[[], bool]) -> str | None:
    """Waits until the new fleet has baked; why it must be rolled back, or None."""
    until = time.monotonic() + guarded.baking / speed
    while True:
        if not lives():
            return "The container of the new fleet ended."
        if alarm := await alarms.fired(guarded.alarms, role):
            return f"The alarm {alarm} is in the state ALARM."
        if time.monotonic() >= until:
            return None
        await asyncio.sleep(LOOK_INTERVAL)

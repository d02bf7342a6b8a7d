"""AWS Batch's documented limits on requests, beyond the shapes; all raise ClientException."""

import re
from collections.abc import Callable
from typing import Any

from local.sagemaker.protocol import ServiceError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
SHARE = re.compile(r"[A-Za-z0-9]{1,255}")
PAYLOAD_BYTES = 10 * 1024
REQUEST_BYTES = 30 * 1024
ACTIVE_SHARES = 500
SUBMISSIONS = 5  # per second and account


def refused(message: str) -> ServiceError:
    return ServiceError("ClientException", message)


def check_name(value: str, member: str) -> None:
    if not NAME.fullmatch(value):
        raise refused(f"{member} must be 1 to 128 letters, numbers, hyphens and underscores.")


def check_submission(request: dict[str, Any], fair_share: bool) -> None:
    """A SubmitServiceJob request. As on AWS its payload is not looked into: SageMaker judges it when its turn comes."""
    check_name(request["jobName"], "jobName")
    for member in ("quotaShareName", "preemptionConfiguration"):
        if member in request:
            raise refused(f"{member} needs a quota share policy, which the local platform does not implement.")
    if len(request["serviceRequestPayload"].encode()) > PAYLOAD_BYTES:
        raise refused(f"serviceRequestPayload must be at most {PAYLOAD_BYTES} bytes.")
    share = request.get("shareIdentifier")
    if fair_share and share is None:
        raise refused("shareIdentifier must be specified for a job queue with a fair-share scheduling policy.")
    if not fair_share and share is not None:
        raise refused("shareIdentifier cannot be specified for a job queue without a scheduling policy.")
    if share is not None and not SHARE.fullmatch(share):
        raise refused("shareIdentifier must be 1 to 255 alphanumeric characters.")
    check_priority(request.get("schedulingPriority", 0))
    _check_retries(request.get("retryStrategy", {"attempts": 1}))
    if request.get("timeoutConfig", {}).get("attemptDurationSeconds", 1) < 1:
        raise refused("attemptDurationSeconds must be positive.")


def check_priority(priority: int) -> None:
    if not 0 <= priority <= 9999:
        raise refused("schedulingPriority must be between 0 and 9999.")


def check_policy(policy: dict[str, Any]) -> None:
    if "fairsharePolicy" not in policy:
        raise refused("The local platform implements scheduling policies with a fairsharePolicy only.")
    fair = policy["fairsharePolicy"]
    if not 0 <= fair.get("shareDecaySeconds", 0) <= 604_800:
        raise refused("shareDecaySeconds must be between 0 and 604800.")
    if fair.get("computeReservation", 0):
        raise refused("computeReservation is not implemented by the local platform.")
    names = [entry["shareIdentifier"] for entry in fair.get("shareDistribution", [])]
    for name in names:
        if not SHARE.fullmatch(name.removesuffix("*")):
            raise refused("A shareIdentifier must be alphanumeric, with an asterisk at most at its end.")
        if any(other != name and other.endswith("*") and name.startswith(other[:-1]) for other in names):
            raise refused(f"The share identifiers of a policy must not overlap: {name}.")
    for entry in fair.get("shareDistribution", []):
        if not 0.0001 <= entry.get("weightFactor", 1.0) <= 999.9999:
            raise refused("weightFactor must be between 0.0001 and 999.9999.")


def check_environment(environment: dict[str, Any]) -> None:
    limits = environment["capacityLimits"]
    if len(limits) != 1 or limits[0].get("capacityUnit") != "NUM_INSTANCES" or limits[0].get("maxCapacity", -1) < 0:
        raise refused("capacityLimits must be one limit with capacityUnit NUM_INSTANCES and a maxCapacity.")


def check_queue(queue: dict[str, Any]) -> None:
    if queue.get("jobQueueType") != "SAGEMAKER_TRAINING":
        raise refused("The local platform implements job queues of type SAGEMAKER_TRAINING only.")
    if len(queue.get("serviceEnvironmentOrder", [])) != 1:
        raise refused("serviceEnvironmentOrder must name exactly one service environment.")
    if not 0 <= queue["priority"] <= 1000:
        raise refused("priority must be between 0 and 1000.")
    for action in queue.get("jobStateTimeLimitActions", []):
        if action["action"] != "TERMINATE" or not 600 <= action["maxTimeSeconds"] <= 86_400:
            raise refused("jobStateTimeLimitActions must TERMINATE after 600 to 86400 seconds.")


class SubmissionRate:
    """At most five submissions in any second."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._times: list[float] = []

    def check(self) -> None:
        now = self._clock()
        self._times = [at for at in self._times if at > now - 1.0]
        if len(self._times) >= SUBMISSIONS:
            raise ServiceError("TooManyRequestsException", "Too Many Requests", 429)
        self._times.append(now)


def _check_retries(strategy: dict[str, Any]) -> None:
    rules = strategy.get("evaluateOnExit", [])
    if not 1 <= strategy["attempts"] <= 10:
        raise refused("retryStrategy.attempts must be between 1 and 10.")
    if len(rules) > 5 or any(len(rule.get("onStatusReason", "")) > 512 for rule in rules):
        raise refused("evaluateOnExit must have at most 5 conditions of at most 512 characters.")

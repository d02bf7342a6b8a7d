"""Figures of endpoints' invocations, and whether they breach an alarm.

An update bakes for seconds here, where CloudWatch looks at whole minutes: alarms on an endpoint's own invocations are
evaluated at once.
"""

import time
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from local.alarm_evaluation import COMPARISONS

NAMESPACE = "AWS/SageMaker"
KEPT = 3600.0  # seconds of figures; no alarm here looks back further


@dataclass(frozen=True)
class Invocation:
    """One answer of a container; status 0 is none at all."""

    at: float
    variant: str
    config: str
    status: int


METRICS: dict[str, Callable[[int], bool]] = {
    "Invocations": lambda status: True,
    "Invocation4XXErrors": lambda status: 400 <= status < 500,
    "Invocation5XXErrors": lambda status: status >= 500 or status == 0,
    "InvocationModelErrors": lambda status: not 200 <= status < 300,
}


def noted_as(dimensions: dict[str, str]) -> str:
    """Under which name an alarm's figures are: an endpoint's, or a component's."""
    component = dimensions.get("InferenceComponentName")
    return f"component/{component}" if component else dimensions.get("EndpointName", "")


class FleetMetrics:
    """What endpoints answered in the last hour; call it on the event loop."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._seen: dict[str, deque[Invocation]] = defaultdict(deque)

    def note(self, endpoint: str, variant: str, config: str, status: int) -> None:
        seen, now = self._seen[endpoint], self._clock()
        seen.append(Invocation(now, variant, config, status))
        while seen[0].at < now - KEPT:
            seen.popleft()

    def forget(self, endpoint: str) -> None:
        self._seen.pop(endpoint, None)

    def concerns(self, alarm: dict[str, Any]) -> bool:
        """Whether an alarm is on the invocations of one endpoint, as SageMaker counts them."""
        return alarm.get("Namespace") == NAMESPACE and alarm.get("MetricName") in METRICS

    def breached(self, alarm: dict[str, Any]) -> bool:
        """Whether the figures of the alarm's dimensions and time are past its threshold; no figures are not."""
        wanted = {dimension["Name"]: dimension["Value"] for dimension in alarm["Dimensions"]}
        since = self._clock() - alarm["Period"] * alarm["EvaluationPeriods"]
        counted = [
            METRICS[alarm["MetricName"]](found.status)
            for found in self._seen.get(noted_as(wanted), ())
            if found.at >= since
            and wanted.get("VariantName", found.variant) == found.variant
            and wanted.get("EndpointConfigName", found.config) == found.config
        ]
        if not counted:
            return False
        value = {"Sum": sum(counted), "Average": sum(counted) / len(counted), "SampleCount": len(counted)}
        compare = COMPARISONS[alarm["ComparisonOperator"]]
        return compare(value[alarm.get("Statistic", "Average")], alarm["Threshold"])

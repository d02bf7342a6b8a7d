"""What functions tell operators: structured log lines, and the six metrics that the stage's alarms watch.

Lines hold identifiers and outcomes, never bodies or tokens. A metric is a log line too, in CloudWatch's embedded metric
format, so that it needs no call and no permission.
"""

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import (
    EphemeralMetrics,
)  # the logger's import loads it all the same: it costs nothing

from lambdas.common.environment import variable

logger = Logger()

NAMESPACE = "Slipway"
# Every name, with its unit. CloudWatch bills each name by the month in which it is sent, once for each value of its
# dimension: there is one, the stage, and none of a user, a job or an endpoint.
METRICS = {
    "WorkflowFailures": "Count",
    "JobFailures": "Count",
    "BlockedQueues": "Count",
    "QueueAgeSeconds": "Seconds",
    "EndpointErrors": "Count",
    "EndpointLatencyMilliseconds": "Milliseconds",
}


def emit(name: str, value: float) -> None:
    """Send one of METRICS; raises KeyError for another name."""
    metrics = EphemeralMetrics(namespace=NAMESPACE, service="")  # "": without a service, which were a second dimension
    metrics.add_dimension("stage", variable("STAGE"))
    metrics.add_metric(name, METRICS[name], value)
    metrics.flush_metrics()

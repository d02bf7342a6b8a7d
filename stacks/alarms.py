"""What wakes an operator: ten alarms of one metric each, and the topic that they tell it to.

A threshold is chosen so that a stage that is well is silent; the reason stands beside it. What an alarm means and what
to do is in docs/operations.md, in the section of the alarm's name.
"""

from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from cdk_app.constructs.acknowledge import acknowledge
from cdk_app.constructs.rest_api import STAGE as API_STAGE
from cdk_app.settings import Settings

OWN = "Slipway"  # the namespace of the metrics that lambdas/common/observability.py sends
RUNBOOK = "docs/operations.md"
PERIOD = cdk.Duration.minutes(5)


@dataclass(frozen=True)
class Alarm:
    """One line of the table: it rings when the statistic has reached the threshold in `periods` five minutes in a row.

    No alarm takes missing data for a fault: CloudWatch has none where nobody called, nothing failed, nothing waited.
    """

    name: str
    namespace: str
    metric: str
    statistic: str
    threshold: float
    periods: int
    says: str
    because: str


ALARMS = [
    Alarm(
        *("ApiErrors", "AWS/ApiGateway", "5XXError", "Sum", 5, 1),
        "The API answered 5 requests or more with a 5xx status in five minutes.",
        "A single function that ran out of time or was restarted is not worth waking for: clients try again.",
    ),
    Alarm(
        *("ApiLatency", "AWS/ApiGateway", "Latency", "p99", 15_000, 3),
        "One in a hundred requests took 15 seconds or longer, for a quarter of an hour.",
        "After 29 seconds API Gateway gives up. Calls of models through the API may take seconds, now and then ten.",
    ),
    Alarm(
        *("Throttles", "AWS/Lambda", "Throttles", "Sum", 1, 1),
        "Lambda refused to start a function: the account's concurrency is used up.",
        "An account within its limit has none. The limit is the account's: another program may have used it up.",
    ),
    Alarm(
        *("WorkflowFailures", OWN, "WorkflowFailures", "Sum", 1, 1),
        "A workflow failed, ran out of time or was aborted.",
        "Users' own mistakes end workflows well, with a reason in the record: one that breaks is ours.",
    ),
    Alarm(
        *("QueueAge", OWN, "QueueAgeSeconds", "Maximum", 6 * 3600, 1),
        "A training job has waited for an instance for six hours.",
        "A team that shares two instances waits for hours on a good day; six are most of a working day.",
    ),
    Alarm(
        *("QueueBlocked", OWN, "BlockedQueues", "Sum", 1, 1),
        "AWS Batch says that the job at the head of a queue cannot start, and nobody behind it will.",
        "Batch says so only of what does not pass by itself: too few instances in the limit, or none to be had at AWS.",
    ),
    Alarm(
        *("Undelivered", "AWS/SQS", "ApproximateNumberOfMessagesVisible", "Maximum", 1, 1),
        "A function could not be called, or failed, however often it was tried; what it was to do lies in a queue.",
        "EventBridge tries ten times, and Lambda three: what passes by itself has passed by then.",
    ),
    Alarm(
        *("JobFailures", OWN, "JobFailures", "Sum", 1, 1),
        "A training job failed for a reason that an admin, or AWS, must deal with.",
        "Jobs that fail by their own data, code, size or time are not counted.",
    ),
    Alarm(
        *("EndpointErrors", OWN, "EndpointErrors", "Sum", 10, 1),
        "Models on endpoints answered 10 calls or more with a 5xx status in five minutes.",
        "A model may fail at a few odd inputs; ten in five minutes are a model that does not work.",
    ),
    Alarm(
        *("EndpointLatency", OWN, "EndpointLatencyMilliseconds", "Maximum", 20_000, 3),
        "On some endpoint one call in a hundred took its model 20 seconds or longer, for a quarter of an hour.",
        "Long texts take a language model many seconds; API Gateway gives up after 29 seconds, SageMaker after 60.",
    ),
]
TOPIC_KEY = (
    "CloudWatch may not use AWS's own key of SNS, and a key of the stage's would cost a dollar a month or, where its "
    "policy forgets CloudWatch, silence: a message holds an alarm's name and figures, nothing of users."
)


def metric(namespace: str, name: str, statistic: str, label: str | None = None, **dimensions: str) -> cloudwatch.Metric:
    """Return a metric in periods of five minutes."""
    return cloudwatch.Metric(
        namespace=namespace,
        metric_name=name,
        statistic=statistic,
        label=label,
        dimensions_map=dimensions,
        period=PERIOD,
    )


class Alarms(Construct):
    """`all`: the alarms by name; each tells the topic, `topic_arn`, when it rings and when it is over."""

    def __init__(self, scope: Construct, id: str, *, settings: Settings, undelivered: str) -> None:
        super().__init__(scope, id)
        topic = self._topic(settings)
        self.topic_arn = topic.topic_arn
        dimensions = {
            OWN: {"stage": settings.stage},
            "AWS/ApiGateway": {"ApiName": f"slipway-{settings.stage}", "Stage": API_STAGE},
            "AWS/Lambda": {},
            "AWS/SQS": {"QueueName": undelivered},
        }
        told = actions.SnsAction(topic)  # pyright: ignore[reportArgumentType]  jsii names the parameters differently
        self.all: dict[str, cloudwatch.Alarm] = {}
        for line in ALARMS:
            alarm = cloudwatch.Alarm(
                self,
                line.name,
                alarm_name=f"slipway-{settings.stage}-{line.name}",
                alarm_description=f"{line.says} What to do: {RUNBOOK}#{line.name.lower()}",
                metric=metric(line.namespace, line.metric, line.statistic, **dimensions[line.namespace]),
                threshold=line.threshold,
                comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
                evaluation_periods=line.periods,
                datapoints_to_alarm=line.periods,
                treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
            )
            alarm.add_alarm_action(told)  # pyright: ignore[reportArgumentType]  as above
            alarm.add_ok_action(told)  # pyright: ignore[reportArgumentType]  as above
            self.all[line.name] = alarm

    def _topic(self, settings: Settings) -> sns.Topic:
        topic = sns.Topic(self, "Topic", topic_name=f"slipway-{settings.stage}-alarms", enforce_ssl=True)
        stack = cdk.Stack.of(self)
        alarms = stack.format_arn(
            service="cloudwatch",
            resource="alarm",
            resource_name=f"slipway-{settings.stage}-*",
            arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
        )
        topic.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],  # pyright: ignore[reportArgumentType]
                actions=["sns:Publish"],
                resources=[topic.topic_arn],
                conditions={
                    "ArnLike": {"aws:SourceArn": alarms},
                    "StringEquals": {"aws:SourceAccount": stack.account},
                },
            )
        )
        if settings.alarm_email:
            topic.add_subscription(subscriptions.EmailSubscription(settings.alarm_email))  # pyright: ignore[reportArgumentType]
        acknowledge(topic, {"SNS2": TOPIC_KEY})
        return topic

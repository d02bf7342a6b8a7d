"""What wakes the tasks: changes at Batch and SageMaker, workflows that broke, and a look at everything every 5 minutes.

Events are hints, at best once and sometimes twice: a task that is woken always asks AWS what is true.
"""

from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from cdk_app.constructs.acknowledge import acknowledge
from cdk_app.settings import Settings
from stacks.functions import Functions
from stacks.processing import JOB_PREFIX

BROKEN = ["FAILED", "TIMED_OUT", "ABORTED"]
# Workflow -> the function that cleans up after it.
WATCHERS = {
    "process": "datasets_recover",
    "scan": "models_recover",
    "import": "models_recover",
    "archive": "models_recover",
    "train": "jobs_watch",
    "deploy": "endpoints_watch",
    "update": "endpoints_watch",
    "teardown": "endpoints_watch",
    "sleep": "endpoints_watch",
    "register": "endpoints_watch",
}


def undelivered_queue(scope: Construct) -> sqs.Queue:
    """Return the queue of what no function was called for, or what it failed at however often it was tried."""
    queue = sqs.Queue(
        scope,
        "Undelivered",
        enforce_ssl=True,
        encryption=sqs.QueueEncryption.SQS_MANAGED,
        retention_period=cdk.Duration.days(14),
    )
    acknowledge(queue, {"SQS3": "This is the queue for what could not be delivered; it has none itself."})
    return queue


class Events(Construct):
    """The rules; what they cannot deliver goes to the queue `undelivered`."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        settings: Settings,
        functions: Functions,
        queues: list[str],
        workflows: dict[str, str],
        undelivered: sqs.Queue,
    ) -> None:
        super().__init__(scope, id)
        self._functions = functions
        self._undelivered = undelivered
        self._rule("BatchJobs", "jobs_watch", "aws.batch", "Batch Service Job State Change", {"jobQueue": queues})
        self._rule("BlockedQueues", "jobs_watch", "aws.batch", "Batch Service Job Queue Blocked", {"jobQueue": queues})
        self._rule(
            "TrainingJobs",
            "jobs_watch",
            "aws.sagemaker",
            "SageMaker Training Job State Change",
            {"TrainingJobName": [{"prefix": "AWSBatch"}]},  # what Batch's own names begin with
        )
        self._rule(
            "ProcessingJobs",
            "datasets_recover",
            "aws.sagemaker",
            "SageMaker Processing Job State Change",
            {"ProcessingJobName": [{"prefix": JOB_PREFIX}]},
        )
        self._rule(
            "Endpoints",
            "endpoints_watch",
            "aws.sagemaker",
            "SageMaker Endpoint State Change",
            {"EndpointName": [{"prefix": f"slipway-{settings.stage}-"}]},
        )
        for workflow, arn in workflows.items():
            self._rule(
                f"{workflow.capitalize()}Broke",
                WATCHERS[workflow],
                "aws.states",
                "Step Functions Execution Status Change",
                {"stateMachineArn": [arn], "status": BROKEN},
            )
        reconcile = events.Rule(self, "Reconcile", schedule=events.Schedule.rate(cdk.Duration.minutes(5)))
        for key in dict.fromkeys(WATCHERS.values()):
            reconcile.add_target(self._target(key))

    def _rule(self, id: str, key: str, source: str, kind: str, detail: dict[str, Any]) -> None:
        pattern = events.EventPattern(source=[source], detail_type=[kind], detail=detail)
        events.Rule(self, id, event_pattern=pattern, targets=[self._target(key)])

    def _target(self, key: str) -> events.IRuleTarget:
        target = targets.LambdaFunction(
            self._functions[key],  # pyright: ignore[reportArgumentType]  jsii names the interface's parameters differently
            retry_attempts=10,
            max_event_age=cdk.Duration.hours(1),  # by then reconcile has seen the same change several times
            dead_letter_queue=self._undelivered,
        )
        return target  # pyright: ignore[reportReturnType]  as above

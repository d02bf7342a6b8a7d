"""The stack that works: API, functions, workflows, queues and rules. Nothing in it is kept when it goes."""

from collections.abc import Mapping

import aws_cdk as cdk
from constructs import Construct

from cdk_app.bundle import Bundle
from cdk_app.constructs.metrics_client import token_url
from cdk_app.settings import Settings
from stacks.alarms import Alarms
from stacks.api import add_api
from stacks.dashboard import Dashboard
from stacks.data import data_of
from stacks.events import WATCHERS, Events, undelivered_queue
from stacks.functions import Functions
from stacks.metrics import Counting
from stacks.operator_role import operator_role
from stacks.processing import Processing
from stacks.serving import endpoint_resources, llm_variables
from stacks.token_role import TokenRole
from stacks.training import Training
from stacks.training_logs import TrainingLogs
from stacks.workflows import add_workflows


class PlatformStack(cdk.Stack):
    """Everything of one stage but its data."""

    def __init__(self, scope: Construct, settings: Settings, bundles: Mapping[str, Bundle]) -> None:
        super().__init__(scope, f"slipway-{settings.stage}-platform")
        data = data_of(self, settings)
        functions = Functions(self, settings, bundles)
        functions.resources |= data.resources(self)
        functions.variables |= data.variables()
        undelivered = undelivered_queue(self)
        functions.resources["undelivered-queue"] = [undelivered.queue_arn]

        training = Training(self, "Training", settings=settings, buckets=dict(data.buckets))
        functions.resources |= training.resources() | endpoint_resources(self, settings)
        functions.variables |= training.variables(settings) | llm_variables(self, settings, training.images)

        processing = Processing(self, "Processing", settings=settings, bucket=data.buckets["datasets"])
        functions.resources |= processing.resources()
        functions.variables |= processing.variables(settings)

        functions.resources["event-bus"] = [
            self.format_arn(service="events", resource="event-bus", resource_name="default")
        ]
        workflows = add_workflows(self, settings, functions)
        functions.variables["JOBS_REGISTER_FUNCTION"] = functions["jobs_register"].function_name
        functions.add("jobs_schedule")
        functions.variables["JOBS_SCHEDULE_FUNCTION"] = functions["jobs_schedule"].function_name
        functions.add("jobs_control", "jobs_progress", "models_rebuild", *dict.fromkeys(WATCHERS.values()))
        functions.variables["JOBS_CONTROL_FUNCTION"] = functions["jobs_control"].function_name
        token_role = TokenRole(self, settings, functions)
        api = add_api(self, settings, functions, data.user_pool_id)
        token_role.add(self, functions)

        Events(
            self,
            "Events",
            settings=settings,
            functions=functions,
            queues=list(training.queues.values()),
            workflows=workflows,
            undelivered=undelivered,
        )
        Counting(self, "Counting", settings=settings, functions=functions, api=api)
        alarms = Alarms(self, "Alarms", settings=settings, undelivered=undelivered.queue_name)
        Dashboard(
            self,
            "Dashboard",
            settings=settings,
            alarms=list(alarms.all.values()),
            functions=functions,
            workflows=workflows,
            tables=dict(data.tables),
            undelivered=undelivered.queue_name,
        )
        TrainingLogs(self, "TrainingLogs", settings=settings, progress=functions["jobs_progress"])
        outputs = {
            "ApiUrl": api.url,
            "UserPoolId": data.user_pool_id,
            "UserPoolClientId": data.client_id,
            "Region": self.region,
            "Stage": settings.stage,
            "ExecutionRoleArn": training.role.role_arn,
            "OperatorRoleArn": operator_role(self, settings).role_arn,
            "AlarmTopicArn": alarms.topic_arn,
        }
        if data.metrics_client_id:
            outputs |= {"MetricsClientId": data.metrics_client_id, "TokenUrl": token_url(self, settings)}
        for name, bucket in data.buckets.items():
            outputs[f"{name.capitalize()}Bucket"] = bucket
        for name, value in outputs.items():
            cdk.CfnOutput(self, name, value=value)

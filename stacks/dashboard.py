"""One CloudWatch dashboard per stage: alarms first, then the API, functions, workflows, training, endpoints, tables.

Plain `aws_cloudwatch`: cdk-monitoring-constructs makes six widgets a function, 90 kB of them for a third of these
functions, of metric math that nothing can check, and every synthesis pays seconds for its import.
"""

from collections.abc import Mapping, Sequence

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from cdk_app.constructs.rest_api import STAGE as API_STAGE
from cdk_app.settings import Settings
from stacks.alarms import OWN, PERIOD, RUNBOOK, metric
from stacks.api import PUBLIC_ROUTES, ROUTES

WIDTH = 24  # of a dashboard, in CloudWatch's units
HEIGHT = 6


class Dashboard(Construct):
    """`slipway-<stage>`; every widget shows five minutes as one point, as the alarms do."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        settings: Settings,
        alarms: Sequence[cloudwatch.Alarm],
        functions: Mapping[str, lambda_.Function],
        workflows: Mapping[str, str],
        tables: Mapping[str, str],
        undelivered: str,
    ) -> None:
        super().__init__(scope, id)
        board = cloudwatch.Dashboard(self, "Board", dashboard_name=f"slipway-{settings.stage}")
        answering = [key for key in functions if key in {*ROUTES, *PUBLIC_ROUTES}]
        rows = [
            [
                text(f"# Slipway, stage {settings.stage}\nWhat an alarm means and what to do: `{RUNBOOK}`"),
                cloudwatch.AlarmStatusWidget(alarms=list(alarms), title="Alarms", width=WIDTH, height=4),
            ],
            api_row(f"slipway-{settings.stage}"),
            function_row(functions, answering),
            [
                of_each("Workflows that ended well", "AWS/States", "ExecutionsSucceeded", "StateMachineArn", workflows),
                of_each("Workflows that failed", "AWS/States", "ExecutionsFailed", "StateMachineArn", workflows),
                of_each(
                    "Workflows that ran out of time", "AWS/States", "ExecutionsTimedOut", "StateMachineArn", workflows
                ),
                graph("Broken workflows", own(settings, "WorkflowFailures", "Sum")),
            ],
            [
                graph("Oldest waiting job, seconds", own(settings, "QueueAgeSeconds", "Maximum")),
                graph("Failed jobs for operators", own(settings, "JobFailures", "Sum")),
                graph("Blocked queues", own(settings, "BlockedQueues", "Sum")),
                search("GPUs of the account's training jobs, %", "/aws/sagemaker/TrainingJobs,Host", "GPUUtilization"),
            ],
            [
                graph("Failed calls of models", own(settings, "EndpointErrors", "Sum")),
                graph("Slowest endpoint's p99, ms", own(settings, "EndpointLatencyMilliseconds", "Maximum")),
                search("Calls of endpoints", ENDPOINTS, "Invocations", "Sum"),
                search("Model latency, µs", ENDPOINTS, "ModelLatency", "p99"),
            ],
            [
                of_each("Reads of tables, units", "AWS/DynamoDB", "ConsumedReadCapacityUnits", "TableName", tables),
                of_each("Writes of tables, units", "AWS/DynamoDB", "ConsumedWriteCapacityUnits", "TableName", tables),
                of_each("Throttled reads of tables", "AWS/DynamoDB", "ReadThrottleEvents", "TableName", tables),
                of_each("Throttled writes of tables", "AWS/DynamoDB", "WriteThrottleEvents", "TableName", tables),
            ],
            [
                graph(
                    "Undelivered events",
                    metric("AWS/SQS", "ApproximateNumberOfMessagesVisible", "Maximum", QueueName=undelivered),
                ),
            ],
        ]
        for row in rows:
            board.add_widgets(*row)


ENDPOINTS = "AWS/SageMaker,EndpointName,VariantName"


def api_row(name: str) -> list[cloudwatch.IWidget]:
    """Return the widgets of the API."""

    def of_api(metric_name: str, statistic: str, label: str) -> cloudwatch.Metric:
        return metric("AWS/ApiGateway", metric_name, statistic, label, ApiName=name, Stage=API_STAGE)

    return [
        graph("Requests", of_api("Count", "Sum", "requests")),
        graph("Errors", of_api("5XXError", "Sum", "5xx"), of_api("4XXError", "Sum", "4xx")),
        graph("Latency, ms", *(of_api("Latency", statistic, statistic) for statistic in ("p50", "p90", "p99"))),
        graph("Latency of functions, ms", *(of_api("IntegrationLatency", each, each) for each in ("p50", "p99"))),
    ]


def function_row(functions: Mapping[str, lambda_.Function], answering: Sequence[str]) -> list[cloudwatch.IWidget]:
    """Return the widgets of the functions: those that answer requests, and those that work behind them."""
    names = {key: function.function_name for key, function in functions.items()}
    answers = {key: names[key] for key in answering}
    works = {key: name for key, name in names.items() if key not in answers}
    return [
        of_each("Errors of functions that answer", "AWS/Lambda", "Errors", "FunctionName", answers),
        of_each("Errors of functions that work", "AWS/Lambda", "Errors", "FunctionName", works),
        of_each("Duration, ms", "AWS/Lambda", "Duration", "FunctionName", answers, "p99"),
        graph(
            "Concurrency of the account",
            metric("AWS/Lambda", "ConcurrentExecutions", "Maximum", "at once"),
            metric("AWS/Lambda", "Throttles", "Sum", "throttled"),
        ),
    ]


def of_each(
    title: str, namespace: str, name: str, dimension: str, things: Mapping[str, str], statistic: str = "Sum"
) -> cloudwatch.GraphWidget:
    """Return a graph with a line for each thing: label -> the value of its dimension."""
    lines = (metric(namespace, name, statistic, label, **{dimension: value}) for label, value in things.items())
    return graph(title, *lines)


def own(settings: Settings, name: str, statistic: str) -> cloudwatch.Metric:
    """Return one of the metrics that the functions send."""
    return metric(OWN, name, statistic, stage=settings.stage)


def graph(title: str, *metrics: cloudwatch.Metric) -> cloudwatch.GraphWidget:
    """Return a graph, a quarter of the dashboard wide."""
    axis = cloudwatch.YAxisProps(min=0, show_units=False)
    return cloudwatch.GraphWidget(title=title, left=list(metrics), left_y_axis=axis, width=WIDTH // 4, height=HEIGHT)


def search(title: str, what: str, name: str, statistic: str = "Average") -> cloudwatch.GraphWidget:
    """Return a graph of all that CloudWatch finds: endpoints and training jobs come and go after the deployment."""
    expression = f"SEARCH('{{{what}}} MetricName=\"{name}\"', '{statistic}', {PERIOD.to_seconds():.0f})"
    found = cloudwatch.MathExpression(expression=expression, label="", using_metrics={}, period=PERIOD)
    axis = cloudwatch.YAxisProps(min=0, show_units=False)
    return cloudwatch.GraphWidget(title=title, left=[found], left_y_axis=axis, width=WIDTH // 4, height=HEIGHT)


def text(markdown: str) -> cloudwatch.TextWidget:
    """Return words across the dashboard."""
    return cloudwatch.TextWidget(markdown=markdown, width=WIDTH, height=2)

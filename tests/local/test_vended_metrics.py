"""Metrics of workflows and queues on the local cloud.  `pytest tests/local/test_vended_metrics.py`"""

from __future__ import annotations

import time
from typing import Any

from tests.local.small import Small, eventually


def figure(small: Small, namespace: str, metric: str, statistic: str, **dimensions: str) -> float:
    """A metric's statistic over all the tests' time, 0 without data."""
    now = time.time()
    found = small.client("cloudwatch").get_metric_statistics(
        Namespace=namespace, MetricName=metric, StartTime=now - 86400, EndTime=now + 86400, Period=864000,
        Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()], Statistics=[statistic],
    )["Datapoints"]  # fmt: skip
    return found[0][statistic] if found else 0.0


def test_executions_are_counted_by_their_end(small: Small) -> None:
    machines = {name: small.stack[name] for name in ("Waiting", "Forbidden", "Working")}

    def counted(machine: str) -> dict[str, float]:
        names = ("Started", "Succeeded", "Failed", "Aborted")
        arn = machines[machine]
        return {n: figure(small, "AWS/States", f"Executions{n}", "Sum", StateMachineArn=arn) for n in names}

    before = {machine: counted(machine) for machine in machines}
    small.ended(small.start_execution("Forbidden", "counted"))
    waiting = small.start_execution("Waiting", "counted")
    token = eventually(lambda: small.item("counted"))["token"]["S"]
    small.client("stepfunctions").send_task_success(taskToken=token, output="{}")
    small.ended(waiting)
    aborted = small.start_execution("Working", "counted")
    small.client("stepfunctions").stop_execution(executionArn=aborted)

    def added(machine: str) -> dict[str, float]:
        return {
            name: value - before[machine][name]
            for name, value in counted(machine).items()
            if value != before[machine][name]
        }

    assert added("Forbidden") == {"Started": 1, "Failed": 1}
    assert added("Waiting") == {"Started": 1, "Succeeded": 1}
    assert added("Working") == {"Started": 1, "Aborted": 1}


def test_what_waits_in_a_queue_is_sampled_and_alarms(small: Small, observed_stack: dict[str, str]) -> None:
    url = observed_stack["Queue"]
    sqs, cloudwatch, name = small.client("sqs"), small.client("cloudwatch"), url.rpartition("/")[2]
    cloudwatch.put_metric_alarm(
        AlarmName="queue", Namespace="AWS/SQS", MetricName="ApproximateNumberOfMessagesVisible", Statistic="Maximum",
        Dimensions=[{"Name": "QueueName", "Value": name}], Period=60, EvaluationPeriods=1, Threshold=1,
        ComparisonOperator="GreaterThanOrEqualToThreshold", TreatMissingData="notBreaching",
    )  # fmt: skip

    def state() -> str:
        return cloudwatch.describe_alarms(AlarmNames=["queue"])["MetricAlarms"][0]["StateValue"]

    assert state() == "OK"
    for _ in range(3):
        sqs.send_message(QueueUrl=url, MessageBody="lost")
    assert state() == "ALARM"
    assert figure(small, "AWS/SQS", "ApproximateNumberOfMessagesVisible", "Maximum", QueueName=name) == 3
    small.cloudwatch_ahead(3600)
    assert state() == "ALARM", "they still wait there"
    sqs.purge_queue(QueueUrl=url)
    small.cloudwatch_ahead(3600 + (1 + 2) * 60 + 60)
    assert state() == "OK"
    small.cloudwatch_ahead(0)
    cloudwatch.delete_alarms(AlarmNames=["queue"])


def test_an_idle_platform_records_next_to_nothing(small: Small, observed_stack: dict[str, str]) -> None:
    """A queue's samples: two a minute at most, however often anyone looks."""
    name = observed_stack["Queue"].rpartition("/")[2]
    arguments: dict[str, Any] = {"QueueName": name}
    before = figure(small, "AWS/SQS", "ApproximateNumberOfMessagesVisible", "SampleCount", **arguments)
    for _ in range(20):
        small.client("cloudwatch").describe_alarms()
    after = figure(small, "AWS/SQS", "ApproximateNumberOfMessagesVisible", "SampleCount", **arguments)
    assert after - before <= 1

"""Alarms of the local CloudWatch on a running platform.  `pytest tests/local/test_alarms.py`"""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from tests.local.small import Small, eventually

CLEARED = (1 + 2) * 60 + 60  # seconds, as Platform.cloudwatch_ahead says


@pytest.fixture
def put(small: Small, request: pytest.FixtureRequest) -> Iterator[Callable[..., str]]:
    """A function that puts an alarm on one metric of this test, and returns its name; the clock is put right after."""
    cloudwatch = small.client("cloudwatch")
    made: list[str] = []

    def put(name: str, **changes: Any) -> str:
        asked = {
            "AlarmName": name, "Namespace": "Tests", "MetricName": request.node.name, "Statistic": "Sum", "Period": 60,
            "EvaluationPeriods": 1, "Threshold": 1, "ComparisonOperator": "GreaterThanOrEqualToThreshold",
            "TreatMissingData": "notBreaching", "Dimensions": [{"Name": "stage", "Value": "local"}],
        }  # fmt: skip
        cloudwatch.put_metric_alarm(**asked | changes)
        made.append(name)
        return name

    yield put
    small.cloudwatch_ahead(0)
    cloudwatch.delete_alarms(AlarmNames=made)


def datum(small: Small, name: str, value: float, unit: str = "Count", **dimensions: str) -> None:
    found = [{"Name": key, "Value": text} for key, text in dimensions.items()]
    small.client("cloudwatch").put_metric_data(
        Namespace="Tests",
        MetricData=[{"MetricName": name, "Dimensions": found, "Value": value, "Unit": unit}],
    )


def state(small: Small, name: str) -> str:
    (alarm,) = small.client("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"]
    return alarm["StateValue"]


def test_an_alarm_counts_its_own_dimensions_and_unit_only(
    small: Small, put: Callable[..., str], request: pytest.FixtureRequest
) -> None:
    own, units = put("own"), put("units", Unit="Seconds")
    assert state(small, own) == "OK", "missing data do not breach"
    datum(small, request.node.name, 5, stage="dev")
    datum(small, request.node.name, 5)
    datum(small, request.node.name, 5, stage="local", other="1")
    assert state(small, own) == "OK"
    datum(small, request.node.name, 5, stage="local")
    assert (state(small, own), state(small, units)) == ("ALARM", "OK")


def test_an_alarm_fires_and_clears_by_the_clock_and_says_so_to_its_topic(
    small: Small, put: Callable[..., str], request: pytest.FixtureRequest
) -> None:
    sns, sqs = small.client("sns"), small.client("sqs")
    topic, queue = sns.create_topic(Name="alarms")["TopicArn"], sqs.create_queue(QueueName="alarms")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    given = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [given]})
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": policy})
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    name = put("loud", AlarmActions=[topic], OKActions=[topic])

    def told() -> str | None:
        """The next state that the topic is told, without anyone asking CloudWatch."""
        for message in sqs.receive_message(QueueUrl=queue).get("Messages", []):
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
            return json.loads(json.loads(message["Body"])["Message"])["NewStateValue"]
        return None

    assert eventually(told) == "OK"  # from INSUFFICIENT_DATA
    datum(small, request.node.name, 1, stage="local")
    assert eventually(told) == "ALARM"
    small.cloudwatch_ahead(CLEARED)
    assert eventually(told) == "OK"
    small.cloudwatch_ahead(0)
    assert eventually(told) == "ALARM"
    assert state(small, name) == "ALARM"


def test_new_data_without_a_time_are_of_the_clocks_time(
    small: Small, put: Callable[..., str], request: pytest.FixtureRequest
) -> None:
    name = put("later")
    small.cloudwatch_ahead(3600)
    datum(small, request.node.name, 1, stage="local")
    assert state(small, name) == "ALARM"
    small.cloudwatch_ahead(0)
    assert state(small, name) == "OK", "data of the future"


def test_an_alarm_on_a_percentile(small: Small, put: Callable[..., str], request: pytest.FixtureRequest) -> None:
    small.client("cloudwatch").put_metric_alarm(
        AlarmName=put("slow"), Namespace="Tests", MetricName=request.node.name, ExtendedStatistic="p90", Period=60,
        EvaluationPeriods=1, Threshold=5, ComparisonOperator="GreaterThanThreshold", TreatMissingData="missing",
        Dimensions=[{"Name": "stage", "Value": "local"}],
    )  # fmt: skip
    for value in (1, 1, 1, 1, 1, 1, 1, 1, 1, 100):
        datum(small, request.node.name, value, stage="local")
    assert state(small, "slow") == "ALARM"


def test_figures_come_newest_first_unless_they_are_asked_for_otherwise(small: Small) -> None:
    cloudwatch, now = small.client("cloudwatch"), time.time() // 60 * 60
    for minute in range(3):
        found = {"MetricName": "order", "Value": minute, "Timestamp": now - 600 + minute * 60}
        cloudwatch.put_metric_data(
            Namespace="Tests", MetricData=[found, found | {"Dimensions": [{"Name": "a", "Value": "b"}]}]
        )
    metric = {"Metric": {"Namespace": "Tests", "MetricName": "order"}, "Period": 60, "Stat": "Sum"}
    asked = {"MetricDataQueries": [{"Id": "m", "MetricStat": metric}], "StartTime": now - 700, "EndTime": now}
    orders = [asked, asked | {"ScanBy": "TimestampDescending"}, asked | {"ScanBy": "TimestampAscending"}]
    values = [cloudwatch.get_metric_data(**order)["MetricDataResults"][0]["Values"] for order in orders]
    assert values == [[2, 1, 0], [2, 1, 0], [0, 1, 2]], "and without the metric that has dimensions"


def test_the_clock_takes_seconds_only(small: Small) -> None:
    for body in ("", "{}", '{"seconds": -1}', '{"seconds": "1"}'):
        assert requests.post(f"{small.emulator_url}/_slipway/clock", data=body, timeout=10).status_code == 400

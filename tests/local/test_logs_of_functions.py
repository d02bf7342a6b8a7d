"""Logs of functions on the local cloud: streams, metrics in lines, subscriptions.

Run: pytest tests/local/test_logs_of_functions.py -q
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local import observed
from tests.local.small import Small, eventually
from tests.platform import Platform


@pytest.fixture
def stack(observed_stack: dict[str, str]) -> dict[str, str]:
    return observed_stack


def write(platform: Platform, stack: dict[str, str], *lines: Any, **event: Any) -> Any:
    """Let the writer print these lines; return its answer."""
    payload = {"lines": [line if isinstance(line, str) else json.dumps(line) for line in lines], **event}
    answer = platform.client("lambda").invoke(FunctionName=stack["Writer"], Payload=json.dumps(payload).encode())
    return json.load(answer["Payload"])


def item(platform: Platform, stack: dict[str, str], key: str) -> dict[str, int]:
    """What the taker counted of an event."""
    found = platform.client("dynamodb").get_item(TableName=stack["Table"], Key={"id": {"S": key}}).get("Item", {})
    return {name: int(value["N"]) for name, value in found.items() if name != "id"}


def streams(platform: Platform, stack: dict[str, str]) -> dict[str, list[str]]:
    """The writer's streams and their messages."""
    logs, group = platform.client("logs"), stack["WriterLog"]
    found = logs.describe_log_streams(logGroupName=group)["logStreams"]
    return {
        stream["logStreamName"]: [
            event["message"]
            for event in logs.get_log_events(
                logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True
            )["events"]
        ]
        for stream in found
    }


def test_an_execution_environment_has_one_stream(small: Small, stack: dict[str, str]) -> None:
    for number in range(3):
        write(small, stack, f"line {number}")
    ((name, messages),) = streams(small, stack).items()
    assert [message for message in messages if message.startswith("line")] == ["line 0", "line 1", "line 2"]
    assert [message.split()[0] for message in messages[:4]] == ["START", "line", "END", "REPORT"]
    assert "[$LATEST]" in name
    write(small, stack, "last words", die=True)
    write(small, stack, "reborn")
    assert len(streams(small, stack)) == 2, "another process, another stream"


def test_events_reach_their_subscriber_in_batches_and_each_once(small: Small, stack: dict[str, str]) -> None:
    def many(writer: int) -> None:
        for number in range(20):
            write(small, stack, {"to": "taker", "id": f"many-{writer}-{number}"}, {"to": "nobody", "id": "none"})

    writers = [threading.Thread(target=many, args=(number,)) for number in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    for writer in range(3):
        for number in range(20):
            assert eventually(lambda key=f"many-{writer}-{number}": item(small, stack, key)) == {"tries": 1, "taken": 1}
    assert item(small, stack, "none") == {}
    batches = [
        item(small, stack, f"{stack['WriterLog']} {stream}").get("batches", 0) for stream in streams(small, stack)
    ]
    assert 0 < sum(batches) < 50, "fewer deliveries than events"


def test_a_lone_event_is_prompt(small: Small, stack: dict[str, str]) -> None:
    write(small, stack, {"to": "taker", "id": "warm"})
    eventually(lambda: item(small, stack, "warm"))
    time.sleep(0.6)  # the stream's pause
    began = time.monotonic()
    write(small, stack, {"to": "taker", "id": "prompt"})
    eventually(lambda: item(small, stack, "prompt"))
    assert time.monotonic() - began < 3


def test_an_event_whose_worker_dies_or_fails_comes_again(small: Small, stack: dict[str, str]) -> None:
    for key, kind, times in (("killed", "kill", 1), ("failed", "fail", 2)):
        write(small, stack, {"to": "taker", "id": key, kind: times}, {"to": "taker", "id": f"beside {key}"})
        assert eventually(lambda key=key: item(small, stack, key).get("taken"), 30) == 1
        assert item(small, stack, key)["tries"] == times + 1
        assert eventually(lambda key=key: item(small, stack, f"beside {key}").get("taken")) == 1


def test_what_is_never_taken_is_where_the_function_wants_it(small: Small, stack: dict[str, str]) -> None:
    sqs, functions = small.client("sqs"), small.client("lambda")
    queue = sqs.create_queue(QueueName="not-taken")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    functions.put_function_event_invoke_config(
        FunctionName=stack["Taker"], MaximumRetryAttempts=1, DestinationConfig={"OnFailure": {"Destination": arn}}
    )
    write(small, stack, {"to": "taker", "id": "never", "fail": 99})
    (message,) = eventually(lambda: sqs.receive_message(QueueUrl=queue).get("Messages"))
    assert json.loads(message["Body"])["requestPayload"]["awslogs"]["data"]
    assert item(small, stack, "never") == {"tries": 2}
    functions.delete_function_event_invoke_config(FunctionName=stack["Taker"])


def test_a_pattern_that_is_not_known_here_is_refused_when_it_is_put(small: Small, stack: dict[str, str]) -> None:
    with pytest.raises(ClientError, match="no such filter pattern"):
        small.client("logs").put_subscription_filter(
            logGroupName=stack["WriterLog"], filterName="odd", filterPattern="{ $.a > 1 }", destinationArn="arn"
        )


def statistics(small: Small, namespace: str, metric: str, **dimensions: str) -> dict[str, float]:
    """What CloudWatch knows of a metric, over all the test's time."""
    now = time.time()
    (found,) = small.client("cloudwatch").get_metric_statistics(
        Namespace=namespace,
        MetricName=metric,
        Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()],
        StartTime=now - 86400,
        EndTime=now + 86400,
        Period=86400 * 10,
        Statistics=["Sum", "SampleCount", "Maximum"],
    )["Datapoints"] or [{}]
    return found


def test_metrics_in_lines_become_metrics_and_the_lines_stay(small: Small, stack: dict[str, str]) -> None:
    directive = {"Namespace": "Lines", "Dimensions": [["stage"]], "Metrics": [{"Name": "Failures", "Unit": "Count"}]}
    line = {"_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [directive]}, "stage": "local"}
    write(small, stack, {**line, "Failures": [1, 2]}, {**line, "Failures": "many"})
    found = statistics(small, "Lines", "Failures", stage="local")
    assert (found["Sum"], found["SampleCount"]) == (3, 2)
    logged = [message for messages in streams(small, stack).values() for message in messages]
    assert sum('"Failures"' in message and '"_aws"' in message for message in logged) == 2


def test_functions_are_counted_however_they_are_invoked(small: Small, stack: dict[str, str]) -> None:
    name, everyone = stack["Writer"], statistics(small, "AWS/Lambda", "Invocations")["Sum"]
    before = {
        metric: statistics(small, "AWS/Lambda", metric, FunctionName=name) for metric in ("Invocations", "Errors")
    }
    both = [threading.Thread(target=write, args=(small, stack), kwargs={"seconds": 1.5}) for _ in range(2)]
    for each in both:
        each.start()
    for each in both:
        each.join()
    write(small, stack, die=True)
    small.client("lambda").invoke(FunctionName=name, InvocationType="Event", Payload=b'{"lines": ["event"]}')
    wanted = before["Invocations"]["Sum"] + 4
    eventually(lambda: statistics(small, "AWS/Lambda", "Invocations", FunctionName=name)["Sum"] == wanted)
    assert statistics(small, "AWS/Lambda", "Errors", FunctionName=name)["Sum"] == before["Errors"]["Sum"] + 1
    assert statistics(small, "AWS/Lambda", "Duration", FunctionName=name)["Maximum"] >= 1500
    assert statistics(small, "AWS/Lambda", "ConcurrentExecutions", FunctionName=name)["Maximum"] >= 2
    assert statistics(small, "AWS/Lambda", "Invocations")["Sum"] >= everyone + 4


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Platform]:
    platform = Platform(tmp_path, deploy_app=False)
    platform.up()
    yield platform
    if platform.running:
        platform.down()


def test_stopping_delivers_what_is_pending(own: Platform) -> None:
    stack = own.create_stack("logging", observed.template())
    for number in range(5):
        write(own, stack, {"to": "taker", "id": f"pending-{number}"})
    own.down()
    own.up()
    assert [item(own, stack, f"pending-{number}").get("taken") for number in range(5)] == [1] * 5

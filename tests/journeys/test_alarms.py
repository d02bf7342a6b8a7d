"""Each alarm is set off by its fault on the running platform, tells the topic, and is over when the fault is.

CloudWatch's clock is put ahead, beyond what other tests left and from one alarm to the next, so that none is waited
for. Two figures are put where nothing here is as slow: requests of 29 seconds, models of 20.

Run: python -m pytest tests/journeys/test_alarms.py
"""

import json
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
from botocore.exceptions import ClientError

from local.api_client import ApiClient
from stacks.alarms import ALARMS, Alarm
from tests.journeys import stub_models
from tests.journeys.conftest import PARAMETERS, configured, functions, invoke, train, upload
from tests.journeys.test_endpoint_updates import deployed, taken_down
from tests.local.small import eventually
from tests.platform import Platform

INSTANCE_TYPE = "ml.m5.large"  # of which stage `local` has two
PERIOD = 300  # seconds, of every alarm
BEFORE = 1800  # seconds between the other tests' data and these


@dataclass
class World:
    """The platform, its CloudWatch's clock, and what the alarms' topic was told."""

    platform: Platform
    member: ApiClient
    dataset: dict[str, Any]
    sick: Callable[[], str]
    queue: str
    ahead: float = 0

    def passes(self, seconds: float) -> None:
        self.ahead += seconds
        self.platform.cloudwatch_ahead(self.ahead)

    def now(self) -> float:
        """CloudWatch's time."""
        return time.time() + self.ahead

    def look(self, function: str, at: float) -> None:
        """Let the schedule wake a function, at that time."""
        clock = datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
        invoke(self.platform, function, {"detail-type": "Scheduled Event", "time": clock})

    def state(self, alarm: str) -> str:
        found = self.platform.client("cloudwatch").describe_alarms(AlarmNames=[f"slipway-local-{alarm}"])
        return found["MetricAlarms"][0]["StateValue"]

    def told(self, alarm: str) -> list[str]:
        """The states that the topic was told of since it was last asked about."""
        sqs, states = self.platform.client("sqs"), []
        while messages := sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10).get("Messages", []):
            for message in messages:
                sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"])
                told = json.loads(json.loads(message["Body"])["Message"])
                states += [told["NewStateValue"]] if told["AlarmName"] == f"slipway-local-{alarm}" else []
        return states

    def put(self, namespace: str, metric: str, value: float, at: float, **dimensions: str) -> None:
        datum = {
            "MetricName": metric,
            "Dimensions": [{"Name": name, "Value": text} for name, text in dimensions.items()],
            "Value": value,
            "Timestamp": datetime.fromtimestamp(at, UTC),
        }
        self.platform.client("cloudwatch").put_metric_data(Namespace=namespace, MetricData=[datum])


@pytest.fixture(scope="module")
def sick(
    platform: Platform, member: ApiClient, trained: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], str]]:
    """The id of an endpoint whose model answers 500 to everything, made when it is first asked for."""
    made: list[str] = []

    def endpoint() -> str:
        if not made:
            stub_models.install(platform, tmp_path_factory.mktemp("image"))
            made.append(deployed(member, stub_models.register(platform, trained, ["sick"]), "v1")["id"])
        return made[0]

    with configured(platform, "endpoints_watch", ENDPOINT_IDLE_MINUTES=""):  # hours pass by the clock
        yield endpoint
    for id in made:
        taken_down(platform, member, id)


@pytest.fixture(scope="module")
def world(platform: Platform, member: ApiClient, dataset: dict[str, Any], sick: Callable[[], str]) -> Iterator[World]:
    """The platform with a queue subscribed to its alarms' topic; the clock is put right in the end."""
    sns, sqs, topic = platform.client("sns"), platform.client("sqs"), platform.outputs["AlarmTopicArn"]
    queue = sqs.create_queue(QueueName="alarms")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    given = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [given | {"Resource": arn}]})
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": policy})
    subscription = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)["SubscriptionArn"]
    found = World(platform, member, dataset, sick, queue)
    sqs.purge_queue(QueueUrl=undelivered_queue(platform))  # other tests break functions, too
    found.passes(BEFORE)
    try:
        yield found
    finally:
        platform.cloudwatch_ahead(0)
        sns.unsubscribe(SubscriptionArn=subscription)
        sqs.delete_queue(QueueUrl=queue)


# --------------------------------------------------------------------------------------------------- the faults


@contextmanager
def api_errors(world: World) -> Iterator[None]:
    """A function whose code cannot be loaded."""
    client, name = world.platform.client("lambda"), functions(world.platform)["system"]
    handler = client.get_function_configuration(FunctionName=name)["Handler"]
    client.update_function_configuration(FunctionName=name, Handler="lambdas.nowhere.handler")
    try:
        statuses = [requests.get(f"{world.platform.api_url}/health", timeout=30).status_code for _ in range(5)]
        assert min(statuses) >= 500, statuses
        yield
    finally:
        client.update_function_configuration(FunctionName=name, Handler=handler)


@contextmanager
def api_latency(world: World) -> Iterator[None]:
    """Requests of 29 seconds for a quarter of an hour, as API Gateway would report them."""
    for minutes in (10, 5, 0):
        at = world.now() - minutes * 60
        world.put("AWS/ApiGateway", "Latency", 29_000, at, ApiName="slipway-local", Stage="api")
    yield


@contextmanager
def throttles(world: World) -> Iterator[None]:
    """A function that may not run at all, as each may not when the account's concurrency is used up."""
    client, name = world.platform.client("lambda"), functions(world.platform)["system"]
    client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    try:
        assert requests.get(f"{world.platform.api_url}/health", timeout=30).status_code >= 429
        yield
    finally:
        client.delete_function_concurrency(FunctionName=name)


@contextmanager
def workflow_failures(world: World) -> Iterator[None]:
    """A workflow that somebody aborts."""
    stepfunctions = world.platform.client("stepfunctions")
    machines = stepfunctions.list_state_machines()["stateMachines"]
    (teardown,) = (found["stateMachineArn"] for found in machines if "Teardown" in found["name"])
    begun = stepfunctions.start_execution(stateMachineArn=teardown, name=f"broken-{secrets.token_hex(4)}", input="{}")
    stepfunctions.stop_execution(executionArn=begun["executionArn"])
    yield


@contextmanager
def queue_age(world: World) -> Iterator[None]:
    """A job for which SageMaker has no machine, looked at six hours later."""
    world.platform.faults(capacity_wait={INSTANCE_TYPE: 3600})
    request = {"name": "Old", "dataset_id": world.dataset["id"], "parameters": PARAMETERS}
    path = f"/jobs/{world.member.call('POST', '/jobs', request)['id']}"
    try:
        eventually(lambda: world.member.call("GET", path)["stage"] == "starting")
        world.look("jobs_watch", time.time() + 6 * 3600 + 60)
        yield
    finally:
        world.member.call("POST", f"{path}/stop")
        world.member.wait(path, "cancelled")
        world.platform.faults()


@contextmanager
def queue_blocked(world: World) -> Iterator[None]:
    """A job that asks for one instance more than its queue's limit."""
    batch = world.platform.client("batch")
    queue = batch.describe_job_queues()["jobQueues"][0]["jobQueueArn"]
    payload = {"ResourceConfig": {"InstanceType": INSTANCE_TYPE, "InstanceCount": 3, "VolumeSizeInGB": 1}}
    job = batch.submit_service_job(
        jobName="too-large",
        jobQueue=queue,
        serviceJobType="SAGEMAKER_TRAINING",
        serviceRequestPayload=json.dumps(payload),
        shareIdentifier="toolarge",
    )["jobId"]
    try:
        yield
    finally:
        batch.terminate_service_job(jobId=job, reason="The test is over.")


@contextmanager
def undelivered(world: World) -> Iterator[None]:
    """A look that a function fails at each of the three times that Lambda tries."""
    lambda_, sqs = world.platform.client("lambda"), world.platform.client("sqs")
    queue = undelivered_queue(world.platform)
    event = {"detail-type": "Scheduled Event", "id": secrets.token_hex(8)}
    with configured(world.platform, "datasets_recover", WAITS_TABLE="nowhere"):
        name = functions(world.platform)["datasets_recover"]
        lambda_.invoke(FunctionName=name, InvocationType="Event", Payload=json.dumps(event).encode())
        kept = eventually(lambda: received(sqs, queue, event["id"]), 30)
    assert "AccessDeniedException" in kept["responsePayload"]["errorMessage"]
    try:
        yield
    finally:
        sqs.purge_queue(QueueUrl=queue)


def undelivered_queue(platform: Platform) -> str:
    """The URL of the queue of what no function did."""
    (queue,) = (url for url in platform.client("sqs").list_queues()["QueueUrls"] if "Undelivered" in url)
    return queue


def received(sqs: Any, queue: str, event_id: str) -> Any:
    """Return what the queue keeps of an event, which stays there; None when it has not come."""
    found = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, VisibilityTimeout=0).get("Messages", [])
    bodies = [json.loads(message["Body"]) for message in found]
    return next((body for body in bodies if body.get("requestPayload", {}).get("id") == event_id), None)


@contextmanager
def job_failures(world: World) -> Iterator[None]:
    """A job for which the account has no quota."""
    world.platform.faults(quota={INSTANCE_TYPE: 0})
    try:
        job = train(world.member, world.dataset)
    finally:
        world.platform.faults()
    assert job["failure"]["class"] == "quota", job
    yield


@contextmanager
def endpoint_errors(world: World) -> Iterator[None]:
    """Ten calls of a model that answers 500, and the look five minutes later."""
    id = world.sick()
    runtime, period = world.platform.client("sagemaker-runtime"), -1.0
    while period != time.time() // PERIOD:  # all in one of the look's periods; SageMaker's figures are of real time
        period = time.time() // PERIOD
        for _ in range(10):
            with pytest.raises(ClientError, match="ModelError"):
                runtime.invoke_endpoint(EndpointName=f"slipway-local-{id}", Body=b"{}", ContentType="application/json")
    eventually(lambda: world.member.call("GET", f"/endpoints/{id}/metrics?hours=1")["total"]["errors_5xx"] >= 10)
    world.look("endpoints_watch", (period + 1) * PERIOD + 121)
    yield


@contextmanager
def endpoint_latency(world: World) -> Iterator[None]:
    """A model that takes 20 seconds, as SageMaker would report it, at three looks."""
    name = f"slipway-local-{world.sick()}"
    for wait in (PERIOD, PERIOD, 0):
        newest = (world.now() - 120) // PERIOD * PERIOD  # the end of the period that this look is at
        slow = {"EndpointName": name, "VariantName": "main"}
        world.put("AWS/SageMaker", "ModelLatency", 20_000_000, newest - 150, **slow)
        world.look("endpoints_watch", world.now())
        world.passes(wait)
    yield


FAULTS: dict[str, Callable[[World], Any]] = {
    "ApiErrors": api_errors,
    "ApiLatency": api_latency,
    "Throttles": throttles,
    "WorkflowFailures": workflow_failures,
    "QueueAge": queue_age,
    "QueueBlocked": queue_blocked,
    "Undelivered": undelivered,
    "JobFailures": job_failures,
    "EndpointErrors": endpoint_errors,
    "EndpointLatency": endpoint_latency,
}


@pytest.mark.parametrize("alarm", ALARMS, ids=[line.name for line in ALARMS])
def test_an_alarm_rings_at_its_fault_and_is_over_after_it(world: World, alarm: Alarm) -> None:
    assert world.state(alarm.name) == "OK", "before the fault"
    world.told(alarm.name)
    with FAULTS[alarm.name](world):
        eventually(lambda: world.state(alarm.name) == "ALARM", 30)
        assert eventually(lambda: world.told(alarm.name)) == ["ALARM"]
    world.passes((alarm.periods + 2) * PERIOD + 60)
    eventually(lambda: world.state(alarm.name) == "OK")
    assert eventually(lambda: world.told(alarm.name)) == ["OK"]


def test_a_job_that_fails_by_its_own_fault_wakes_nobody(world: World, rows: list[dict[str, Any]]) -> None:
    kinds = [row | {"diagnosis": f"kind {number % 40}"} for number, row in enumerate(rows)]
    job = train(world.member, upload(world.member, kinds), test_fraction=0.05)
    assert job["failure"]["class"] == "data", job
    assert world.state("JobFailures") == "OK"

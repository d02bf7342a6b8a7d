"""The running platform that checks act on: its users, what they own, its functions, and root's clients."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from lambdas.common.ids import new_id
from lambdas.common.items import from_item
from local.api_client import ApiClient
from tests.hub import Hub
from tests.journeys.records import PREFIXES, Records
from tests.platform import Platform

NO_TOKEN = "no-workflow-has-this-token"
# Seconds that jobs which train and which process wait for a machine: longer than any check.
NO_MACHINE = {"ml.m5.large": 3600, "ml.m5.xlarge": 3600}
LOOK_SECONDS = 0.05


class CheckFailed(Exception):
    """Something did not work; the message says what."""


@dataclass
class World:
    """`job` is a completed one of the owner's, `endpoint` serves its model, `shared` is another user's data set."""

    platform: Platform
    owner: ApiClient
    admin: ApiClient
    dataset: dict[str, Any]
    shared: dict[str, Any]
    job: dict[str, Any]
    endpoint: dict[str, Any]
    unservable: str
    features: dict[str, Any]
    hub: Hub
    functions: dict[str, dict[str, Any]] = field(default_factory=dict)
    machines: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        client = self.platform.client
        self.records = Records(self.platform)
        self.s3, self.batch, self.sagemaker = client("s3"), client("batch"), client("sagemaker")
        self.lambda_, self.stepfunctions = client("lambda"), client("stepfunctions")
        names = ("Datasets", "Models", "Jobs")
        self.datasets_bucket, self.models_bucket, self.jobs_bucket = (
            self.platform.outputs[f"{name}Bucket"] for name in names
        )
        for page in self.lambda_.get_paginator("list_functions").paginate():
            for found in page["Functions"]:
                variables = found.get("Environment", {}).get("Variables", {})
                if "POWERTOOLS_SERVICE_NAME" in variables:
                    self.functions[variables["POWERTOOLS_SERVICE_NAME"]] = found
        for found in self.stepfunctions.list_state_machines()["stateMachines"]:
            name = re.fullmatch(r".*-(\w+)WorkflowMachine\w+-\w+", found["name"])
            if name:
                self.machines[name[1]] = found["stateMachineArn"]

    @property
    def user_id(self) -> str:
        assert self.owner.username
        return self.owner.username

    @property
    def endpoint_name(self) -> str:
        """The name that SageMaker has for the endpoint in service."""
        return self.record("endpoints", self.endpoint["id"])["endpoint_name"]

    def invoke(self, function: str, event: dict[str, Any]) -> Any:
        """Invoke a function by its key in the grants table; raises CheckFailed when it fails."""
        name = self.functions[function]["FunctionName"]
        answer = self.lambda_.invoke(FunctionName=name, Payload=json.dumps(event).encode())
        content = json.load(answer["Payload"])
        if "FunctionError" in answer:
            raise CheckFailed(f"{function}: {content.get('errorMessage')}")
        return content

    def copy(self, noun: str, source: str, *, under_way: bool = True, token: str | None = None, **changes: Any) -> str:
        """Store a changed copy of a record of the owner's, under way with that token; return its id."""
        id = self.records.copy(noun, self.user_id, source, **changes)
        if under_way:
            self.records.open_wait(self.user_id, id, token)
        return id

    def id_of_deleted(self, noun: str) -> str:
        """Leave a wait without a record, as a deletion that did not finish does; return the record's id."""
        id = new_id(PREFIXES[noun])
        self.records.open_wait(self.user_id, id)
        return id

    def record(self, noun: str, id: str) -> dict[str, Any]:
        """Return a record of the owner's as it is stored, empty when there is none."""
        return from_item(self.records.read(noun, self.user_id, id) or {})

    def event(self, id: str) -> dict[str, str]:
        """Return the event of a workflow's step."""
        return {"owner": self.user_id, "id": id}

    def keys(self, bucket: str, prefix: str) -> list[str]:
        """Return the keys of the objects under a prefix."""
        return [found["Key"] for found in self.s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])]

    def execution(self, workflow: str, name: str) -> dict[str, Any] | None:
        """Return an execution, or None when there is none of that name."""
        try:
            return self.stepfunctions.describe_execution(executionArn=self.execution_arn(workflow, name))
        except self.stepfunctions.exceptions.ExecutionDoesNotExist:
            return None

    def execution_arn(self, workflow: str, name: str) -> str:
        return f"{self.machines[workflow].replace(':stateMachine:', ':execution:')}:{name}"

    def start(self, workflow: str, name: str, event: dict[str, Any]) -> None:
        """Start a workflow, as root."""
        self.stepfunctions.start_execution(stateMachineArn=self.machines[workflow], name=name, input=json.dumps(event))

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """Let nothing happen by itself: no rule fires, nothing trains. A check does what it needs to happen."""
        events = self.platform.client("events")
        rules = [rule["Name"] for rule in events.list_rules()["Rules"] if rule["State"] == "ENABLED"]
        for rule in rules:
            events.disable_rule(Name=rule)
        self.stand_still()
        try:
            yield
        finally:
            self.platform.faults()
            for rule in rules:
                events.enable_rule(Name=rule)

    @contextmanager
    def failing(self, **fault: Any) -> Iterator[None]:
        """Let calls of an operation fail for a while."""
        self.platform.faults(**fault)
        try:
            yield
        finally:
            self.stand_still()

    def stand_still(self) -> None:
        """Clear all faults but the lack of machines."""
        self.platform.faults()
        self.platform.faults(capacity_wait=NO_MACHINE)

    def abort(self, workflow: str, name: str) -> None:
        """Abort an execution that a check leaves waiting."""
        execution = self.execution(workflow, name)
        if execution and execution["status"] == "RUNNING":
            with unless("not running"):
                self.stepfunctions.stop_execution(executionArn=execution["executionArn"])


@contextmanager
def unless(words: str) -> Iterator[None]:
    """Overlook a refusal that says so: what was to be taken away went by itself at that moment."""
    try:
        yield
    except ClientError as error:
        if words not in str(error):
            raise


def expect(fact: bool, words: str) -> None:
    """Raise CheckFailed unless something is so."""
    if not fact:
        raise CheckFailed(words)


def until(found: Callable[[], Any], words: str, seconds: float = 10) -> Any:
    """Return what `found` gives once that is true; raises CheckFailed after the time given."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if result := found():
            return result
        time.sleep(LOOK_SECONDS)
    raise CheckFailed(f"not within {seconds} s: {words}")

"""Endpoints as tests make them: on our SageMaker, a program of its own; their workflows done step by step."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import boto3
import requests

from lambdas.common import waits, workflows
from lambdas.common.environment import variable
from lambdas.common.errors import Stale
from lambdas.endpoints import sleeping, tasks, updates
from lambdas.endpoints.endpoint_request import deployed_name
from lambdas.endpoints.schemas import Endpoint
from lambdas.endpoints.service import ENDPOINTS
from lambdas.models.records import MODELS
from tests.api import registry
from tests.api.client import ApiClient
from tests.local.services import ServicesProcess, until
from tests.local.test_sagemaker_endpoints import archive

TOKEN = "no-workflow-has-this-token"
BUSY = ("Creating", "Updating", "RollingBack", "Deleting")


class Serving:
    """A user with two versions of a model, and what SageMaker has of their endpoints."""

    def __init__(self, services: ServicesProcess, api: Callable[..., ApiClient]) -> None:
        self.services = services
        self.ada = api("endpoints")
        self.owner = self.ada.username
        self.versions = {name: self._version(api, name, model) for name, model in VERSIONS.items()}

    def _version(self, api: Callable[..., ApiClient], version: str, model: str) -> str:
        """Register a version as if a container had trained it; return its id."""
        made = registry.ready(api("models", username=self.owner), model_id="forest", version=version)
        found = MODELS.get(self.owner, made["id"])
        key = f"{found.prefix}model.tar.gz"
        boto3.client("s3").put_object(Bucket=variable("MODELS_BUCKET"), Key=key, Body=archive({"model.txt": model}))
        MODELS.update(found, image="tabular", model_archive=key)
        return found.id

    def create(self, version: str = "v1", **changes: Any) -> Any:
        model = {"model_id": "forest", "version": version}
        return self.ada.post("/endpoints", {"name": "Live", "model": model} | changes)

    def change(self, id: str, version: str) -> Any:
        return self.ada.patch(f"/endpoints/{id}", {"model": {"model_id": "forest", "version": version}})

    def record(self, id: str) -> Endpoint:
        return ENDPOINTS.get(self.owner, id)

    def records(self) -> list[Endpoint]:
        return ENDPOINTS.list(self.owner, "ep-", 100, None).items

    def step(self, id: str, name: str, **more: Any) -> Any:
        return tasks.deploy({"owner": self.owner, "id": id, "step": name} | more, None)

    def deploy(self, id: str) -> None:
        """Do what the workflow `deploy` does."""
        self.step(id, "create_model")
        self.step(id, "create_endpoint", token=TOKEN)
        self.settled(id)
        self.step(id, "in_service")

    def update(self, id: str) -> None:
        """Do what the workflow `update` does."""
        if self.step(id, "prepare_update")["deploys"]:
            self.step(id, "update_endpoint", token=TOKEN)
            self.settled(id)
        self.step(id, "settle_update")

    def tear_down(self, id: str) -> None:
        """Do what the workflow `teardown` does."""
        while not self.step(id, "delete_endpoint")["gone"]:
            self.settled(id)
        self.step(id, "delete_rest")

    def in_service(self, version: str = "v1", **changes: Any) -> str:
        """Make an endpoint; return its id."""
        answer = self.create(version, **changes)
        assert answer.status == 201, answer.body
        self.deploy(answer.body["id"])
        found = self.record(answer.body["id"])
        assert found.status == "in_service", found.reason
        return found.id

    def invoke(self, id: str) -> Any:
        return self.ada.call("POST", f"/endpoints/{id}/invoke", "x", content_type="text/csv")

    def settled(self, id: str) -> None:
        """Wait until SageMaker is done with an endpoint; not by boto3, whose calls are counted."""
        name = f"slipway-test-{id}"
        until(lambda: self._status(name), lambda status: status not in BUSY)

    def _status(self, name: str) -> str | None:
        asked = {"X-Amz-Target": "SageMaker.DescribeEndpoint"}
        answer = requests.post(self.services.url, json={"EndpointName": name}, headers=asked, timeout=10)
        return answer.json().get("EndpointStatus")

    def recover(self) -> None:
        """Whatever ran is dead: reconcile until everything of the user is at rest, as the schedule does."""
        left: list[str] = []
        for _ in range(50):
            left = [id for owner, id in waits.under_way("ep-") if owner == self.owner]
            if not left:
                return
            for id in left:
                self.abort(id)
                self.settled(id)
                with suppress(RuntimeError, Stale):  # SageMaker is busy, or it was done meanwhile: looked at again
                    tasks.reconcile(self.owner, id)
        raise AssertionError(f"never at rest: {left}")

    def abort(self, id: str) -> None:
        """End what a workflow had of an endpoint."""
        found = ENDPOINTS.get(self.owner, id)
        names = {"DEPLOY": sleeping.deploy_name(found), "TEARDOWN": f"{id}-delete", "SLEEP": sleeping.sleep_name(found)}
        if found.update:
            names["UPDATE"] = updates.execution_name(found)
        for workflow, name in names.items():
            execution = workflows.execution(f"{workflow}_WORKFLOW_ARN", name)
            if execution["status"] == "RUNNING":
                boto3.client("stepfunctions").stop_execution(executionArn=execution["executionArn"])

    def assert_true(self) -> None:
        """What SageMaker has is what the records say, and each record has all that it says."""
        serving = [found for found in self.records() if found.status == "in_service"]
        assert not [found for found in self.records() if found.status not in ("in_service", "failed")]
        names = {found.endpoint_name for found in serving}
        assert names_of("Endpoint") == names
        assert names_of("Model") == names_of("EndpointConfig") == {deployed_name(found) for found in serving}
        for found in serving:
            described = boto3.client("sagemaker").describe_endpoint(EndpointName=found.endpoint_name)
            assert described["EndpointConfigName"] == deployed_name(found)
            assert self.invoke(found.id).body["model"] == VERSIONS[found.model.version or ""]
        assert boto3.client("cloudwatch").describe_alarms()["MetricAlarms"] == []
        assert scaled() == {found.endpoint_name for found in serving if found.autoscaling}
        folder = self.services.home / "sagemaker/endpoints"
        assert len(processes_in(folder)) == len(serving)
        for version in self.versions.values():
            holders = {found.id for found in self.records() if found.holds_model and found.model_version_id == version}
            assert MODELS.get(self.owner, version).holds == holders


VERSIONS = {"v1": "first", "v2": "second"}


def names_of(kind: str) -> set[str]:
    """Return the names of SageMaker's endpoints, models or configurations."""
    pages = boto3.client("sagemaker").get_paginator(f"list_{snake(kind)}s").paginate()
    return {found[f"{kind}Name"] for page in pages for found in page[f"{kind}s"]}


def snake(kind: str) -> str:
    return {"EndpointConfig": "endpoint_config"}.get(kind, kind.lower())


def scaled() -> set[str]:
    """Return the names of the endpoints that scale."""
    targets = boto3.client("application-autoscaling").describe_scalable_targets(ServiceNamespace="sagemaker")
    return {target["ResourceId"].split("/")[1] for target in targets["ScalableTargets"]}


def processes_in(folder: Path) -> list[int]:
    """Return the serving processes that work below a folder."""
    mark = f"SAGEMAKER_BASE_DIR={folder}/".encode()
    found = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):  # gone meanwhile, or another user's
            if mark in environment.read_bytes():
                found.append(int(environment.parent.name))
    return found

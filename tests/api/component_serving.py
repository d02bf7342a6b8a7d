"""Endpoints that are inference components, as tests make them: on our SageMaker, their workflows done step by step."""

import time
from typing import Any

import boto3
import requests

from lambdas.common.environment import variable
from lambdas.endpoints import hosts
from lambdas.endpoints.endpoint_request import deployed_name
from lambdas.models.records import MODELS
from tests.api.serving import BUSY, VERSIONS, Serving, names_of, processes_in, scaled
from tests.local.services import until

KIND = "inference_component_based"
ZERO = {"min_copies": 0, "max_copies": 2}
# `sick` answers 500, `broken` does not start; else a language model's answer that says who gave it.
SERVE = """
import http.server, json, os, pathlib, sys
model = (pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"]) / "model/model.txt").read_text()
if model == "broken":
    sys.exit("cannot load the model")
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.reply(200, {})
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        answer = {"choices": [{"text": model, "message": {"role": "assistant", "content": model}}]}
        self.reply(500 if model == "sick" else 200, answer)
    def reply(self, status, content):
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
    def log_message(self, *args):
        print("asked", flush=True)
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Handler).serve_forever()
"""


class ComponentServing(Serving):
    """A user with two versions of a language model."""

    def _version(self, api: Any, version: str, model: str) -> str:
        id = super()._version(api, version, model)
        MODELS.update(MODELS.get(self.owner, id), training_type="llm")
        return id

    def create(self, version: str = "v1", **changes: Any) -> Any:
        return super().create(version, **{"kind": KIND} | changes)

    def deploy(self, id: str) -> None:
        """Do what the workflow `deploy` does."""
        assert self.step(id, "create_model")["component"]
        while not self.step(id, "place")["placed"]:
            time.sleep(0.02)
        self.step(id, "in_service")

    def update(self, id: str) -> None:
        """Do what the workflow `update` does."""
        if self.step(id, "prepare_update")["deploys"]:
            self.step(id, "update_endpoint")
            self.settled(id)
        self.step(id, "settle_update")

    def put_to_sleep(self, id: str) -> None:
        """Do what the workflow `sleep` does."""
        while not self.step(id, "delete_endpoint")["gone"]:
            self.settled(id)
        self.step(id, "asleep")

    def ask(self, id: str) -> Any:
        return self.ada.post(f"/endpoints/{id}/invoke", {"inputs": "who"})

    def said(self, id: str) -> str:
        answer = self.ask(id)
        assert answer.status == 200, answer.body
        return answer.body[0]["generated_text"]

    def settled(self, id: str) -> None:
        """Wait until SageMaker is done with a component and its host; not by boto3, whose calls are counted."""
        found = self.record(id)
        asked = {"InferenceComponentName": found.endpoint_name}
        until(lambda: self._said("InferenceComponent", asked), lambda status: status not in BUSY)
        until(lambda: self._said("Endpoint", {"EndpointName": found.host}), lambda status: status not in BUSY)

    def _said(self, kind: str, request: dict[str, Any]) -> str | None:
        target = {"X-Amz-Target": f"SageMaker.Describe{kind}"}
        return requests.post(self.services.url, json=request, headers=target, timeout=10).json().get(f"{kind}Status")

    def component(self, id: str) -> dict[str, Any]:
        return boto3.client("sagemaker").describe_inference_component(InferenceComponentName=f"slipway-test-{id}")

    def copies(self, id: str, count: int) -> None:
        """Bring a component to so many copies, as Application Auto Scaling does."""
        boto3.client("sagemaker").update_inference_component_runtime_config(
            InferenceComponentName=f"slipway-test-{id}", DesiredRuntimeConfig={"CopyCount": count}
        )
        self.settled(id)

    def assert_true(self) -> None:
        """What SageMaker has is what the records say, and each record has all that it says."""
        records = self.records()
        assert not [found for found in records if found.status not in ("in_service", "failed", "sleeping")]
        serving = [found for found in records if found.status == "in_service"]
        listed = boto3.client("sagemaker").list_inference_components(MaxResults=100)["InferenceComponents"]
        assert {found["InferenceComponentName"] for found in listed} == {found.endpoint_name for found in serving}
        assert names_of("Endpoint") == names_of("EndpointConfig") == {found.host for found in serving}
        kept = [found for found in records if found.status != "failed"]
        assert names_of("Model") == {deployed_name(found) for found in kept}
        for found in serving:
            assert self.component(found.id)["Specification"]["ModelName"] == deployed_name(found)
            assert self.said(found.id) == VERSIONS[found.model.version or ""]
            assert found.id in hosts.members(found.host or "")
        items = boto3.client("dynamodb").query(
            TableName=variable("ENDPOINTS_TABLE"),
            KeyConditionExpression="#owner = :hosts",
            ExpressionAttributeNames={"#owner": "owner"},
            ExpressionAttributeValues={":hosts": {"S": hosts.PARTITION}},
        )["Items"]
        assert {id for item in items for id in item["members"]["SS"]} == {found.id for found in serving}
        scaling = {found.endpoint_name for found in serving if found.copies and found.copies.scales}
        assert scaled() == scaling
        alarms = {alarm["AlarmName"] for alarm in boto3.client("cloudwatch").describe_alarms()["MetricAlarms"]}
        assert alarms == {f"{name}-from-zero" for name in scaling}
        assert len(processes_in(self.services.home / "sagemaker/components")) == len(serving)
        for version in self.versions.values():
            holders = {found.id for found in records if found.holds_model and found.model_version_id == version}
            assert MODELS.get(self.owner, version).holds == holders

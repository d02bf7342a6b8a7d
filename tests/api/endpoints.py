"""Endpoints as these tests make them: on our SageMaker, with a program that echoes, and workflows done by hand."""

import io
import tarfile
import time
from collections.abc import Callable
from typing import Any

import boto3

from lambdas.common import waits, workflows
from lambdas.endpoints import awake, resources, tasks
from lambdas.endpoints.schemas import Endpoint
from lambdas.endpoints.service import ENDPOINTS
from lambdas.models.records import MODELS
from tests.api import registry
from tests.api.client import ApiClient
from tests.local.services import Services, until

SERVE = """
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.reply(200, b"")
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.reply({b"bad": 400, b"broken": 500}.get(body, 200), body)
    def reply(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        print("asked", self.path, flush=True)
address = ("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"]))
http.server.ThreadingHTTPServer(address, Handler).serve_forever()
"""
UNDER_WAY = {"creating", "updating", "deleting"}


def remove_all(services: Services) -> None:
    """Delete every endpoint at SageMaker, and with it its process."""
    for found in services.sagemaker.list_endpoints(MaxResults=100)["Endpoints"]:
        if found["EndpointStatus"] != "Deleting":
            services.sagemaker.delete_endpoint(EndpointName=found["EndpointName"])
    until(lambda: services.sagemaker.list_endpoints()["Endpoints"], lambda left: not left)


def servable(api: Callable[..., ApiClient], username: str) -> str:
    """Return the name of a model of the user's that an image here can serve."""
    version = registry.ready(api("models", username=username))
    found = MODELS.get(username, version["id"])
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz"):
        pass
    key = f"{found.prefix}model.tar.gz"
    boto3.client("s3").put_object(Bucket="slipway-test-models-bucket", Key=key, Body=archive.getvalue())
    MODELS.update(found, image="tabular", model_archive=key)
    return found.model_id


def deployed(ada: ApiClient, model_id: str, **more: Any) -> dict[str, Any]:
    """Create an endpoint and bring it into service, as its workflow would."""
    answer = ada.post("/endpoints", {"name": "Parrot", "model": {"model_id": model_id}} | more)
    assert answer.status == 201, answer.body
    deploy(answer.body)
    found = ada.get(f"/endpoints/{answer.body['id']}").body
    assert found["status"] == "in_service", found
    return found


def deploy(endpoint: dict[str, Any]) -> None:
    """Do the steps of `deploy`."""
    step(endpoint, "create_model")
    step(endpoint, "create_endpoint", token="token")
    settled(record(endpoint))
    step(endpoint, "in_service")


def put_to_sleep(endpoint: dict[str, Any]) -> None:
    """Do the steps of `sleep`."""
    deadline = time.monotonic() + 20
    while not step(endpoint, "delete_endpoint")["gone"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    step(endpoint, "asleep")


def step(endpoint: dict[str, Any], name: str, **more: Any) -> dict[str, Any]:
    """Do one step of a workflow."""
    return tasks.deploy({"step": name, "owner": endpoint["user_id"], "id": endpoint["id"]} | more, None)


def record(endpoint: dict[str, Any]) -> Endpoint:
    """Return an endpoint as it is stored."""
    return ENDPOINTS.get(endpoint["user_id"], endpoint["id"])


def settled(endpoint: Endpoint) -> str | None:
    """Return SageMaker's status of an endpoint once nothing is under way there; None when it has none."""
    deadline = time.monotonic() + 20
    while (found := resources.describe(endpoint.endpoint_name)) and found["EndpointStatus"] in ("Creating", "Deleting"):
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
    return found["EndpointStatus"] if found else None


def recovered(endpoint: dict[str, Any]) -> Endpoint:
    """Return an endpoint once the schedule has brought it to rest after its workflows were lost."""
    found = record(endpoint)
    for _ in range(20):
        found = record(endpoint)
        if endpoint["id"] not in (id for _, id in waits.under_way("ep-")):
            return found
        for workflow, name in (
            ("DEPLOY_WORKFLOW_ARN", f"{found.id}-wake-{found.wakes}"),
            ("DEPLOY_WORKFLOW_ARN", found.id),
            ("SLEEP_WORKFLOW_ARN", f"{found.id}-sleep-{found.wakes}"),
        ):
            if workflows.execution(workflow, name)["status"] == "RUNNING":
                boto3.client("stepfunctions").stop_execution(
                    executionArn=workflows.execution(workflow, name)["executionArn"]
                )
        try:
            tasks.reconcile(found.owner, found.id)
        except RuntimeError:
            pass  # SageMaker is busy: the next look goes on
        settled(found)
    raise AssertionError(f"it does not come to rest: {found!r}")


def is_awake(endpoint: dict[str, Any]) -> bool:
    """Return whether the sweep looks at an endpoint."""
    return endpoint["id"] in (id for _, id in awake.everyone())

"""Registrations as tests make them: served by a small program at the local SageMaker, moved on as workflows do."""

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import boto3

from lambdas.common import waits, workflows
from lambdas.common.errors import NotFound
from lambdas.endpoints import registration_tasks, resources, tasks
from lambdas.endpoints.registration_handler import handler
from lambdas.endpoints.service import ENDPOINTS
from lambdas.jobs.registrations import REGISTRATIONS, Registration
from lambdas.models.records import MODELS
from tests.api import registry
from tests.api.client import ApiClient
from tests.local.services import until

Api = Callable[..., ApiClient]
SERVE = """
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *args):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Handler).serve_forever()
"""
ARCHIVE = {"model.txt": "a model"}


def registering(user: ApiClient) -> ApiClient:
    """Return the user's client of POST /register."""
    return ApiClient(handler, user.username, user.group)


def servable(api: Api, user: ApiClient, **fields: Any) -> dict[str, Any]:
    """Return a ready version of the user's, as the registry has what a container here trained."""
    from tests.local.test_sagemaker_endpoints import archive

    version = registry.ready(api("models", username=user.username), **fields)
    make_servable(version)
    found = MODELS.get(version["user_id"], version["id"])
    boto3.client("s3").put_object(
        Bucket=os.environ["MODELS_BUCKET"], Key=str(found.model_archive), Body=archive(ARCHIVE)
    )
    return version


def make_servable(version: dict[str, Any]) -> None:
    """Let a version be one that the tabular image can serve."""
    found = MODELS.get(version["user_id"], version["id"])
    MODELS.update(found, image="tabular", model_archive=f"{found.prefix}model.tar.gz")


def reference(version: dict[str, Any]) -> dict[str, str]:
    return {"model_id": version["model_id"], "version": version["version"]}


def registered(user: ApiClient, **request: Any) -> dict[str, Any]:
    """Send a registration that is accepted; return the answer."""
    answer = registering(user).post("/register", {"name": "Iris"} | request)
    assert answer.status == 201, answer.body
    return answer.body


def of(owner: str) -> list[Registration]:
    """Return the registrations of a user."""
    return REGISTRATIONS.list(owner, "reg-", 100, None).items


def under_way(owner: str) -> list[str]:
    """Return the ids of registrations and endpoints under way of a user."""
    return sorted(id for prefix in ("reg-", "ep-") for found, id in waits.under_way(prefix) if found == owner)


def look(job: dict[str, Any] | Registration) -> dict[str, Any]:
    """Do one look of the workflow `register`."""
    owner, id = (job.owner, job.id) if isinstance(job, Registration) else (job["user_id"], job["id"])
    return registration_tasks.register({"owner": owner, "id": id}, None)


def deploy_now(owner: str, id: str) -> None:
    """Do what the workflow `deploy` does with an endpoint, step by step and in its order."""
    event = {"owner": owner, "id": id}
    tasks.deploy(event | {"step": "create_model"}, None)
    tasks.deploy(event | {"step": "create_endpoint", "token": "none"}, None)
    until(
        lambda: resources.describe(f"slipway-test-{id}"),
        lambda found: found and found["EndpointStatus"] != "Creating",
        120,
    )
    tasks.deploy(event | {"step": "in_service"}, None)


def reconcile(owner: str) -> None:
    """Reconcile what is under way of a user, as the schedule does for all."""
    for id in under_way(owner):
        with suppress(NotFound):
            (registration_tasks if id.startswith("reg-") else tasks).reconcile(owner, id)


def go_on(owner: str) -> None:
    """Let the workflows that have started do what is left to do."""
    while left := [id for id in under_way(owner) if has_execution(id)]:
        for id in left:
            if id.startswith("reg-"):
                look(REGISTRATIONS.get(owner, id))
            elif ENDPOINTS.get(owner, id).status == "creating":
                deploy_now(owner, id)


def has_execution(id: str) -> bool:
    """Return whether the workflow of a registration or an endpoint has started."""
    return workflows.execution(workflow_of(id), id)["status"] != "ABSENT"


def abort(id: str) -> None:
    """Let a workflow die, if it has started."""
    found = workflows.execution(workflow_of(id), id)
    if found["status"] == "RUNNING":
        boto3.client("stepfunctions").stop_execution(executionArn=found["executionArn"])


def workflow_of(id: str) -> str:
    return "REGISTER_WORKFLOW_ARN" if id.startswith("reg-") else "DEPLOY_WORKFLOW_ARN"


def made() -> dict[str, set[str]]:
    """Return what SageMaker has, by the ids of the endpoints that the names bear."""
    client = boto3.client("sagemaker")
    found = {
        "models": [model["ModelName"] for model in client.list_models(MaxResults=100)["Models"]],
        "configs": [
            config["EndpointConfigName"] for config in client.list_endpoint_configs(MaxResults=100)["EndpointConfigs"]
        ],
        "endpoints": [endpoint["EndpointName"] for endpoint in client.list_endpoints(MaxResults=100)["Endpoints"]],
    }
    return {kind: {name.removeprefix("slipway-test-") for name in names} for kind, names in found.items()}

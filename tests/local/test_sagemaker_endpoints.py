"""Endpoints of the local SageMaker: `pytest tests/local -k sagemaker`."""

import io
import json
import os
import signal
import tarfile
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local.services import BUCKET, ROLE, Services, until

SERVE = """
import http.server, json, os, pathlib, sys
base = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"])
model = (base / "model/model.txt").read_text()
if model == "broken":
    print("cannot load the model"); sys.exit(3)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.reply(500 if model == "sick" else 200, "", {})
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if body == "crash":
            os._exit(9)
        if body == "bad":
            return self.reply(400, "a number was expected", {})
        answer = {"model": model, "body": body, "accept": self.headers["Accept"], "pid": os.getpid()}
        self.reply(200, json.dumps(answer), {"Content-Type": "application/json"})
    def reply(self, status, text, headers):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(text))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text.encode())
    def log_message(self, *args):
        print("request", self.path, flush=True)
print("serving", model, flush=True)
address = ("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"]))
http.server.ThreadingHTTPServer(address, Handler).serve_forever()
"""


def archive(files: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content.encode()))
    return buffer.getvalue()


def create_config(services: Services, name: str, model: str, **variant: Any) -> None:
    """A model whose model.txt says `model`, and an endpoint configuration, both called `name`."""
    data = services.put(f"models/{name}/model.tar.gz", archive({"model.txt": model}))
    services.sagemaker.create_model(
        ModelName=name,
        ExecutionRoleArn=ROLE,
        PrimaryContainer={"Image": services.image("server", serve=SERVE), "ModelDataUrl": data},
        EnableNetworkIsolation=True,
    )
    instance = {"InstanceType": "ml.m5.large", "InitialInstanceCount": 1, "InitialVariantWeight": 1.0}
    services.sagemaker.create_endpoint_config(
        EndpointConfigName=name, ProductionVariants=[{"VariantName": "main", "ModelName": name, **instance, **variant}]
    )


def create_endpoint(services: Services, name: str, model: str = "first", **variant: Any) -> dict[str, Any]:
    create_config(services, name, model, **variant)
    services.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    return settled(services, name)


def settled(services: Services, name: str) -> dict[str, Any]:
    return until(
        lambda: services.sagemaker.describe_endpoint(EndpointName=name),
        lambda endpoint: endpoint["EndpointStatus"] in ("InService", "Failed"),
    )


def invoke(services: Services, name: str, body: str = "x") -> dict[str, Any]:


    answer = services.runtime.invoke_endpoint(EndpointName=name, Body=body, ContentType="text/csv", Accept="text/x")
    assert answer["ContentType"] == "application/json" and answer["InvokedProductionVariant"] == "main"
    return json.loads(answer["Body"].read())


def test_an_endpoint_serves_its_model(services: Services) -> None:
    endpoint = create_endpoint(services, "served")
    assert endpoint["EndpointStatus"] == "InService", endpoint.get("FailureReason")
    assert endpoint["ProductionVariants"][0]["CurrentInstanceCount"] == 1
    answer = invoke(services, "served", "1,2")
    assert (answer["model"], answer["body"], answer["accept"]) == ("first", "1,2", "text/x")

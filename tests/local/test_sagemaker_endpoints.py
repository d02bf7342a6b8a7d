"""Endpoints of the local SageMaker: `pytest tests/local -k sagemaker`."""

import io
import json
import tarfile
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local.services import BUCKET, ROLE, Services, alive, client, until

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


def test_an_error_of_the_model_says_what_the_container_said(services: Services) -> None:
    with pytest.raises(ClientError) as failed:
        invoke(services, "served", "bad")
    answer = failed.value.response
    assert answer["Error"]["Code"] == "ModelError"
    assert (answer["OriginalStatusCode"], answer["OriginalMessage"]) == (400, "a number was expected")
    assert "Received client error (400)" in answer["Error"]["Message"]


def test_a_body_above_six_mebibytes_is_refused(services: Services) -> None:
    limit = 6 * 1024 * 1024
    assert len(invoke(services, "served", "x" * (limit // 2))["body"]) == limit // 2
    with pytest.raises(ClientError, match="exceeds the limit of 6291456 bytes"):
        services.runtime.invoke_endpoint(EndpointName="served", Body=b"x" * (limit + 1))


def test_an_unknown_endpoint_and_one_of_another_kind_are_named(services: Services) -> None:
    with pytest.raises(ClientError, match="Endpoint nobody of account 000000000000 not found"):
        services.runtime.invoke_endpoint(EndpointName="nobody", Body=b"x")
    with pytest.raises(ClientError, match="served is not an asynchronous endpoint"):
        services.runtime.invoke_endpoint_async(EndpointName="served", InputLocation="s3://b/k")


def test_log_lines_of_the_server_are_in_the_endpoints_group(services: Services) -> None:
    lines = until(
        lambda: services.log_lines("/aws/sagemaker/Endpoints/served", "main/"), lambda x: "request /invocations" in x
    )
    assert "serving first" in lines
    assert any("Network isolation" in line for line in lines)


def test_a_model_that_does_not_load_fails_the_endpoint_with_its_last_lines(services: Services) -> None:
    endpoint = create_endpoint(services, "unloadable", "broken")
    assert endpoint["EndpointStatus"] == "Failed"
    assert "ended with exit code 3" in endpoint["FailureReason"]
    assert "cannot load the model" in endpoint["FailureReason"]
    services.sagemaker.delete_endpoint(EndpointName="unloadable")
    gone(services, "unloadable")


def test_a_container_that_never_answers_its_ping_fails_the_endpoint(services: Services) -> None:
    endpoint = create_endpoint(services, "sick", "sick")
    assert endpoint["EndpointStatus"] == "Failed"
    assert "did not pass the ping health check" in endpoint["FailureReason"]


def test_a_model_without_data_or_image_is_refused(services: Services) -> None:
    model = {"ModelName": "nothing", "ExecutionRoleArn": ROLE}
    image = services.image("server", serve=SERVE)
    with pytest.raises(ClientError, match=r"Could not find model data at s3://training/no/model\.tar\.gz"):
        services.sagemaker.create_model(
            **model, PrimaryContainer={"Image": image, "ModelDataUrl": f"s3://{BUCKET}/no/model.tar.gz"}
        )
    with pytest.raises(ClientError, match=r"Requested image .* not found"):
        services.sagemaker.create_model(**model, PrimaryContainer={"Image": "000.dkr.ecr.x/nowhere:1"})
    with pytest.raises(ClientError, match=r'Could not find model "arn:aws:sagemaker:.*model/nothing"'):
        services.sagemaker.describe_model(ModelName="nothing")


def test_an_archive_that_climbs_out_of_its_folder_is_refused(services: Services) -> None:
    create_config(services, "climber", "x")
    services.put("models/climber/model.tar.gz", archive({"../../../climbed.txt": "x"}))
    services.sagemaker.create_endpoint(EndpointName="climber", EndpointConfigName="climber")
    endpoint = settled(services, "climber")
    assert endpoint["EndpointStatus"] == "Failed" and "no file inside" in endpoint["FailureReason"]
    assert not list(services.home.rglob("climbed.txt"))


def test_an_update_never_leaves_the_endpoint_without_an_answer(services: Services) -> None:
    create_endpoint(services, "blue")
    old = invoke(services, "blue")["pid"]
    create_config(services, "green", "second")
    services.sagemaker.update_endpoint(EndpointName="blue", EndpointConfigName="green")
    answers = []
    until(lambda: answers.append(invoke(services, "blue")["model"]) or answers[-1], lambda model: model == "second")
    endpoint = settled(services, "blue")
    assert (endpoint["EndpointStatus"], endpoint["EndpointConfigName"]) == ("InService", "green")
    assert set(answers) == {"first", "second"} and answers == sorted(answers)
    until(lambda: alive(old), lambda running: not running)


def test_a_failed_update_keeps_the_old_model_and_says_why(services: Services) -> None:
    create_endpoint(services, "stable")
    create_config(services, "worse", "broken")
    services.sagemaker.update_endpoint(EndpointName="stable", EndpointConfigName="worse")
    with pytest.raises(ClientError, match="Cannot update in-progress endpoint"):
        services.sagemaker.update_endpoint(EndpointName="stable", EndpointConfigName="worse")
    endpoint = settled(services, "stable")
    assert (endpoint["EndpointStatus"], endpoint["EndpointConfigName"]) == ("InService", "stable")
    assert "cannot load the model" in endpoint["FailureReason"]
    assert invoke(services, "stable")["model"] == "first"


def test_a_deleted_endpoint_leaves_no_process_and_no_files(services: Services) -> None:
    create_endpoint(services, "deleted")
    pid = invoke(services, "deleted")["pid"]
    services.sagemaker.delete_endpoint(EndpointName="deleted")
    gone(services, "deleted")
    assert not alive(pid)
    assert not (services.home / "sagemaker/endpoints/deleted").exists()
    statuses = until(
        lambda: [
            e["EndpointStatus"] for e in services.details("SageMaker Endpoint State Change", EndpointName="deleted")
        ],
        lambda found: found[-1:] == ["DELETED"],
    )
    assert statuses == ["CREATING", "IN_SERVICE", "DELETING", "DELETED"]


def test_a_crashed_server_is_started_again_once_and_then_the_endpoint_fails(services: Services) -> None:
    create_endpoint(services, "fragile")
    first = invoke(services, "fragile")["pid"]
    with pytest.raises(ClientError, match="closed the connection"):
        invoke(services, "fragile", "crash")

    def pid() -> int:
        try:
            return invoke(services, "fragile")["pid"]
        except ClientError:
            return first

    until(pid, lambda now: now != first)
    assert services.sagemaker.describe_endpoint(EndpointName="fragile")["EndpointStatus"] == "InService"
    with pytest.raises(ClientError, match="closed the connection"):
        invoke(services, "fragile", "crash")
    endpoint = until(
        lambda: services.sagemaker.describe_endpoint(EndpointName="fragile"), lambda e: e["EndpointStatus"] == "Failed"
    )
    assert "ended with exit code 9" in endpoint["FailureReason"]


def test_serverless_refuses_a_model_with_network_isolation(services: Services) -> None:
    with pytest.raises(ClientError, match="does not support models with network isolation"):
        services.sagemaker.create_endpoint_config(
            EndpointConfigName="serverless",
            ProductionVariants=[
                {
                    "VariantName": "main",
                    "ModelName": "served",
                    "ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 1},
                }
            ],
        )


def test_names_in_use_and_missing_names_are_refused_as_on_aws(services: Services) -> None:
    with pytest.raises(ClientError, match="Cannot create already existing endpoint "):
        services.sagemaker.create_endpoint(EndpointName="served", EndpointConfigName="served")
    with pytest.raises(ClientError, match="Could not find endpoint configuration"):
        services.sagemaker.create_endpoint(EndpointName="new", EndpointConfigName="nobody")
    with pytest.raises(ClientError, match="Could not find endpoint "):
        services.sagemaker.describe_endpoint(EndpointName="nobody")
    assert services.sagemaker.list_endpoints(NameContains="serv")["Endpoints"][0]["EndpointName"] == "served"
    assert {"served", "green"} <= {m["ModelName"] for m in services.sagemaker.list_models(MaxResults=100)["Models"]}


def gone(services: Services, name: str) -> None:
    """Waits until the endpoint is not there any more."""

    def exists() -> bool:
        try:
            services.sagemaker.describe_endpoint(EndpointName=name)
        except ClientError as error:
            assert "Could not find endpoint" in str(error)
            return False
        return True

    until(exists, lambda there: not there)


def test_calls_are_counted_in_cloudwatch_as_aws_counts_them(services: Services) -> None:
    create_endpoint(services, "counted")
    for body in ("x", "y", "bad"):
        try:
            invoke(services, "counted", body)
        except ClientError as error:
            assert error.response["Error"]["Code"] == "ModelError"
    cloudwatch = client("cloudwatch", services.aws)
    dimensions = [{"Name": "EndpointName", "Value": "counted"}, {"Name": "VariantName", "Value": "main"}]

    def figures(name: str) -> list[dict[str, Any]]:
        return cloudwatch.get_metric_statistics(
            Namespace="AWS/SageMaker",
            MetricName=name,
            Dimensions=dimensions,
            StartTime=time.time() - 600,
            EndTime=time.time() + 60,
            Period=3600,
            Statistics=["Sum", "SampleCount", "Minimum"],
        )["Datapoints"]

    until(lambda: sum(point["SampleCount"] for point in figures("OverheadLatency")), lambda calls: calls == 3)
    sums = {
        name: sum(point["Sum"] for point in figures(name))
        for name in ("Invocations", "Invocation4XXErrors", "Invocation5XXErrors", "InvocationModelErrors")
    }
    assert sums == {
        "Invocations": 3,
        "Invocation4XXErrors": 1,
        "Invocation5XXErrors": 0,
        "InvocationModelErrors": 1,
    }
    for name in ("ModelLatency", "OverheadLatency"):
        assert {point["Unit"] for point in figures(name)} == {"Microseconds"}
        assert all(0 < point["Minimum"] < 60e6 for point in figures(name))

"""Asynchronous and serverless endpoints, and their scaling, at the local SageMaker.  `pytest tests/local -k async`"""

import json
import threading
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local.services import BUCKET, ROLE, Services, client, until
from tests.local.test_sagemaker_endpoints import SERVE, archive, gone, settled

SLOW = """
import http.server, os, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.reply()
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(1.0)
        self.reply()
    def reply(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *args):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Handler).serve_forever()
"""


def make(services: Services, name: str, serve: str = SERVE, asynchronous: bool = True, **variant: Any) -> None:
    """An endpoint in service; asynchronous unless it is said otherwise."""
    data = services.put(f"async/{name}/model.tar.gz", archive({"model.txt": "first"}))
    image = services.image(f"image-{name}", serve=serve)
    services.sagemaker.create_model(
        ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer={"Image": image, "ModelDataUrl": data}
    )
    given = variant or {"InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    output = {"S3OutputPath": f"s3://{BUCKET}/{name}/output", "S3FailurePath": f"s3://{BUCKET}/{name}/failures/"}
    limits = {"MaxConcurrentInvocationsPerInstance": 1}
    more = {"AsyncInferenceConfig": {"OutputConfig": output, "ClientConfig": limits}} if asynchronous else {}
    services.sagemaker.create_endpoint_config(
        EndpointConfigName=name, ProductionVariants=[{"VariantName": "main", "ModelName": name, **given}], **more
    )
    services.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    found = settled(services, name)
    assert found["EndpointStatus"] == "InService", found.get("FailureReason")


@pytest.fixture(scope="module")
def queued(services: Services) -> str:
    make(services, "queued")
    return "queued"


def object_at(services: Services, uri: str) -> bytes:
    """What is at an address in S3, once it is there."""

    def read() -> bytes | None:
        try:
            return services.object(uri)
        except ClientError as error:
            assert error.response["Error"]["Code"] == "NoSuchKey"
            return None

    found = until(read, lambda content: content is not None)
    assert found is not None
    return found


def test_an_answer_comes_to_where_the_request_was_told(services: Services, queued: str) -> None:
    answer = services.runtime.invoke_endpoint_async(
        EndpointName=queued,
        InputLocation=services.put("async/in.csv", "1,2"),
        ContentType="text/csv",
        Accept="application/json",
        InferenceId="mine",
    )
    assert (answer["InferenceId"], answer["ResponseMetadata"]["HTTPStatusCode"]) == ("mine", 202)
    assert answer["OutputLocation"].startswith(f"s3://{BUCKET}/queued/output/")
    content = json.loads(object_at(services, answer["OutputLocation"]))
    assert (content["body"], content["accept"]) == ("1,2", "application/json")
    described = services.sagemaker.describe_endpoint(EndpointName=queued)
    assert described["AsyncInferenceConfig"]["ClientConfig"] == {"MaxConcurrentInvocationsPerInstance": 1}


def test_a_body_may_be_given_inline_and_the_answers_name_chosen(services: Services, queued: str) -> None:
    answer = services.runtime.invoke_endpoint_async(
        EndpointName=queued, Body=b"inline", S3OutputPathExtension="2026/11", Filename="answer.json"
    )
    assert answer["OutputLocation"] == f"s3://{BUCKET}/queued/output/2026/11/answer.json"
    assert json.loads(object_at(services, answer["OutputLocation"]))["body"] == "inline"


def test_what_the_container_refuses_is_at_the_place_for_failures(services: Services, queued: str) -> None:
    answer = services.runtime.invoke_endpoint_async(EndpointName=queued, Body=b"bad")
    assert object_at(services, answer["FailureLocation"]) == b"a number was expected"
    missing = services.runtime.invoke_endpoint_async(EndpointName=queued, InputLocation=f"s3://{BUCKET}/none")
    assert b"could not be read" in object_at(services, missing["FailureLocation"])


def test_requests_that_aws_refuses_are_refused(services: Services, queued: str) -> None:
    def refused(words: str, **request: Any) -> None:
        with pytest.raises(ClientError, match=words):
            services.runtime.invoke_endpoint_async(EndpointName=queued, **request)

    refused("exactly one of Body and InputLocation", InputLocation="s3://b/k", Body=b"x")
    refused("exactly one of Body and InputLocation")
    refused("less than or equal to 3600", Body=b"x", InvocationTimeoutSeconds=3601)
    refused("length less than or equal to 128000", Body=b"x" * 128_001)
    refused("regular expression", InputLocation="http://elsewhere/x")
    with pytest.raises(ClientError, match="is asynchronous: call InvokeEndpointAsync"):
        services.runtime.invoke_endpoint(EndpointName=queued, Body=b"x")
    with pytest.raises(ClientError, match="Endpoint nobody of account 000000000000 not found"):
        services.runtime.invoke_endpoint_async(EndpointName="nobody", Body=b"x")


def test_what_waits_in_the_queue_is_answered_by_the_next_platform(services: Services) -> None:
    make(services, "patient", SLOW)
    request = {"EndpointName": "patient", "Body": b"x"}
    locations = [services.runtime.invoke_endpoint_async(**request)["OutputLocation"] for _ in range(3)]
    services.close()
    services.start()
    for location in locations:
        assert object_at(services, location) == b""


def test_a_deleted_endpoint_takes_its_queue_along(services: Services) -> None:
    make(services, "doomed", SLOW)
    for _ in range(5):
        services.runtime.invoke_endpoint_async(EndpointName="doomed", Body=b"x")
    services.sagemaker.delete_endpoint(EndpointName="doomed")
    gone(services, "doomed")
    folder = services.home / "sagemaker/state/async-invocations"
    until(lambda: [f for f in folder.glob("*.json") if '"doomed"' in f.read_text()], lambda left: not left)


def test_a_serverless_endpoint_takes_as_many_calls_as_it_says(services: Services) -> None:
    make(services, "capped", SLOW, False, ServerlessConfig={"MemorySizeInMB": 1024, "MaxConcurrency": 1})
    described = services.sagemaker.describe_endpoint(EndpointName="capped")["ProductionVariants"][0]
    assert described["CurrentServerlessConfig"] == {"MemorySizeInMB": 1024, "MaxConcurrency": 1}
    first = threading.Thread(target=services.runtime.invoke_endpoint, kwargs={"EndpointName": "capped", "Body": b"x"})
    first.start()
    serving, _ = services.sagemaker_service._endpoints.serving("capped")
    assert serving is not None
    until(lambda: serving.busy, lambda busy: busy == 1)
    with pytest.raises(ClientError, match="Rate exceeded") as refused:
        services.runtime.invoke_endpoint(EndpointName="capped", Body=b"x")
    assert refused.value.response["Error"]["Code"] == "ThrottlingException"
    first.join()
    with pytest.raises(ClientError, match="exceeds the limit of 4194304 bytes"):
        services.runtime.invoke_endpoint(EndpointName="capped", Body=b"x" * (4 * 1024**2 + 1))


def test_kinds_do_not_change_into_each_other(services: Services, queued: str) -> None:
    make(services, "plain", asynchronous=False)
    with pytest.raises(ClientError, match="from real-time to asynchronous"):
        services.sagemaker.update_endpoint(EndpointName="plain", EndpointConfigName=queued)
    with pytest.raises(ClientError, match="MemorySizeInMB 1500 is not one of"):
        make(services, "odd", SERVE, False, ServerlessConfig={"MemorySizeInMB": 1500, "MaxConcurrency": 1})


def test_a_variant_is_scaled_between_its_bounds_as_far_as_the_api_says(services: Services) -> None:
    make(services, "scaled", asynchronous=False)
    scaling = client("application-autoscaling", services.url)
    target = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": "endpoint/scaled/variant/main",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }
    metric = {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}
    policy = {
        "PolicyName": "scaled",
        "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": {"TargetValue": 70.0, "PredefinedMetricSpecification": metric},
    }
    with pytest.raises(ClientError, match="No scalable target registered") as absent:
        scaling.put_scaling_policy(**target, **policy)
    assert absent.value.response["Error"]["Code"] == "ObjectNotFoundException"
    scaling.register_scalable_target(**target, MinCapacity=1, MaxCapacity=3)
    assert scaling.put_scaling_policy(**target, **policy)["PolicyARN"]
    (found,) = scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    assert (found["MinCapacity"], found["MaxCapacity"]) == (1, 3)
    (found,) = scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    assert found["TargetTrackingScalingPolicyConfiguration"]["TargetValue"] == 70.0
    with pytest.raises(ClientError, match="no more than MaxCapacity"):
        scaling.register_scalable_target(**target, MinCapacity=4, MaxCapacity=3)
    with pytest.raises(ClientError, match="is not in service"):
        scaling.register_scalable_target(
            **target | {"ResourceId": "endpoint/nobody/variant/main"}, MinCapacity=1, MaxCapacity=2
        )
    scaling.deregister_scalable_target(**target)
    assert scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"] == []

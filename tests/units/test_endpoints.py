"""Endpoints without AWS: the requests we build and the errors we pass on.  `pytest tests/units/test_endpoints.py`"""

import pytest

from lambdas.common.errors import BadRequest, ContainerFailed
from lambdas.common.workflows import reason_of
from lambdas.endpoints import endpoint_request, updates
from lambdas.endpoints.invocation import container_error
from lambdas.endpoints.schemas import Autoscaling, Endpoint, ModelReference, Serverless, Update
from tests.aws_requests import faults

DEPLOYMENT = endpoint_request.Deployment(
    stage="dev",
    role_arn="arn:aws:iam::123456789012:role/SageMakerExecutionRole",
    images={"tabular": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/cdk-container-assets:" + "a" * 64},
    jobs_bucket="jobs",
    vpc={"SecurityGroupIds": ["sg-12345678"], "Subnets": ["subnet-12345678"]},
    kms_key_arn="arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-0000-0000-000000000000",
)
ENDPOINT = Endpoint(
    owner="ada",
    id="ep-01m7x9pxfk4b3pwqvzg",
    name="cancer",
    model=ModelReference(model_id="cancer", version="v1", user_id="ada"),
    model_version_id="mdl-01m7x9pxfk4b3pwqvzg",
    instance_type="ml.m5.large",
    instance_count=1,
    endpoint_name="slipway-production-1-ep-01m7x9pxfk4b3pwqvzg",
    image_family="tabular",
    artefact="s3://models/ada/cancer/v1/model.tar.gz",
)
UPLOADED = ENDPOINT.model_copy(update={"artefact": "s3://models/ada/cancer/v1/"})
SERVERLESS = ENDPOINT.model_copy(
    update={
        "kind": "serverless",
        "network_isolation": False,
        "instance_type": None,
        "instance_count": 0,
        "serverless": Serverless(memory_mb=3072, max_concurrency=7),
    }
)
ASYNC = ENDPOINT.model_copy(update={"kind": "async"})
SCALED = ENDPOINT.model_copy(update={"autoscaling": Autoscaling(max_instances=3, invocations_per_instance=70)})
CHANGES = Update(
    number=3,
    deploys=True,
    model=ModelReference(model_id="cancer", version="v2", user_id="ada"),
    model_version_id="mdl-01m7x9pxfk4b3pwqvz2",
    image_family="tabular",
    artefact="s3://models/ada/cancer/v2/model.tar.gz",
    instance_type="ml.m5.xlarge",
    instance_count=2,
    autoscaling=None,
    accepted_risk=None,
)
UPDATED = updates.updated(ENDPOINT.model_copy(update={"update": CHANGES, "deployments": 3}))


@pytest.mark.parametrize(
    "endpoint",
    [ENDPOINT, UPLOADED, SERVERLESS, ASYNC, UPDATED],
    ids=["realtime", "uploaded", "serverless", "async", "3"],
)
def test_requests_satisfy_the_model_of_aws(endpoint: Endpoint) -> None:
    assert faults("sagemaker", "CreateModel", endpoint_request.create_model(endpoint, DEPLOYMENT)) == []
    config = endpoint_request.create_endpoint_config(endpoint, DEPLOYMENT)
    assert faults("sagemaker", "CreateEndpointConfig", config) == []
    assert faults("sagemaker", "CreateEndpoint", endpoint_request.create_endpoint(endpoint, DEPLOYMENT)) == []
    for scaled in (True, False):
        update = endpoint_request.update_endpoint(endpoint, scaled)
        assert faults("sagemaker", "UpdateEndpoint", update) == []
        assert ("DeploymentConfig" in update) == (endpoint.kind == "realtime")
    assert faults("cloudwatch", "PutMetricAlarm", endpoint_request.put_alarm(endpoint)) == []


def test_scaling_requests_satisfy_the_model_of_aws() -> None:
    scaling = "application-autoscaling"
    assert faults(scaling, "RegisterScalableTarget", endpoint_request.register_scalable_target(SCALED)) == []
    assert faults(scaling, "PutScalingPolicy", endpoint_request.put_scaling_policy(SCALED)) == []
    assert faults(scaling, "DeregisterScalableTarget", endpoint_request.scalable_target(SCALED)) == []


def test_each_deployment_has_names_of_its_own_and_the_variant_keeps_its() -> None:
    assert endpoint_request.deployed_name(ENDPOINT) == ENDPOINT.endpoint_name
    assert endpoint_request.deployed_name(UPDATED) == f"{ENDPOINT.endpoint_name}-3"
    variants = [
        endpoint_request.create_endpoint_config(endpoint, DEPLOYMENT)["ProductionVariants"][0]["VariantName"]
        for endpoint in (ENDPOINT, UPDATED, SERVERLESS, ASYNC)
    ]
    assert set(variants) == {"main"}


def test_an_updates_alarm_counts_the_new_fleet_alone() -> None:
    dimensions = {d["Name"]: d["Value"] for d in endpoint_request.put_alarm(UPDATED)["Dimensions"]}
    assert dimensions["EndpointConfigName"] == f"{ENDPOINT.endpoint_name}-3"
    rollback = endpoint_request.update_endpoint(UPDATED, False)["DeploymentConfig"]["AutoRollbackConfiguration"]
    assert rollback == {"Alarms": [{"AlarmName": f"{ENDPOINT.endpoint_name}-3"}]}


def test_only_a_serverless_endpoint_has_a_network_and_no_key() -> None:
    model = endpoint_request.create_model(SERVERLESS, DEPLOYMENT)
    assert (model["EnableNetworkIsolation"], "VpcConfig" in model) == (False, False)
    assert "KmsKeyId" not in endpoint_request.create_endpoint_config(SERVERLESS, DEPLOYMENT)
    assert endpoint_request.create_model(ASYNC, DEPLOYMENT)["EnableNetworkIsolation"]


def test_an_asynchronous_endpoint_writes_where_the_execution_role_may() -> None:
    output = endpoint_request.create_endpoint_config(ASYNC, DEPLOYMENT)["AsyncInferenceConfig"]["OutputConfig"]
    assert output["S3OutputPath"] == f"s3://jobs/ada/{ENDPOINT.id}/output"
    assert output["S3FailurePath"].startswith(f"{output['S3OutputPath']}/")


def test_an_archive_is_unpacked_and_a_prefix_is_taken_as_it_lies() -> None:
    archive, prefix = (
        endpoint_request.create_model(each, DEPLOYMENT)["PrimaryContainer"] for each in (ENDPOINT, UPLOADED)
    )
    assert archive["ModelDataUrl"] == ENDPOINT.artefact and "ModelDataSource" not in archive
    source = {"S3Uri": UPLOADED.artefact, "S3DataType": "S3Prefix", "CompressionType": "None"}
    assert prefix["ModelDataSource"] == {"S3DataSource": source} and "ModelDataUrl" not in prefix


def test_input_that_the_container_refuses_is_the_callers_error() -> None:
    error = container_error({"OriginalStatusCode": 400, "OriginalMessage": '{"detail": "No column age."}'})
    assert isinstance(error, BadRequest) and error.detail == "The model refused the input: No column age."


@pytest.mark.parametrize("message", ["Traceback", '{"error": 1}', "[1]", ""])
def test_a_container_that_breaks_is_a_502_with_its_words(message: str) -> None:
    error = container_error({"OriginalStatusCode": 500, "OriginalMessage": message})
    assert isinstance(error, ContainerFailed) and message in error.detail


def test_reason_of_a_workflow_is_the_message_of_its_function() -> None:
    assert reason_of({"Cause": '{"errorMessage": "no such image", "errorType": "X"}'}) == "no such image"
    assert reason_of({"Cause": "The primary container failed the health check."}).startswith("The primary container")

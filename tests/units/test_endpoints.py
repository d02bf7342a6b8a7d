"""Endpoints without AWS: the requests we build and the errors we pass on.  `pytest tests/units/test_endpoints.py`"""

import pytest

from lambdas.common.errors import BadRequest, ContainerFailed
from lambdas.endpoints import endpoint_request
from lambdas.endpoints.schemas import Endpoint, ModelReference
from lambdas.endpoints.service import container_error
from lambdas.endpoints.tasks import reason_of
from tests.aws_requests import faults

DEPLOYMENT = endpoint_request.Deployment(
    stage="dev",
    role_arn="arn:aws:iam::123456789012:role/SageMakerExecutionRole",
    images={"tabular": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/cdk-container-assets:" + "a" * 64},
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


@pytest.mark.parametrize(
    ("operation", "request_"),
    [
        ("CreateModel", endpoint_request.create_model(ENDPOINT, DEPLOYMENT)),
        ("CreateModel", endpoint_request.create_model(UPLOADED, DEPLOYMENT)),
        ("CreateEndpointConfig", endpoint_request.create_endpoint_config(ENDPOINT, DEPLOYMENT)),
        ("CreateEndpoint", endpoint_request.create_endpoint(ENDPOINT, DEPLOYMENT)),
    ],
)
def test_requests_satisfy_the_model_of_aws(operation: str, request_: dict[str, object]) -> None:
    assert faults("sagemaker", operation, request_) == []


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

"""An endpoint as the requests that SageMaker takes: pure functions, checked against AWS's own models in tests."""

from dataclasses import dataclass
from typing import Any

from lambdas.common.instances import image_for
from lambdas.endpoints import llm
from lambdas.endpoints.schemas import Endpoint

VARIANT = "main"  # a fixed name: blue/green updates need the new configuration to keep it


@dataclass(frozen=True)
class Deployment:
    """What the stage gives every endpoint: names and addresses that no request may choose."""

    stage: str
    role_arn: str
    images: dict[str, str]
    vpc: dict[str, Any] | None = None
    kms_key_arn: str | None = None
    llm_image: str = ""


def create_model(endpoint: Endpoint, to: Deployment) -> dict[str, Any]:
    """Return the arguments of sagemaker:CreateModel."""
    request: dict[str, Any] = {
        "ModelName": endpoint.endpoint_name,
        "PrimaryContainer": container(endpoint, to),
        "ExecutionRoleArn": to.role_arn,
        "EnableNetworkIsolation": True,
        "Tags": tags(endpoint, to),
    }
    return request | ({"VpcConfig": to.vpc} if to.vpc else {})


def model_data(artefact: str) -> dict[str, Any]:
    """Return where SageMaker finds a model: in one archive, or as it lies under a prefix."""
    if not artefact.endswith("/"):
        return {"ModelDataUrl": artefact}
    return {
        "ModelDataSource": {"S3DataSource": {"S3Uri": artefact, "S3DataType": "S3Prefix", "CompressionType": "None"}}
    }


def container(endpoint: Endpoint, to: Deployment) -> dict[str, Any]:
    """Return what serves the model: the image that trained it, or language models' own."""
    if endpoint.llm:
        return llm.container(to.llm_image, endpoint.artefact, endpoint.llm)
    image = image_for(to.images, endpoint.image_family, endpoint.instance_type)
    return {"Image": image, **model_data(endpoint.artefact)}


def create_endpoint_config(endpoint: Endpoint, to: Deployment) -> dict[str, Any]:
    """Return the arguments of sagemaker:CreateEndpointConfig."""
    variant = {
        "VariantName": VARIANT,
        "ModelName": endpoint.endpoint_name,
        "InstanceType": endpoint.instance_type,
        "InitialInstanceCount": endpoint.instance_count,
        "InitialVariantWeight": 1.0,
        **(llm.on_the_variant(endpoint.llm, endpoint.instance_type) if endpoint.llm else {}),
    }
    encrypted = {"KmsKeyId": to.kms_key_arn} if to.kms_key_arn else {}
    named = {"EndpointConfigName": endpoint.endpoint_name, "ProductionVariants": [variant], "Tags": tags(endpoint, to)}
    return named | encrypted


def create_endpoint(endpoint: Endpoint, to: Deployment) -> dict[str, Any]:
    """Return the arguments of sagemaker:CreateEndpoint."""
    name = endpoint.endpoint_name
    return {"EndpointName": name, "EndpointConfigName": name, "Tags": tags(endpoint, to)}


def tags(endpoint: Endpoint, to: Deployment) -> list[dict[str, str]]:
    """Return the tags by which costs are told apart."""
    named = {"slipway:stage": to.stage, "slipway:owner": endpoint.owner, "slipway:endpoint": endpoint.id}
    return [{"Key": name, "Value": value} for name, value in named.items()]

"""An endpoint as the requests that SageMaker takes: pure functions, checked against AWS's own models in tests.

An endpoint's deployments are numbered, and what SageMaker has of the n-th bears its number: a name is never used again.
"""

from dataclasses import dataclass
from typing import Any

from lambdas.common.instances import image_for
from lambdas.endpoints import llm
from lambdas.endpoints.schemas import Endpoint

VARIANT = "main"  # a fixed name: blue/green updates need the new configuration to keep it
# An alarm's figures come by the minute and a little late; what it has not seen by then it would hardly see later.
BAKING_SECONDS = 300
UPDATE_SECONDS = 3600  # for the new fleet to start, and to bake
ERROR_SHARE = 0.05  # of the new fleet's calls that may answer 5xx


@dataclass(frozen=True)
class Deployment:
    """What the stage gives every endpoint: names and addresses that no request may choose."""

    stage: str
    role_arn: str
    images: dict[str, str]
    jobs_bucket: str
    vpc: dict[str, Any] | None = None
    kms_key_arn: str | None = None
    llm_image: str = ""


def deployed_name(endpoint: Endpoint) -> str:
    """Return the name of the model, configuration and alarm of an endpoint's deployment."""
    number = endpoint.deployment
    return endpoint.endpoint_name if number == 1 else f"{endpoint.endpoint_name}-{number}"


def log_group(endpoint: Endpoint) -> str:
    """Return the group that SageMaker writes an endpoint's, or its component's, lines to."""
    return f"/aws/sagemaker/{'InferenceComponents' if endpoint.host else 'Endpoints'}/{endpoint.endpoint_name}"


def inferences_prefix(endpoint: Endpoint) -> str:
    """Return where inputs and answers of an asynchronous endpoint are in the jobs' bucket."""
    return f"{endpoint.owner}/{endpoint.id}/"


def create_model(endpoint: Endpoint, to: Deployment) -> dict[str, Any]:
    """Return the arguments of sagemaker:CreateModel."""
    isolated = endpoint.network_isolation and endpoint.host is None  # a component's is its host's
    request: dict[str, Any] = {
        "ModelName": deployed_name(endpoint),
        "PrimaryContainer": container(endpoint, to),
        "ExecutionRoleArn": to.role_arn,
        "EnableNetworkIsolation": isolated,
        "Tags": tags(endpoint, to),
    }
    return request | ({"VpcConfig": to.vpc} if to.vpc and isolated else {})


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
        return llm.container(to.llm_image, model_data(endpoint.artefact), endpoint.llm)
    image = image_for(to.images, endpoint.image_family, endpoint.instance_type or "")
    return {"Image": image, **model_data(endpoint.artefact)}


def create_endpoint_config(endpoint: Endpoint, to: Deployment) -> dict[str, Any]:
    """Return the arguments of sagemaker:CreateEndpointConfig."""
    name = deployed_name(endpoint)
    variant: dict[str, Any] = {"VariantName": VARIANT, "ModelName": name, "InitialVariantWeight": 1.0}
    request = {"EndpointConfigName": name, "ProductionVariants": [variant], "Tags": tags(endpoint, to)}
    if endpoint.serverless:
        size = endpoint.serverless
        variant["ServerlessConfig"] = {"MemorySizeInMB": size.memory_mb, "MaxConcurrency": size.max_concurrency}
        return request  # a volume of its own, which the key would be for, it has none
    variant |= {"InstanceType": endpoint.instance_type, "InitialInstanceCount": endpoint.instance_count}
    if endpoint.llm and endpoint.instance_type:
        variant |= llm.on_the_variant(endpoint.llm, endpoint.instance_type)
    if endpoint.kind == "async":
        output = f"s3://{to.jobs_bucket}/{inferences_prefix(endpoint)}output"
        request["AsyncInferenceConfig"] = {
            "OutputConfig": {"S3OutputPath": output, "S3FailurePath": f"{output}/failures"}
        }
    return request | ({"KmsKeyId": to.kms_key_arn} if to.kms_key_arn else {})


def create_endpoint(endpoint: Endpoint, to: Deployment) -> dict[str, Any]:
    """Return the arguments of sagemaker:CreateEndpoint."""
    named = {"EndpointName": endpoint.endpoint_name, "EndpointConfigName": deployed_name(endpoint)}
    return named | {"Tags": tags(endpoint, to)}


def update_endpoint(endpoint: Endpoint, scaled: bool) -> dict[str, Any]:
    """Return the arguments of sagemaker:UpdateEndpoint to an endpoint as it will be.

    `scaled` says that its number of instances is autoscaling's, and stays. Guardrails only where AWS has them for
    calls that are answered at once.
    """
    name = deployed_name(endpoint)
    request: dict[str, Any] = {"EndpointName": endpoint.endpoint_name, "EndpointConfigName": name}
    if scaled:
        request["RetainAllVariantProperties"] = True
    if not guarded(endpoint):
        return request
    routing = {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": BAKING_SECONDS}
    policy = {"TrafficRoutingConfiguration": routing, "MaximumExecutionTimeoutInSeconds": UPDATE_SECONDS}
    rollback = {"Alarms": [{"AlarmName": name}]}
    return request | {
        "DeploymentConfig": {"BlueGreenUpdatePolicy": policy, "AutoRollbackConfiguration": rollback},
    }


def guarded(endpoint: Endpoint) -> bool:
    """Return whether an update bakes behind an alarm."""
    return endpoint.kind in {"realtime", "inference_component_based"}


def put_alarm(endpoint: Endpoint) -> dict[str, Any]:
    """Return the arguments of cloudwatch:PutMetricAlarm: 5xx answers of the new fleet alone.

    The old fleet's must not count: an update is also how a version that fails is replaced.
    """
    dimensions = {
        "EndpointName": endpoint.endpoint_name,
        "VariantName": VARIANT,
        "EndpointConfigName": deployed_name(endpoint),
    }
    return {
        "AlarmName": deployed_name(endpoint),
        "AlarmDescription": f"Rolls back the update of the endpoint {endpoint.id}; goes with it.",
        "Namespace": "AWS/SageMaker",
        "MetricName": "Invocation5XXErrors",
        "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions.items()],
        "Statistic": "Average",
        "Period": 60,
        "EvaluationPeriods": 1,
        "Threshold": ERROR_SHARE,
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "notBreaching",
    }


def scalable_target(endpoint: Endpoint) -> dict[str, Any]:
    """Return what names an endpoint's variant to Application Auto Scaling."""
    return {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{endpoint.endpoint_name}/variant/{VARIANT}",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }


def register_scalable_target(endpoint: Endpoint) -> dict[str, Any]:
    """Return the arguments of application-autoscaling:RegisterScalableTarget."""
    assert endpoint.autoscaling
    bounds = {
        "MinCapacity": endpoint.autoscaling.min_instances,
        "MaxCapacity": endpoint.autoscaling.max_instances,
    }
    return scalable_target(endpoint) | bounds


def put_scaling_policy(endpoint: Endpoint) -> dict[str, Any]:
    """Return the arguments of application-autoscaling:PutScalingPolicy."""
    assert endpoint.autoscaling
    metric = {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}
    return scalable_target(endpoint) | {
        "PolicyName": endpoint.endpoint_name,
        "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": {
            "TargetValue": endpoint.autoscaling.invocations_per_instance,
            "PredefinedMetricSpecification": metric,
        },
    }


def tags(endpoint: Endpoint, to: Deployment) -> list[dict[str, str]]:
    """Return the tags by which costs are told apart."""
    named = {"slipway:stage": to.stage, "slipway:owner": endpoint.owner, "slipway:endpoint": endpoint.id}
    return [{"Key": name, "Value": value} for name, value in named.items()]

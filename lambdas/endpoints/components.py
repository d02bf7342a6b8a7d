"""Models that share an endpoint's instances, as the requests that SageMaker takes for its inference components.

Pure functions, checked against AWS's own models in tests. A component bears the name of its endpoint here, whatever
version it serves; SageMaker's endpoint that it is placed on, its host, bears the name of the one that was there first.
"""

from typing import Any

from lambdas.common.instances import has_gpu
from lambdas.endpoints import endpoint_request, llm
from lambdas.endpoints.endpoint_request import VARIANT, Deployment
from lambdas.endpoints.schemas import Endpoint

KIND = "inference_component_based"
CONCURRENCY = "SageMakerInferenceComponentConcurrentRequestsPerCopyHighResolution"
COOLDOWN = 60  # seconds between two copies more


def name(endpoint: Endpoint) -> str:
    """Return the name of an endpoint's component."""
    return endpoint.endpoint_name


def create_host_config(endpoint: Endpoint, to: Deployment) -> dict[str, Any]:
    """Return the arguments of sagemaker:CreateEndpointConfig for the instances that components are placed on.

    Their network isolation is the configuration's, not the models'. SageMaker adds instances as copies need them.
    """
    assert endpoint.copies and endpoint.llm and endpoint.instance_type
    variant: dict[str, Any] = {
        "VariantName": VARIANT,
        "InstanceType": endpoint.instance_type,
        "InitialInstanceCount": 1,
        "ManagedInstanceScaling": {
            "Status": "ENABLED",
            "MinInstanceCount": min(endpoint.copies.min_copies, 1),
            "MaxInstanceCount": endpoint.copies.max_instances or endpoint.copies.max_copies,
        },
        "RoutingConfig": {"RoutingStrategy": "LEAST_OUTSTANDING_REQUESTS"},
    }
    request: dict[str, Any] = {
        "EndpointConfigName": endpoint.sagemaker_endpoint,
        "ProductionVariants": [variant | llm.driver(endpoint.llm, endpoint.instance_type)],
        "ExecutionRoleArn": to.role_arn,
        "EnableNetworkIsolation": endpoint.network_isolation,
        "Tags": endpoint_request.tags(endpoint, to),
    }
    request |= {"VpcConfig": to.vpc} if to.vpc and endpoint.network_isolation else {}
    return request | ({"KmsKeyId": to.kms_key_arn} if to.kms_key_arn else {})


def create_host(endpoint: Endpoint, to: Deployment) -> dict[str, Any]:
    """Return the arguments of sagemaker:CreateEndpoint for them."""
    host = endpoint.sagemaker_endpoint
    return {"EndpointName": host, "EndpointConfigName": host, "Tags": endpoint_request.tags(endpoint, to)}


def create_component(endpoint: Endpoint, to: Deployment) -> dict[str, Any]:
    """Return the arguments of sagemaker:CreateInferenceComponent. SageMaker begins none without a copy."""
    assert endpoint.copies
    return {
        "InferenceComponentName": name(endpoint),
        "EndpointName": endpoint.sagemaker_endpoint,
        "VariantName": VARIANT,
        "Specification": specification(endpoint),
        "RuntimeConfig": {"CopyCount": max(endpoint.copies.min_copies, 1)},
        "Tags": endpoint_request.tags(endpoint, to),
    }


def specification(endpoint: Endpoint) -> dict[str, Any]:
    """Return which model a component serves, and what each copy of it needs of an instance."""
    assert endpoint.copies and endpoint.llm
    if has_gpu(endpoint.instance_type or ""):
        needs = {"NumberOfAcceleratorDevicesRequired": endpoint.llm.tensor_parallel_size}
    else:
        needs = {"NumberOfCpuCoresRequired": 1}
    return {
        "ModelName": endpoint_request.deployed_name(endpoint),
        "StartupParameters": llm.startup(endpoint.llm),
        "ComputeResourceRequirements": {**needs, "MinMemoryRequiredInMb": endpoint.copies.min_memory_mb},
    }


def update_component(endpoint: Endpoint) -> dict[str, Any]:
    """Return the arguments of sagemaker:UpdateInferenceComponent to an endpoint as it will be.

    A copy at a time: each new one bakes behind an alarm before the next old one goes.
    """
    one = {"Type": "COPY_COUNT", "Value": 1}
    rolling = {
        "MaximumBatchSize": one,
        "WaitIntervalInSeconds": endpoint_request.BAKING_SECONDS,
        "MaximumExecutionTimeoutInSeconds": endpoint_request.UPDATE_SECONDS,
    }
    alarm = {"AlarmName": endpoint_request.deployed_name(endpoint)}
    return {
        "InferenceComponentName": name(endpoint),
        "Specification": specification(endpoint),
        "DeploymentConfig": {
            "RollingUpdatePolicy": rolling,
            "AutoRollbackConfiguration": {"Alarms": [alarm]},
        },
    }


def put_update_alarm(endpoint: Endpoint) -> dict[str, Any]:
    """Return the arguments of cloudwatch:PutMetricAlarm for an update: 5xx answers of the component.

    SageMaker does not count the new copies' apart from the old ones'.
    """
    return endpoint_request.put_alarm(endpoint) | {"Dimensions": dimensions(endpoint)}


def dimensions(endpoint: Endpoint) -> list[dict[str, str]]:
    """Return what names a component to CloudWatch."""
    return [{"Name": "InferenceComponentName", "Value": name(endpoint)}]


# ------------------------------------------------------------------------------------------------ number of copies


def scalable_target(endpoint: Endpoint) -> dict[str, Any]:
    """Return what names a component's copies to Application Auto Scaling."""
    return {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"inference-component/{name(endpoint)}",
        "ScalableDimension": "sagemaker:inference-component:DesiredCopyCount",
    }


def register_scalable_target(endpoint: Endpoint) -> dict[str, Any]:
    """Return the arguments of application-autoscaling:RegisterScalableTarget."""
    assert endpoint.copies
    bounds = {"MinCapacity": endpoint.copies.min_copies, "MaxCapacity": endpoint.copies.max_copies}
    return scalable_target(endpoint) | bounds


def follow_calls(endpoint: Endpoint) -> dict[str, Any]:
    """Return the arguments of application-autoscaling:PutScalingPolicy that keeps to the calls of each copy."""
    assert endpoint.copies
    return scalable_target(endpoint) | {
        "PolicyName": name(endpoint),
        "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": {
            "TargetValue": endpoint.copies.requests_per_copy,
            "PredefinedMetricSpecification": {"PredefinedMetricType": CONCURRENCY},
        },
    }


def leave_zero(endpoint: Endpoint) -> dict[str, Any]:
    """Return the arguments of application-autoscaling:PutScalingPolicy that brings the first copy.

    Calls of each of no copies are no number: what follows them cannot.
    """
    return scalable_target(endpoint) | {
        "PolicyName": f"{name(endpoint)}-from-zero",
        "PolicyType": "StepScaling",
        "StepScalingPolicyConfiguration": {
            "AdjustmentType": "ChangeInCapacity",
            "MetricAggregationType": "Maximum",
            "Cooldown": COOLDOWN,
            "StepAdjustments": [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}],
        },
    }


def zero_alarm_name(endpoint: Endpoint) -> str:
    """Return the name of the alarm that a call without a copy to answer it sets off."""
    return f"{name(endpoint)}-from-zero"


def put_zero_alarm(endpoint: Endpoint, policy_arn: str) -> dict[str, Any]:
    """Return the arguments of cloudwatch:PutMetricAlarm that sets `leave_zero` going."""
    return {
        "AlarmName": zero_alarm_name(endpoint),
        "AlarmDescription": f"Brings the first copy of {endpoint.id} when somebody calls it; goes with it.",
        "AlarmActions": [policy_arn],
        "Namespace": "AWS/SageMaker",
        "MetricName": "NoCapacityInvocationFailures",
        "Dimensions": dimensions(endpoint),
        "Statistic": "Sum",
        "Period": 60,
        "EvaluationPeriods": 1,
        "DatapointsToAlarm": 1,
        "Threshold": 1,
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "TreatMissingData": "notBreaching",
    }

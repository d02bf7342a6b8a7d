"""Application Auto Scaling for endpoint variants: targets and policies are kept and validated; nothing is scaled here.

One machine has one process per endpoint, whatever its instance count says.
"""

import re
import time
from collections.abc import Callable

from local.cloud import Cloud
from local.sagemaker.endpoints import Endpoints
from local.sagemaker.protocol import ServiceError, not_implemented, problems, project, service_model
from local.sagemaker.store import Record, Store

SCALING_TARGET = "AnyScaleFrontendService."
NAMESPACE, DIMENSION = "sagemaker", "sagemaker:variant:DesiredInstanceCount"
RESOURCE = re.compile(r"endpoint/([^/]+)/variant/([^/]+)")
METRIC = "SageMakerVariantInvocationsPerInstance"


class Scaling:
    """Scalable targets by endpoint and variant; a target's record holds its policies."""

    def __init__(self, cloud: Cloud, endpoints: Endpoints) -> None:
        self._cloud, self._endpoints = cloud, endpoints
        self._model = service_model("application-autoscaling")
        self._store = Store(cloud.home / "state/scalable-targets")
        self._operations: dict[str, Callable[[Record], Record]] = {
            "RegisterScalableTarget": self.register,
            "DeregisterScalableTarget": self.deregister,
            "DescribeScalableTargets": self.describe_targets,
            "PutScalingPolicy": self.put_policy,
            "DeleteScalingPolicy": self.delete_policy,
            "DescribeScalingPolicies": self.describe_policies,
        }

    def call(self, operation: str, request: Record) -> Record:
        """One API operation, validated like any client's. Raises ServiceError."""
        implementation = self._operations.get(operation)
        if implementation is None:
            raise not_implemented(f"Application Auto Scaling's operation {operation}")
        model = self._model.operation_model(operation)
        if found := problems(model.input_shape, request):
            raise invalid(" ".join(found))
        if request["ServiceNamespace"] != NAMESPACE:
            raise not_implemented(f"Application Auto Scaling of {request['ServiceNamespace']}")
        if request.get("ScalableDimension", DIMENSION) != DIMENSION:
            raise not_implemented(f"Scaling of {request['ScalableDimension']}")
        return project(model.output_shape, implementation(request)) or {}

    def register(self, request: Record) -> Record:
        name, variant = self._variant(request["ResourceId"])
        known = self._store.get(key(name, variant))
        if known is None and not {"MinCapacity", "MaxCapacity"} <= request.keys():
            raise invalid("MinCapacity and MaxCapacity are required for a new scalable target.")
        target = (known or {"CreationTime": time.time(), "policies": {}}) | request
        if not 0 < target["MinCapacity"] <= target["MaxCapacity"]:
            raise invalid("MinCapacity must be at least 1 for a variant, and no more than MaxCapacity.")
        target["ScalableTargetARN"] = f"{self._arn('scalable-target')}/{name}-{variant}"
        target["RoleARN"] = f"arn:aws:iam::{self._cloud.account}:role/AWSServiceRoleForApplicationAutoScaling"
        self._store.put(key(name, variant), target)
        return target

    def deregister(self, request: Record) -> Record:
        self._store.delete(self._found(request))
        return {}

    def describe_targets(self, request: Record) -> Record:
        wanted = request.get("ResourceIds")
        return {"ScalableTargets": [t for t in self._store if wanted is None or t["ResourceId"] in wanted]}

    def put_policy(self, request: Record) -> Record:
        found = self._found(request)
        target = self._store.get(found)
        tracking = request.get("TargetTrackingScalingPolicyConfiguration")
        if target is None or request.get("PolicyType") != "TargetTrackingScaling" or tracking is None:
            raise not_implemented("Any scaling policy but target tracking")
        metric = tracking.get("PredefinedMetricSpecification", {}).get("PredefinedMetricType")
        if metric != METRIC:
            raise not_implemented(f"Target tracking of {metric}")
        arn = f"{self._arn('scaling-policy')}:resource/{NAMESPACE}/{request['ResourceId']}:{request['PolicyName']}"
        policy = {**request, "PolicyARN": arn, "Alarms": [], "CreationTime": time.time()}
        target["policies"][request["PolicyName"]] = policy
        self._store.put(found, target)
        return policy

    def delete_policy(self, request: Record) -> Record:
        found = self._found(request)
        target = self._store.get(found)
        if target is None or target["policies"].pop(request["PolicyName"], None) is None:
            raise absent(f"No scaling policy found for {request['PolicyName']}.")
        self._store.put(found, target)
        return {}

    def describe_policies(self, request: Record) -> Record:
        policies = [policy for target in self._store for policy in target["policies"].values()]
        names, resource = request.get("PolicyNames"), request.get("ResourceId")
        return {
            "ScalingPolicies": [
                policy
                for policy in policies
                if resource in (None, policy["ResourceId"]) and (names is None or policy["PolicyName"] in names)
            ]
        }

    def _variant(self, resource: str) -> tuple[str, str]:
        """(endpoint, variant) of a resource id. Raises ValidationException unless it is in service."""
        match = RESOURCE.fullmatch(resource)
        if match is None:
            raise invalid(f"Unsupported resource type or invalid ResourceId {resource}.")
        name, variant = match.groups()
        _, endpoint = self._endpoints.serving(name)
        variants = [found["VariantName"] for found in (endpoint or {}).get("ProductionVariants", [])]
        if endpoint is None or variant not in variants or endpoint["EndpointStatus"] != "InService":
            raise invalid(f"SageMaker endpoint {resource} is not in service.")
        return name, variant

    def _found(self, request: Record) -> str:
        match = RESOURCE.fullmatch(request["ResourceId"])
        if match is None or key(*match.groups()) not in self._store:
            raise absent(f"No scalable target registered for {request['ResourceId']}.")
        return key(*match.groups())

    def _arn(self, kind: str) -> str:
        return f"arn:aws:application-autoscaling:{self._cloud.region}:{self._cloud.account}:{kind}"


def key(endpoint: str, variant: str) -> str:
    """The name of a target's file; a variant's name has no dot."""
    return f"{endpoint}.{variant}"


def invalid(message: str) -> ServiceError:
    return ServiceError("ValidationException", message)


def absent(message: str) -> ServiceError:
    return ServiceError("ObjectNotFoundException", message)

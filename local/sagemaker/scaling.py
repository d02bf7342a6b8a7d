"""Application Auto Scaling for endpoint variants and inference components: targets and policies, kept and validated.

One machine has one process per model, whatever number of instances or copies is wanted, so all that is scaled here is
a component to none of its copies and back.
"""

import asyncio
import re
import time
from collections.abc import Callable

from local.cloud import Cloud
from local.sagemaker.components import Components
from local.sagemaker.endpoints import Endpoints
from local.sagemaker.protocol import ServiceError, not_implemented, problems, project, service_model
from local.sagemaker.store import Record, Store

SCALING_TARGET = "AnyScaleFrontendService."
NAMESPACE = "sagemaker"
RESOURCES = {
    "sagemaker:variant:DesiredInstanceCount": re.compile(r"endpoint/([^/]+)/variant/([^/]+)"),
    "sagemaker:inference-component:DesiredCopyCount": re.compile(r"(inference-component)/([^/]+)"),
}
METRICS = {
    "sagemaker:variant:DesiredInstanceCount": {"SageMakerVariantInvocationsPerInstance"},
    "sagemaker:inference-component:DesiredCopyCount": {
        "SageMakerInferenceComponentInvocationsPerCopy",
        "SageMakerInferenceComponentConcurrentRequestsPerCopyHighResolution",
    },
}
IDLE = 900.0  # seconds without a call after which AWS's own alarm takes a component's copies away
LOOK_INTERVAL = 1.0  # seconds between two looks for idle components, at most


class Scaling:
    """Scalable targets by endpoint and variant, or component; a target's record holds its policies."""

    def __init__(self, cloud: Cloud, endpoints: Endpoints, components: Components, idle: float) -> None:
        self._cloud, self._endpoints, self.components, self._idle = cloud, endpoints, components, idle
        self._task: asyncio.Task[None] | None = None
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
        if request.get("ScalableDimension", next(iter(RESOURCES))) not in RESOURCES:
            raise not_implemented(f"Scaling of {request['ScalableDimension']}")
        return project(model.output_shape, implementation(request)) or {}

    def register(self, request: Record) -> Record:
        found = self._scalable(request)
        known = self._store.get(found)
        if known is None and not {"MinCapacity", "MaxCapacity"} <= request.keys():
            raise invalid("MinCapacity and MaxCapacity are required for a new scalable target.")
        target = (known or {"CreationTime": time.time(), "policies": {}}) | request
        if not int(not of_component(request)) <= target["MinCapacity"] <= target["MaxCapacity"]:
            raise invalid("MinCapacity must be at least 1 for a variant, and no more than MaxCapacity.")
        target["ScalableTargetARN"] = f"{self._arn('scalable-target')}/{found}"
        target["RoleARN"] = f"arn:aws:iam::{self._cloud.account}:role/AWSServiceRoleForApplicationAutoScaling"
        self._store.put(found, target)
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
        if target is None:
            raise absent(f"No scalable target registered for {request['ResourceId']}.")
        check_policy(request)
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

    async def start(self) -> None:
        """Begins to look for components that nobody calls."""
        self._task = asyncio.create_task(self._look())

    async def shutdown(self) -> None:
        """Ends that."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def leave_zero(self, component: str) -> None:
        """Brings a component that was called without a copy its first one, if it has a policy that does so."""
        target = self._store.get(key("inference-component", component))
        if target and any(policy["PolicyType"] == "StepScaling" for policy in target["policies"].values()):
            self.components.scale(component, max(1, target["MinCapacity"]))

    async def _look(self) -> None:
        """Takes away the copies of components that nobody has called for long, down to what their targets allow."""
        while True:
            await asyncio.sleep(min(self._idle, LOOK_INTERVAL))
            for target in self._store:
                if not of_component(target) or not target["policies"]:
                    continue
                component = target["ResourceId"].partition("/")[2]
                used = self.components.idle_since(component)
                if used is not None and time.monotonic() - used >= self._idle:
                    self.components.scale(component, target["MinCapacity"])

    def _scalable(self, request: Record) -> str:
        """The key of what is to scale. Raises ValidationException unless it is in service."""
        found = self._key(request)
        if found is None:
            raise invalid(f"Unsupported resource type or invalid ResourceId {request['ResourceId']}.")
        if of_component(request):
            name = request["ResourceId"].partition("/")[2]
            record = self.components.store.get(name)
            if record is None or record["description"]["InferenceComponentStatus"] != "InService":
                raise invalid(f"SageMaker inference component {name} is not in service.")
            return found
        self._check_variant(request["ResourceId"])
        return found

    def _check_variant(self, resource: str) -> None:
        _, name, _, variant = resource.split("/")
        _, endpoint = self._endpoints.serving(name)
        variants = [found["VariantName"] for found in (endpoint or {}).get("ProductionVariants", [])]
        if endpoint is None or variant not in variants or endpoint["EndpointStatus"] != "InService":
            raise invalid(f"SageMaker endpoint {resource} is not in service.")

    def _found(self, request: Record) -> str:
        found = self._key(request)
        if found is None or found not in self._store:
            raise absent(f"No scalable target registered for {request['ResourceId']}.")
        return found

    def _key(self, request: Record) -> str | None:
        match = RESOURCES[request["ScalableDimension"]].fullmatch(request["ResourceId"])
        return key(*match.groups()) if match else None

    def _arn(self, kind: str) -> str:
        return f"arn:aws:application-autoscaling:{self._cloud.region}:{self._cloud.account}:{kind}"


def check_policy(request: Record) -> None:
    """Raises ServiceError for a policy that is not known here."""
    if of_component(request) and "StepScalingPolicyConfiguration" in request:
        return
    tracking = request.get("TargetTrackingScalingPolicyConfiguration")
    if request.get("PolicyType") != "TargetTrackingScaling" or tracking is None:
        raise not_implemented("Any scaling policy but target tracking, and step scaling of inference components")
    metric = tracking.get("PredefinedMetricSpecification", {}).get("PredefinedMetricType")
    if metric not in METRICS[request["ScalableDimension"]]:
        raise not_implemented(f"Target tracking of {metric}")


def of_component(request: Record) -> bool:
    return request["ScalableDimension"] == "sagemaker:inference-component:DesiredCopyCount"


def key(endpoint: str, variant: str) -> str:
    """The name of a target's file, as no name has a dot: an endpoint's and variant's, or a component's."""
    return f"{endpoint}.{variant}"


def invalid(message: str) -> ServiceError:
    return ServiceError("ValidationException", message)


def absent(message: str) -> ServiceError:
    return ServiceError("ObjectNotFoundException", message)

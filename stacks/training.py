"""Where training happens: Batch's queues in front of SageMaker, the role and the images of its containers."""

from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_batch as batch
from aws_cdk import aws_ecr_assets as ecr_assets
from constructs import Construct

from cdk_app.settings import Settings
from stacks.execution_role import execution_role

CONTAINERS = Path(__file__).resolve().parent.parent / "training_containers"
FAMILIES = ["tabular", "huggingface"]
# What PyTorch's images build on; the Dockerfile names the one for CPUs, so that a stage without GPUs builds no other.
GPU_BASES = {"huggingface": "public.ecr.aws/deep-learning-containers/pytorch:2.13-cu133-amzn2023-sagemaker"}
SHARE_DECAY_SECONDS = 6 * 3600  # what somebody used this long ago counts half against them
# A job at the head of a queue that cannot start blocks everybody behind it; a day of waiting is enough.
STUCK = {
    "MISCONFIGURATION:SERVICE_ENVIRONMENT_MAX_RESOURCE": 600,
    "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY": 86_400,
}


class Training(Construct):
    """`queues`: instance type -> queue ARN; `images`: family -> image URI; `role`: what containers run as."""

    def __init__(self, scope: Construct, id: str, *, settings: Settings, buckets: dict[str, str]) -> None:
        super().__init__(scope, id)
        self.images = {family: image(self, family).image_uri for family in FAMILIES}
        if settings.has_gpus:
            for family, base in GPU_BASES.items():
                self.images[f"{family}-gpu"] = image(self, family, base).image_uri
        self.role = execution_role(self, settings=settings, buckets=buckets)
        # Fair share: users take turns; priorities order one user's own jobs.
        policy = batch.CfnSchedulingPolicy(
            self,
            "FairShare",
            fairshare_policy=batch.CfnSchedulingPolicy.FairsharePolicyProperty(share_decay_seconds=SHARE_DECAY_SECONDS),
        )
        # An environment counts instances of all types together, so each type has its own, and a queue in front of it.
        self.queues = {
            instance_type: queue(self, instance_type, instances, policy.attr_arn)
            for instance_type, instances in settings.training_instance_types.items()
        }

    def resources(self) -> dict[str, list[str]]:
        """Return the ARNs by the names that the grants use."""
        stack = cdk.Stack.of(self)
        jobs = [
            stack.format_arn(service="sagemaker", resource="training-job", resource_name=f"{prefix}*")
            for prefix in ("AWSBatch", "awsbatch")  # SageMaker writes names in lower case in most of its ARNs
        ]
        streams = stack.format_arn(
            service="logs",
            resource="log-group",
            resource_name="/aws/sagemaker/TrainingJobs:*",
            arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
        )
        return {
            "queues": list(self.queues.values()),
            "service-jobs": [stack.format_arn(service="batch", resource="service-job", resource_name="*")],
            "training-jobs": jobs,
            "training-logs": [streams],
            "execution-role": [self.role.role_arn],
        }

    def variables(self, settings: Settings) -> dict[str, str]:
        """Return the functions' variables that say how to train and serve."""
        stack, vpc = cdk.Stack.of(self), settings.vpc
        network = {"Subnets": vpc.subnet_ids, "SecurityGroupIds": vpc.security_group_ids} if vpc else None
        return {
            "QUEUES": stack.to_json_string(self.queues),
            "INSTANCE_TYPES": stack.to_json_string(settings.training_instance_types),
            "IMAGES": stack.to_json_string(self.images),
            "EXECUTION_ROLE_ARN": self.role.role_arn,
            "VPC_CONFIG": stack.to_json_string(network) if network else "",
        }


def queue(scope: Construct, instance_type: str, instances: int, scheduling_policy_arn: str) -> str:
    """Make the queue of an instance type, `instances` of which run at once; return its ARN."""
    name = "".join(part.capitalize() for part in instance_type.removeprefix("ml.").replace("-", ".").split("."))
    environment = batch.CfnServiceEnvironment(
        scope,
        f"{name}Environment",
        service_environment_type="SAGEMAKER_TRAINING",
        capacity_limits=[
            batch.CfnServiceEnvironment.CapacityLimitProperty(capacity_unit="NUM_INSTANCES", max_capacity=instances)
        ],
    )
    made = batch.CfnJobQueue(
        scope,
        f"{name}Queue",
        job_queue_type="SAGEMAKER_TRAINING",
        priority=1,
        scheduling_policy_arn=scheduling_policy_arn,
        service_environment_order=[
            batch.CfnJobQueue.ServiceEnvironmentOrderProperty(
                order=1, service_environment=environment.attr_service_environment_arn
            )
        ],
        job_state_time_limit_actions=[
            batch.CfnJobQueue.JobStateTimeLimitActionProperty(
                action="TERMINATE", state="RUNNABLE", reason=reason, max_time_seconds=seconds
            )
            for reason, seconds in STUCK.items()
        ],
    )
    return made.attr_job_queue_arn


def image(scope: Construct, family: str, base: str | None = None) -> ecr_assets.DockerImageAsset:
    """Return the image of a family, on another base than its Dockerfile's if one is given.

    It is built when it is published, not when the stack is synthesised.
    """
    return ecr_assets.DockerImageAsset(
        scope,
        f"{family.capitalize()}{'Gpu' if base else ''}Image",
        directory=str(CONTAINERS),
        file=f"{family}/Dockerfile",
        build_args={"BASE": base} if base else None,
        platform=ecr_assets.Platform.LINUX_AMD64,  # what SageMaker runs, whatever this machine is
        exclude=[
            "*",
            "!__init__.py",
            "!common",
            f"!{family}",
            "**/__pycache__",
            "**/*.md",
            "**/requirements.in",
            "**/tests",
        ],
        ignore_mode=cdk.IgnoreMode.DOCKER,
    )

"""What SageMaker may do for our containers: move their data, write their logs, pull their images.

The containers themselves run isolated, without network and without these credentials.
"""

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from constructs import Construct

from cdk_app.constructs.acknowledge import acknowledge_wildcards
from cdk_app.constructs.role import Role
from cdk_app.settings import Settings
from stacks.functions import bucket_arn
from stacks.serving import VLLM, vllm_registry

ASSETS = "cdk-hnb659fds-container-assets"  # the bootstrap's image repository


def execution_role(scope: Construct, *, settings: Settings, buckets: dict[str, str]) -> Role:
    """Return the role of training jobs and endpoints; `buckets` maps datasets, models and jobs to bucket names."""
    ours = f"slipway-{settings.stage}-*"
    groups = ("TrainingJobs", f"Endpoints/{ours}", f"InferenceComponents/{ours}")
    alarms = cdk.Stack.of(scope).format_arn(
        service="cloudwatch",
        resource="alarm",
        resource_name=f"slipway-{settings.stage}-ep-*",
        arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
    )
    given = [*files(scope, settings, buckets), *for_any_container(scope, settings, *groups), vllm(scope)]
    given.append(allow("cloudwatch:DescribeAlarms", alarms))  # whether an update must be rolled back
    reason = "SageMaker moves every job's files, logs and figures; the names below the prefix are made at run time."
    return sagemaker_role(scope, "ExecutionRole", given, reason)


def vllm(scope: Construct) -> iam.PolicyStatement:
    """Return which image of AWS's own may be pulled besides ours: language models' server."""
    stack = cdk.Stack.of(scope)
    repository = stack.format_arn(
        service="ecr", resource="repository", resource_name=VLLM["repository"], account=vllm_registry(stack)
    )
    return allow("ecr:BatchCheckLayerAvailability ecr:BatchGetImage ecr:GetDownloadUrlForLayer", repository)


def sagemaker_role(scope: Construct, id: str, given: list[iam.PolicyStatement], reason: str) -> Role:
    """Return a role that SageMaker takes for this account only; `reason` says why resources have wildcards."""
    role = Role(
        scope,
        id,
        service="sagemaker.amazonaws.com",
        statements=given,
        conditions={"StringEquals": {"aws:SourceAccount": cdk.Stack.of(scope).account}},
    )
    acknowledge_wildcards(role, {arn: reason for statement in given for arn in statement.resources})
    return role


def files(scope: Construct, settings: Settings, buckets: dict[str, str]) -> list[iam.PolicyStatement]:
    """Return which objects training and serving read and write."""
    jobs = bucket_arn(scope, buckets["jobs"])
    read = [bucket_arn(scope, name) for name in (*buckets.values(), *settings.import_buckets)]
    return [
        allow("s3:ListBucket", *read),
        allow("s3:GetObject", *(f"{arn}/*" for arn in read)),
        allow("s3:PutObject s3:AbortMultipartUpload", f"{jobs}/*/output/*", f"{jobs}/*/checkpoints/*"),
        # A checkpoint that a container deletes is deleted in S3 too.
        allow("s3:DeleteObject", f"{jobs}/*/checkpoints/*"),
    ]


def for_any_container(scope: Construct, settings: Settings, *groups: str) -> list[iam.PolicyStatement]:
    """Return what SageMaker does for every container; `groups` are its log groups below /aws/sagemaker/."""
    stack, colon = cdk.Stack.of(scope), cdk.ArnFormat.COLON_RESOURCE_NAME
    logs = [
        stack.format_arn(
            service="logs", resource="log-group", resource_name=f"/aws/sagemaker/{group}:*", arn_format=colon
        )
        for group in groups
    ]
    repository = stack.format_arn(
        service="ecr", resource="repository", resource_name=f"{ASSETS}-{stack.account}-{stack.region}"
    )
    given = [
        allow("logs:CreateLogGroup logs:CreateLogStream logs:DescribeLogStreams logs:PutLogEvents", *logs),
        allow("ecr:BatchCheckLayerAvailability ecr:BatchGetImage ecr:GetDownloadUrlForLayer", repository),
        allow("ecr:GetAuthorizationToken", "*"),
        allow("cloudwatch:PutMetricData", "*", StringLike={"cloudwatch:namespace": "/aws/sagemaker/*"}),
    ]
    if settings.kms_key_arn:
        given.append(allow("kms:CreateGrant kms:Decrypt kms:DescribeKey kms:GenerateDataKey", settings.kms_key_arn))
    return given + (network(stack, settings) if settings.vpc else [])


def network(stack: cdk.Stack, settings: Settings) -> list[iam.PolicyStatement]:
    """Return what SageMaker needs to place a container in the stage's own network."""
    assert settings.vpc

    def ec2(resource: str, name: str) -> str:
        return stack.format_arn(service="ec2", resource=resource, resource_name=name)

    interfaces = ec2("network-interface", "*")
    placed_in = [ec2("subnet", id) for id in settings.vpc.subnet_ids]
    placed_in += [ec2("security-group", id) for id in settings.vpc.security_group_ids]
    permissions = "ec2:CreateNetworkInterfacePermission ec2:DeleteNetworkInterfacePermission"
    seen = ("DhcpOptions", "NetworkInterfaces", "SecurityGroups", "Subnets", "Vpcs")
    return [
        allow("ec2:CreateNetworkInterface", interfaces, *placed_in),
        allow(
            f"ec2:DeleteNetworkInterface {permissions}",
            interfaces,
            ArnEquals={"ec2:Vpc": ec2("vpc", settings.vpc.vpc_id)},
        ),
        allow(" ".join(f"ec2:Describe{what}" for what in seen), "*"),
    ]


def allow(actions: str, *resources: str, **conditions: dict[str, str]) -> iam.PolicyStatement:
    """Return a statement that allows the actions (separated by spaces) on the resources."""
    return iam.PolicyStatement(actions=actions.split(), resources=list(resources), conditions=conditions or None)

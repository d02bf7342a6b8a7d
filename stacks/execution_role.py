"""What SageMaker may do for our containers: move their data, write their logs, pull their images.

The containers themselves run isolated, without network and without these credentials.
"""

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from constructs import Construct

from cdk_app.constructs.acknowledge import acknowledge_wildcards
from cdk_app.constructs.role import Role
from cdk_app.settings import Settings

ASSETS = "cdk-hnb659fds-container-assets"  # the bootstrap's image repository


def execution_role(scope: Construct, *, settings: Settings, buckets: dict[str, str]) -> Role:
    """Return the role of training jobs and endpoints; `buckets` maps datasets, models and jobs to bucket names."""
    stack = cdk.Stack.of(scope)
    given = statements(stack, settings, buckets) + (network(stack, settings) if settings.vpc else [])
    role = Role(
        scope,
        "ExecutionRole",
        service="sagemaker.amazonaws.com",
        statements=given,
        conditions={"StringEquals": {"aws:SourceAccount": stack.account}},
    )
    reason = "SageMaker moves every job's files, logs and figures; the names below the prefix are made at run time."
    acknowledge_wildcards(role, {arn: reason for statement in given for arn in statement.resources})
    return role


def statements(stack: cdk.Stack, settings: Settings, buckets: dict[str, str]) -> list[iam.PolicyStatement]:
    """Return what every container needs SageMaker to do."""
    bucket = {name: f"arn:{stack.partition}:s3:::{value}" for name, value in buckets.items()}
    written = [f"{bucket['jobs']}/*/{folder}/*" for folder in ("output", "checkpoints")]
    groups = [f"/aws/sagemaker/{name}:*" for name in ("TrainingJobs", f"Endpoints/slipway-{settings.stage}-*")]
    colon = cdk.ArnFormat.COLON_RESOURCE_NAME
    logs = [stack.format_arn(service="logs", resource="log-group", resource_name=n, arn_format=colon) for n in groups]
    repository = stack.format_arn(
        service="ecr", resource="repository", resource_name=f"{ASSETS}-{stack.account}-{stack.region}"
    )
    given = [
        allow("s3:ListBucket", *bucket.values()),
        allow("s3:GetObject", *(f"{arn}/*" for arn in bucket.values())),
        allow("s3:PutObject s3:AbortMultipartUpload", *written),
        # A checkpoint that a container deletes is deleted in S3 too.
        allow("s3:DeleteObject", f"{bucket['jobs']}/*/checkpoints/*"),
        allow("logs:CreateLogGroup logs:CreateLogStream logs:DescribeLogStreams logs:PutLogEvents", *logs),
        allow("ecr:BatchCheckLayerAvailability ecr:BatchGetImage ecr:GetDownloadUrlForLayer", repository),
        allow("ecr:GetAuthorizationToken", "*"),
        allow("cloudwatch:PutMetricData", "*", StringLike={"cloudwatch:namespace": "/aws/sagemaker/*"}),
    ]
    if settings.kms_key_arn:
        given.append(allow("kms:CreateGrant kms:Decrypt kms:DescribeKey kms:GenerateDataKey", settings.kms_key_arn))
    return given


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

"""Where large datasets are read: the image and the role of SageMaker Processing jobs, which are made at run time."""

from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_ecr_assets as ecr_assets
from aws_cdk import aws_iam as iam
from constructs import Construct

from cdk_app.settings import Settings
from stacks.execution_role import allow, for_any_container, sagemaker_role
from stacks.functions import bucket_arn

ROOT = Path(__file__).resolve().parent.parent
DOCKERFILE = "lambdas/processing/Dockerfile"
JOB_PREFIX = "dsv-"  # a job is named by the version that it reads


class Processing(Construct):
    """`image`: the URI of what reads datasets; `role`: what SageMaker moves their files as, in the `bucket` of all."""

    def __init__(self, scope: Construct, id: str, *, settings: Settings, bucket: str) -> None:
        super().__init__(scope, id)
        self.image = image(self)
        reason = "SageMaker moves every version's files and logs; the names below the prefix are made at run time."
        given = [*files(self, settings, bucket), *for_any_container(self, settings, "ProcessingJobs")]
        self.role = sagemaker_role(self, "Role", given, reason)

    def resources(self) -> dict[str, list[str]]:
        """Return the ARNs by the names that the grants use."""
        stack = cdk.Stack.of(self)
        jobs = stack.format_arn(service="sagemaker", resource="processing-job", resource_name=f"{JOB_PREFIX}*")
        return {"processing-jobs": [jobs], "processing-role": [self.role.role_arn]}

    def variables(self, settings: Settings) -> dict[str, str]:
        """Return the functions' variables that say how to process."""
        return {
            "PROCESSING_FUNCTION_BYTES": str(settings.processing_function_bytes),
            "PROCESSING_INSTANCE_TYPE": settings.processing_instance_type,
            "PROCESSING_IMAGE": self.image,
            "PROCESSING_ROLE_ARN": self.role.role_arn,
        }


def files(scope: Construct, settings: Settings, bucket: str) -> list[iam.PolicyStatement]:
    """Return what may be read, the datasets and what they are imported from, and what written: the reports."""
    read = [bucket_arn(scope, name) for name in (bucket, *settings.import_buckets)]
    return [
        allow("s3:ListBucket", *read),
        allow("s3:GetObject", *(f"{arn}/*" for arn in read)),
        allow("s3:PutObject s3:AbortMultipartUpload", f"{bucket_arn(scope, bucket)}/*/processed/*"),
    ]


def image(scope: Construct) -> str:
    """Return the URI of the image; it is built when it is published, not when the stack is synthesised."""
    asset = ecr_assets.DockerImageAsset(
        scope,
        "Image",
        directory=str(ROOT),
        file=DOCKERFILE,
        platform=ecr_assets.Platform.LINUX_AMD64,  # what SageMaker runs, whatever this machine is
        exclude=[
            *("*", "!lambdas/__init__.py", "!lambdas/processing"),
            *("!lambdas/common/__init__.py", "!lambdas/common/zip_directory.py"),
            *("**/__pycache__", "**/*.md", "**/requirements.in"),
            "lambdas/processing/tasks.py",  # the function's
        ],
        ignore_mode=cdk.IgnoreMode.DOCKER,
    )
    return asset.image_uri

"""A private, versioned bucket that browsers may upload to with presigned URLs."""

import aws_cdk as cdk
from aws_cdk import aws_s3 as s3
from constructs import Construct

from cdk_app.constructs.acknowledge import acknowledge
from cdk_app.constructs.key import key_of
from cdk_app.constructs.retention import removal_policy
from cdk_app.settings import Settings

CHECKSUM_HEADERS = [
    "ETag",
    "x-amz-checksum-crc32",
    "x-amz-checksum-crc64nvme",
    "x-amz-checksum-sha256",
    "x-amz-version-id",
]


class Bucket(s3.Bucket):
    """A bucket of ours. It is not emptied with its stack: `make destroy` does that, and says what it deletes.

    Objects with the tag `expiring` (key, value) go after a week.
    """

    def __init__(
        self, scope: Construct, id: str, *, settings: Settings, expiring: tuple[str, str] | None = None
    ) -> None:
        key = key_of(scope, id, settings)
        super().__init__(
            scope,
            id,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            encryption=s3.BucketEncryption.KMS if key else s3.BucketEncryption.S3_MANAGED,
            encryption_key=key,
            bucket_key_enabled=True if key else None,
            enforce_ssl=True,
            versioned=True,
            cors=[
                s3.CorsRule(
                    allowed_methods=[s3.HttpMethods.GET, s3.HttpMethods.HEAD, s3.HttpMethods.PUT],
                    allowed_origins=settings.cors_origins,
                    allowed_headers=["*"],
                    exposed_headers=CHECKSUM_HEADERS,
                    max_age=3600,
                )
            ],
            lifecycle_rules=rules(expiring),
            removal_policy=removal_policy(settings),
        )
        reason = "Our functions log what they read, write and presign, by owner and request; a second log adds nothing."
        acknowledge(self, {"S1": reason})


def rules(expiring: tuple[str, str] | None) -> list[s3.LifecycleRule]:
    """Return what S3 itself removes: uploads given up, what was replaced or deleted, and what is made to expire."""
    found = [
        s3.LifecycleRule(
            id="unfinished-and-replaced",
            abort_incomplete_multipart_upload_after=cdk.Duration.days(7),
            noncurrent_version_expiration=cdk.Duration.days(30),
        )
    ]
    if expiring:
        key, value = expiring
        found.append(
            s3.LifecycleRule(
                id="expiring",
                tag_filters={key: value},
                expiration=cdk.Duration.days(7),
                noncurrent_version_expiration=cdk.Duration.days(1),  # nobody restores what can be made again
            )
        )
    return found

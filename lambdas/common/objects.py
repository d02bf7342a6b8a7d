"""Objects in S3 that belong to a record: looked for beside it, taken away with it."""

from typing import Any

from lambdas.common import aws


class NotDeleted(Exception):
    """S3 kept objects that were to be deleted; whoever asked must ask again."""


def find(bucket: str, key: str) -> dict[str, Any] | None:
    """Return GetObject's answer, or None when there is no such object.

    Without s3:ListBucket on the bucket S3 answers 403 for what is not there, and this raises.
    """
    s3 = aws.client("s3")
    try:
        return s3.get_object(Bucket=bucket, Key=key)
    except s3.exceptions.NoSuchKey:
        return None


def delete_prefix(bucket: str, prefix: str) -> None:
    """Delete every object under a prefix; the bucket's lifecycle removes their versions later.

    Raises NotDeleted: S3 answers a deletion of many with 200 and lists those that it refused.
    """
    s3 = aws.client("s3")
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        keys = [{"Key": found["Key"]} for found in page.get("Contents", [])]
        refused = (
            s3.delete_objects(Bucket=bucket, Delete={"Objects": keys, "Quiet": True}).get("Errors") if keys else []
        )
        if refused:
            raise NotDeleted(f"{len(refused)} objects under {prefix} remain; the first: {refused[0]}")

"""Empty a bucket: every version of every object, and every upload that was begun."""

from operations.account import Account


def empty(account: Account, bucket: str) -> int:
    """Delete all there is in a bucket and return how many object versions and delete markers that was."""
    client = account.client("s3")
    for page in client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket):
        for upload in page.get("Uploads", []):
            client.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    deleted = 0
    for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket):
        rows = page.get("Versions", []) + page.get("DeleteMarkers", [])
        objects = [{"Key": row["Key"], "VersionId": row["VersionId"]} for row in rows]
        if objects:
            answer = client.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
            failed = answer.get("Errors", [])
            if failed:
                raise RuntimeError(f"{bucket}: {failed[0]['Key']} could not be deleted: {failed[0]['Message']}")
            deleted += len(objects)
    return deleted

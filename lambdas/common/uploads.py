"""Uploads: bytes go from the client straight to S3 in presigned parts, and can be resumed.

The plan says which parts are missing. Completing needs no list from the client: S3 knows the parts it has. An object
that is there is never replaced.
"""

import base64
import re
from typing import Any
from urllib.parse import quote

from pydantic import BaseModel

from lambdas.common import aws
from lambdas.common.errors import BadRequest, Conflict, NotFound

MIB = 1024 * 1024
PART_BYTES = 16 * MIB
MAX_PARTS = 10_000  # S3's limit for one upload
PAGE_OF_PARTS = 1_000  # URLs in one plan; ask again for the next ones
EXPIRES_IN = 900  # seconds a presigned URL is good for
TAKEN = {"PreconditionFailed", "ConditionalRequestConflict"}  # what S3 answers where an object is, or comes to be


class PartUrl(BaseModel):
    """Where to PUT one part: bytes `[offset, offset + size)` of the file, with no other header than its length."""

    number: int
    offset: int
    size: int
    url: str


class UploadPlan(BaseModel):
    """What is left to upload: PUT each part to its URL, then complete. Ask again when the URLs expire."""

    part_size: int
    parts: list[PartUrl]
    missing: int
    expires_in: int = EXPIRES_IN


def part_size(size: int) -> int:
    """Return the bytes per part, so that no file needs more parts than S3 allows; a whole number of MiB."""
    return max(PART_BYTES, -(-size // (MAX_PARTS * MIB)) * MIB)


def part_ranges(size: int) -> list[tuple[int, int, int]]:
    """Return (number, offset, length) of each part of a file of `size` bytes; an empty file is one empty part."""
    step = part_size(size)
    return [(index + 1, start, min(step, size - start)) for index, start in enumerate(range(0, max(size, 1), step))]


def start(bucket: str, key: str, content_type: str) -> str:
    """Start an upload and return its id. S3 computes the whole object's CRC-32, which `checksum_of` returns.

    Of a checksum of the full object S3 asks the client nothing: the parts carry none.
    """
    answer = aws.client("s3").create_multipart_upload(
        Bucket=bucket, Key=key, ContentType=content_type, ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT"
    )
    return answer["UploadId"]


def plan(bucket: str, key: str, upload_id: str, size: int) -> UploadPlan:
    """Return presigned URLs for the parts that S3 does not have yet; raises Conflict when the upload is over."""
    present = {part["PartNumber"] for part in uploaded_parts(bucket, key, upload_id)}
    missing = [part for part in part_ranges(size) if part[0] not in present]
    presign = aws.s3_presigner().generate_presigned_url
    parts = []
    for number, offset, length in missing[:PAGE_OF_PARTS]:
        target = {"Bucket": bucket, "Key": key, "UploadId": upload_id, "PartNumber": number, "ContentLength": length}
        parts.append(PartUrl(number=number, offset=offset, size=length, url=presign("upload_part", target, EXPIRES_IN)))
    return UploadPlan(part_size=part_size(size), parts=parts, missing=len(missing))


def complete(bucket: str, key: str, upload_id: str, size: int) -> None:
    """Make the object from its parts; raises BadRequest naming what is missing, Conflict when another write won."""
    parts = uploaded_parts(bucket, key, upload_id)
    wanted = {number: length for number, _, length in part_ranges(size)}
    missing = sorted(wanted.keys() - {part["PartNumber"] for part in parts})
    if missing:
        raise BadRequest(f"{len(missing)} of {len(wanted)} parts are not uploaded yet, the first is {missing[0]}.")
    wrong = [part["PartNumber"] for part in parts if part["Size"] != wanted.get(part["PartNumber"])]
    if wrong:
        raise BadRequest(f"Part {wrong[0]} has another size than the plan says; upload it again.")
    s3 = aws.client("s3")
    etags = {"Parts": [{"PartNumber": part["PartNumber"], "ETag": part["ETag"]} for part in parts]}
    try:
        s3.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload_id, MultipartUpload=etags, IfNoneMatch="*")
    except s3.exceptions.NoSuchUpload as error:
        raise Conflict("This upload was completed or given up already.") from error
    except s3.exceptions.ClientError as error:
        if aws.error_code(error) not in TAKEN:
            raise
        raise Conflict("This file is there already; a file is never replaced.") from error


def abort(bucket: str, key: str, upload_id: str) -> None:
    """Give up an upload; one that is over already is no error."""
    s3 = aws.client("s3")
    try:
        s3.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload_id)
    except s3.exceptions.NoSuchUpload:
        return


def uploaded_parts(bucket: str, key: str, upload_id: str) -> list[dict[str, Any]]:
    """Return the parts S3 has, in order; raises Conflict when the upload was completed or given up."""
    s3 = aws.client("s3")
    pages = s3.get_paginator("list_parts").paginate(Bucket=bucket, Key=key, UploadId=upload_id)
    try:
        return [part for page in pages for part in page.get("Parts", [])]
    except s3.exceptions.NoSuchUpload as error:
        raise Conflict("This upload was completed or given up already.") from error


def download_url(bucket: str, key: str, filename: str, seconds: int = EXPIRES_IN) -> str:
    """Return a presigned URL that downloads an object under the given name; the object's existence is not checked."""
    target = {"Bucket": bucket, "Key": key, "ResponseContentDisposition": attachment(filename)}
    return aws.s3_presigner().generate_presigned_url("get_object", target, seconds)


def attachment(filename: str) -> str:
    """Return the Content-Disposition by which a download is stored under a name in any language (RFC 6266)."""
    plain = re.sub(r'[^ -~]|["\\%]', "_", filename)
    encoded = "" if plain == filename else f"; filename*=UTF-8''{quote(filename, safe='')}"
    return f'attachment; filename="{plain}"{encoded}'


def size_of(bucket: str, key: str) -> int:
    """Return an object's size in bytes; raises NotFound."""
    return head(bucket, key)["ContentLength"]


def checksum_of(bucket: str, key: str) -> tuple[int, int]:
    """Return an object's size in bytes and CRC-32; raises NotFound, ValueError when S3 knows no CRC-32 of the whole."""
    answer = head(bucket, key)
    if "ChecksumCRC32" not in answer or answer.get("ChecksumType") != "FULL_OBJECT":
        raise ValueError(f"S3 has no CRC-32 of the whole object {key}.")
    return answer["ContentLength"], int.from_bytes(base64.b64decode(answer["ChecksumCRC32"]), "big")


def head(bucket: str, key: str) -> dict[str, Any]:
    """Return what S3 knows of an object; raises NotFound."""
    try:
        return aws.client("s3").head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
    except Exception as error:
        if aws.error_code(error) in {"404", "NoSuchKey", "NotFound"}:
            raise NotFound("The file is not in storage.") from error
        raise

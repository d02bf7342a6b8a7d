"""S3 on one machine, with objects larger than one likes to hold in memory.

Run: python -m pytest tests/local/test_large_objects.py
"""

from __future__ import annotations

import base64
import json
import random
import threading
import time
import zlib
from pathlib import Path
from typing import Any

import pytest
import requests
from botocore.exceptions import ClientError

from tests.local.small import Small
from tests.local.test_emulator_contract import as_writer

MIB = 1024 * 1024
NOISE = random.Random(3).randbytes(6 * MIB)
CRC32 = {"ChecksumAlgorithm": "CRC32", "ChecksumType": "FULL_OBJECT"}


class Uploading:
    """One multipart upload."""

    def __init__(self, small: Small, key: str, **options: Any) -> None:
        self.s3, self.target = small.client("s3"), {"Bucket": small.stack["Bucket"], "Key": key}
        self.id = self.s3.create_multipart_upload(**self.target, **options)["UploadId"]
        self.etags: dict[int, str] = {}

    def send(self, number: int, body: bytes) -> None:
        """Send a part as a client with a presigned URL does: with no header but its length."""
        url = self.s3.generate_presigned_url("upload_part", {**self.target, "UploadId": self.id, "PartNumber": number})
        answer = requests.put(url, data=body, timeout=60)
        answer.raise_for_status()
        self.etags[number] = answer.headers["ETag"]

    def copy(self, number: int, key: str, first: int, last: int) -> None:
        copied = self.s3.upload_part_copy(
            **self.target,
            UploadId=self.id,
            PartNumber=number,
            CopySource={"Bucket": self.target["Bucket"], "Key": key},
            CopySourceRange=f"bytes={first}-{last}",
        )
        self.etags[number] = copied["CopyPartResult"]["ETag"]

    def complete(self, *numbers: int, **conditions: Any) -> dict[str, Any]:
        parts = [{"PartNumber": n, "ETag": self.etags[n]} for n in numbers or sorted(self.etags)]
        return self.s3.complete_multipart_upload(
            **self.target, UploadId=self.id, MultipartUpload={"Parts": parts}, **conditions
        )

    def body(self, **options: Any) -> bytes:
        return self.s3.get_object(**self.target, **options)["Body"].read()


def uploaded(small: Small, key: str, *bodies: bytes, **options: Any) -> Uploading:
    upload = Uploading(small, key, **(options or CRC32))
    for number, body in enumerate(bodies, start=1):
        upload.send(number, body)
    upload.complete()
    return upload


def crc32(body: bytes) -> str:
    return base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()


def refused(call: Any, *arguments: Any, **options: Any) -> str:
    with pytest.raises(ClientError) as error:
        call(*arguments, **options)
    return error.value.response["Error"]["Code"]


def test_s3_knows_the_crc32_of_the_whole_though_no_part_came_with_one(small: Small) -> None:
    upload = uploaded(small, "whole", NOISE, NOISE[:10])
    known = upload.s3.head_object(**upload.target, ChecksumMode="ENABLED")
    assert (known["ChecksumCRC32"], known["ChecksumType"]) == (crc32(NOISE + NOISE[:10]), "FULL_OBJECT")
    assert "ChecksumCRC32" not in upload.s3.head_object(**upload.target)
    assert upload.body() == NOISE + NOISE[:10]  # boto3 compares the checksum as well


def test_completion_answers_as_aws_does(small: Small) -> None:
    upload = Uploading(small, "answer", **CRC32)
    upload.send(1, NOISE)
    answer = upload.complete()
    assert (answer["ChecksumCRC32"], answer["ChecksumType"], answer["Key"]) == (crc32(NOISE), "FULL_OBJECT", "answer")
    assert answer["ETag"].endswith('-1"') and answer["ETag"] == upload.s3.head_object(**upload.target)["ETag"]
    assert upload.complete()["ETag"] == answer["ETag"]  # again is no error


def test_without_a_type_the_checksum_is_of_the_parts_checksums(small: Small) -> None:
    upload = uploaded(small, "composite", NOISE, b"x", ChecksumAlgorithm="CRC32")
    known = upload.s3.head_object(**upload.target, ChecksumMode="ENABLED")
    assert known["ChecksumType"] == "COMPOSITE" and known["ChecksumCRC32"].endswith("-2")


def test_a_copy_has_the_checksum_that_is_asked_for(small: Small) -> None:
    source = uploaded(small, "composite", NOISE, b"x", ChecksumAlgorithm="CRC32")
    target = {"Bucket": small.stack["Bucket"], "Key": "copied-with-checksum"}
    source.s3.copy_object(**target, CopySource=source.target, ChecksumAlgorithm="CRC32")
    assert source.s3.head_object(**target, ChecksumMode="ENABLED")["ChecksumCRC32"] == crc32(NOISE + b"x")


def test_stretches_of_other_objects_become_parts(small: Small) -> None:
    uploaded(small, "source", NOISE, NOISE[:100])
    upload = Uploading(small, "made", **CRC32)
    upload.send(1, NOISE[: 5 * MIB])
    upload.copy(2, "source", 7, 7 + 5 * MIB - 1)
    upload.copy(3, "source", len(NOISE) - 3, len(NOISE) + 4)
    upload.complete()
    wanted = NOISE[: 5 * MIB] + NOISE[7 : 7 + 5 * MIB] + NOISE[-3:] + NOISE[:5]
    assert upload.body() == wanted
    assert upload.s3.head_object(**upload.target, ChecksumMode="ENABLED")["ChecksumCRC32"] == crc32(wanted)


def test_a_stretch_past_the_end_or_of_a_small_object_is_refused(small: Small) -> None:
    uploaded(small, "source", NOISE)
    small.client("s3").put_object(Bucket=small.stack["Bucket"], Key="tiny", Body=b"x" * 1000)
    upload = Uploading(small, "made-of-wrong-stretches")
    assert refused(upload.copy, 1, "source", 0, len(NOISE)) == "InvalidArgument"
    assert refused(upload.copy, 1, "tiny", 0, 10) == "InvalidRequest"
    assert refused(upload.copy, 1, "absent", 0, 10) == "NoSuchKey"
    assert upload.s3.list_parts(**upload.target, UploadId=upload.id).get("Parts", []) == []


def test_a_part_before_the_last_has_5_mib(small: Small) -> None:
    upload = Uploading(small, "small-parts")
    upload.send(1, NOISE[: 5 * MIB - 1])
    upload.send(2, b"x")
    assert refused(upload.complete) == "EntityTooSmall"
    upload.send(1, NOISE[: 5 * MIB])
    upload.complete()
    assert upload.body() == NOISE[: 5 * MIB] + b"x"


def test_parts_are_named_in_order_and_as_they_are(small: Small) -> None:
    upload = Uploading(small, "order")
    for number in (1, 2, 3):
        upload.send(number, bytes([number]) * 5 * MIB)
    assert refused(upload.complete, 2, 1) == "InvalidPartOrder"
    upload.etags[4] = upload.etags[1]
    assert refused(upload.complete, 1, 4) == "InvalidPart"
    upload.etags[1], good = upload.etags[2], upload.etags[1]
    assert refused(upload.complete, 1, 2) == "InvalidPart"
    upload.etags[1] = good
    upload.complete(1, 3)  # a part that is not named is left out
    assert upload.body() == b"\1" * 5 * MIB + b"\3" * 5 * MIB


def test_what_is_there_is_not_replaced_when_asked_so(small: Small) -> None:
    s3, target = small.client("s3"), {"Bucket": small.stack["Bucket"], "Key": "taken"}
    upload = Uploading(small, "taken")
    upload.send(1, NOISE)
    s3.put_object(**target, Body=b"first", IfNoneMatch="*")
    assert refused(upload.complete, IfNoneMatch="*") == "PreconditionFailed"
    assert refused(s3.put_object, **target, Body=b"second", IfNoneMatch="*") == "PreconditionFailed"
    assert upload.body() == b"first"
    upload.complete()
    assert upload.body() == NOISE


def test_tags_given_at_the_start_are_on_the_object_and_need_their_permission(small: Small) -> None:
    upload = uploaded(small, "tagged", NOISE, Tagging="slipway=archive&b=%2F")
    tags = upload.s3.get_object_tagging(**upload.target)["TagSet"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == {"slipway": "archive", "b": "/"}
    role = small.stack["WriterRole"].split("/")[-1]
    allowed = {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "*"}
    policy = {"RoleName": role, "PolicyName": "uploads"}
    small.client("iam").put_role_policy(**policy, PolicyDocument=json.dumps({"Statement": [allowed]}))
    try:
        writer = as_writer(small, "s3")
        writer.create_multipart_upload(**upload.target)
        assert refused(writer.create_multipart_upload, **upload.target, Tagging="a=b") == "AccessDenied"
        assert refused(writer.put_object, **upload.target, Body=b"", Tagging="a=b") == "AccessDenied"
    finally:
        small.client("iam").delete_role_policy(**policy)


def test_earlier_versions_of_a_large_object_are_kept_as_they_were(small: Small) -> None:
    s3, bucket = small.client("s3"), "versions-of-large-objects"
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    target = {"Bucket": bucket, "Key": "folder/file"}
    bodies = [NOISE, NOISE[::-1], b"small", NOISE[: 2 * MIB]]
    versions = [s3.put_object(**target, Body=body)["VersionId"] for body in bodies]
    marker = s3.delete_object(**target)["VersionId"]
    assert refused(s3.get_object, **target) == "NoSuchKey"
    for version, body in zip(versions, bodies, strict=True):
        assert s3.get_object(**target, VersionId=version)["Body"].read() == body
    s3.delete_object(**target, VersionId=marker)
    assert s3.get_object(**target)["Body"].read() == bodies[-1]
    s3.delete_object(**target, VersionId=versions[-1])
    assert s3.get_object(**target)["Body"].read() == b"small"
    s3.delete_object(**target, VersionId=versions[2])
    copied = s3.copy_object(Bucket=bucket, Key="copy", CopySource=target)
    assert copied["CopyObjectResult"]["ETag"] and s3.get_object(Bucket=bucket, Key="copy")["Body"].read() == bodies[1]


def test_ranges_of_a_large_object_are_answered(small: Small) -> None:
    upload = uploaded(small, "ranges", NOISE, NOISE)
    whole = NOISE + NOISE
    for first, last in ((0, 0), (5, MIB + 5), (len(NOISE) - 2, len(NOISE) + 2), (0, len(whole) - 1)):
        assert upload.body(Range=f"bytes={first}-{last}") == whole[first : last + 1]
    assert upload.body(Range="bytes=-7") == whole[-7:]
    assert refused(upload.body, Range=f"bytes={len(whole)}-") == "InvalidRange"


def test_a_client_that_goes_away_leaves_a_platform_that_answers(small: Small) -> None:
    upload = uploaded(small, "left", *[NOISE * 3] * 4)
    link = upload.s3.generate_presigned_url("get_object", upload.target)
    for _ in range(5):
        with requests.get(link, stream=True, timeout=20) as answer:
            assert len(next(answer.iter_content(MIB))) > 0
    assert upload.body() == NOISE * 12


class Memory(threading.Thread):
    """The most memory that a process holds meanwhile: its own, and with the files that it has mapped."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.status, self.over = Path(f"/proc/{pid}/status"), threading.Event()
        self.own = self.all = 0

    def run(self) -> None:
        while not self.over.wait(0.02):
            fields = dict(line.split(":", 1) for line in self.status.read_text().splitlines())
            self.own = max(self.own, int(fields["RssAnon"].split()[0]) * 1024)
            self.all = max(self.all, int(fields["VmRSS"].split()[0]) * 1024)

    def __enter__(self) -> Memory:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.over.set()
        self.join()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the memory of a process is not told here")
def test_a_large_object_needs_little_memory_up_copied_and_down(small: Small) -> None:
    with Memory(small.process.pid) as idle:
        time.sleep(0.1)
    with Memory(small.process.pid) as memory:
        up = uploaded(small, "large", *[NOISE[: 4 * MIB] * 4] * 32)  # 512 MiB
        copied = Uploading(small, "copied", **CRC32)
        for number in range(4):
            copied.copy(number + 1, "large", number * 128 * MIB, (number + 1) * 128 * MIB - 1)
        copied.complete()
        seen = 0
        with requests.get(up.s3.generate_presigned_url("get_object", copied.target), stream=True, timeout=60) as answer:
            for piece in answer.iter_content(MIB):
                seen = zlib.crc32(piece, seen)
        up.s3.delete_object(**copied.target)
    assert seen == zlib.crc32(NOISE[: 4 * MIB] * 128)
    more = memory.own - idle.own, memory.all - idle.all
    print(
        f"512 MiB up, copied and down: {more[0] / MIB:.0f} MiB more memory, {more[1] / MIB:.0f} MiB with mapped files"
    )
    assert more[0] < 160 * MIB
    assert more[1] < 400 * MIB

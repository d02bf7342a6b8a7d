"""A version's ZIP, made inside S3. Run: python -m pytest tests/api/test_model_archives.py"""

import hashlib
import io
import os
import random
import zipfile
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
import requests
from botocore.exceptions import ClientError

from lambdas.common import aws, uploads
from lambdas.common.errors import Conflict, NotFound
from lambdas.common.uploads import MIB
from lambdas.models import archive
from lambdas.models.archive import ArchiveFile

pytestmark = pytest.mark.thorough

NOISE = random.Random(4).randbytes(7 * MIB + 3)
CONTENTS = {
    "model.bin": NOISE * 5,
    "config.json": b"{}",
    "empty": b"",
    "shards/é 1.bin": NOISE,
    "shards/a+b=%2F?.bin": NOISE[: 5 * MIB],
}


@pytest.fixture
def bucket() -> str:
    return os.environ["MODELS_BUCKET"]


@pytest.fixture(scope="module")
def files(stage: None) -> list[ArchiveFile]:
    """A version's files in S3, as their uploads leave them."""
    return stored("ada/archives/v1/", CONTENTS)


def stored(prefix: str, contents: dict[str, bytes]) -> list[ArchiveFile]:
    """Upload files in presigned parts, which carry no checksum."""
    bucket = os.environ["MODELS_BUCKET"]
    found = []
    for name, content in contents.items():
        key = prefix + name
        upload = uploads.start(bucket, key, "application/octet-stream")
        for part in uploads.plan(bucket, key, upload, len(content)).parts:
            requests.put(part.url, data=content[part.offset : part.offset + part.size], timeout=60).raise_for_status()
        uploads.complete(bucket, key, upload, len(content))
        found.append(ArchiveFile(name, key, *uploads.checksum_of(bucket, key)))
    return found


def downloaded(bucket: str, key: str) -> bytes:
    return requests.get(uploads.download_url(bucket, key, "version.zip"), timeout=60).content


def unzipped(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as zipped:
        assert zipped.testzip() is None
        return {name: zipped.read(name) for name in zipped.namelist()}


class Traffic:
    """The bytes of objects that this process sends to S3 and reads from it, and the calls it makes."""

    def __init__(self) -> None:
        self.sent = self.read = 0
        self.calls: list[str] = []

    def before(self, params: dict[str, Any], model: Any, **more: Any) -> None:
        self.calls.append(model.name)
        self.sent += len(params.get("Body", b""))

    def after(self, parsed: dict[str, Any], model: Any, **more: Any) -> None:
        self.read += parsed.get("ContentLength", 0) if model.name == "GetObject" else 0


@pytest.fixture
def traffic() -> Iterator[Traffic]:
    counted, events = Traffic(), aws.client("s3").meta.events
    events.register("provide-client-params.s3", counted.before)
    events.register("after-call.s3", counted.after)
    yield counted
    events.unregister("provide-client-params.s3", counted.before)
    events.unregister("after-call.s3", counted.after)


def test_an_archive_holds_every_file_as_it_was_uploaded(bucket: str, files: list[ArchiveFile]) -> None:
    key = archive.archive_key("ada/archives/v1/", files)
    archive.make(bucket, files, key)
    assert unzipped(downloaded(bucket, key)) == CONTENTS


def test_only_headers_small_files_and_first_bytes_pass_through_us(
    bucket: str, files: list[ArchiveFile], traffic: Traffic
) -> None:
    sent = archive.make(bucket, files, "ada/archives/v1/.slipway/counted.zip")
    assert traffic.read < traffic.sent == sent < 18 * MIB  # of three files the first 5 MiB
    assert sent < sum(file.size for file in files) / 2
    assert traffic.calls.count("UploadPartCopy") >= 1


def test_an_archive_is_marked_so_that_it_expires_and_has_a_checksum(bucket: str, files: list[ArchiveFile]) -> None:
    key = "ada/archives/v1/.slipway/marked.zip"
    archive.make(bucket, files[1:3], key)
    s3 = boto3.client("s3")
    assert s3.get_object_tagging(Bucket=bucket, Key=key)["TagSet"] == [{"Key": "slipway", "Value": "archive"}]
    assert s3.head_object(Bucket=bucket, Key=key)["ContentType"] == "application/zip"
    assert uploads.checksum_of(bucket, key)[0] == len(archive.inline(bucket, files[1:3]))


def test_one_that_is_there_is_not_made_again(bucket: str, files: list[ArchiveFile], traffic: Traffic) -> None:
    key = "ada/archives/v1/.slipway/twice.zip"
    assert archive.make(bucket, files, key) > 0
    traffic.calls.clear()
    assert archive.make(bucket, files, key) == 0
    assert traffic.calls == ["HeadObject"]


def test_of_two_at_once_both_succeed_and_one_object_stays(bucket: str, files: list[ArchiveFile]) -> None:
    key = "ada/archives/v1/.slipway/race.zip"
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: archive.make(bucket, files, key), range(4)))
    s3 = boto3.client("s3")
    assert len(s3.list_object_versions(Bucket=bucket, Prefix=key)["Versions"]) == 1
    assert unzipped(downloaded(bucket, key)) == CONTENTS
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket, Prefix=key)


@pytest.mark.parametrize("position", [0, 1])
def test_a_failing_attempt_leaves_nothing(bucket: str, files: list[ArchiveFile], position: int) -> None:
    gone = [*files]
    gone[position] = ArchiveFile("gone", "ada/archives/v1/gone", 9 * MIB, 1)
    key = f"ada/archives/v1/.slipway/fails-{position}.zip"
    with pytest.raises(ClientError):
        archive.make(bucket, gone, key)
    assert not archive.is_made(bucket, key)
    assert "Uploads" not in boto3.client("s3").list_multipart_uploads(Bucket=bucket, Prefix=key)
    archive.make(bucket, files, key)  # the next attempt
    assert unzipped(downloaded(bucket, key)) == CONTENTS


def test_a_small_version_is_answered_as_the_same_zip(bucket: str) -> None:
    contents = {"a.json": b"1" * 1000, "b/é.txt": b"", "c.bin": NOISE[: 2 * MIB]}
    files = stored("ada/small/v1/", contents)
    assert unzipped(archive.inline(bucket, files)) == contents
    archive.make(bucket, files, "ada/small/v1/.slipway/a.zip")
    assert downloaded(bucket, "ada/small/v1/.slipway/a.zip") == archive.inline(bucket, files)


def test_s3_knows_size_and_crc32_of_what_was_uploaded(bucket: str, files: list[ArchiveFile]) -> None:
    assert [(file.size, file.crc32) for file in files] == [(len(c), zlib.crc32(c)) for c in CONTENTS.values()]
    with pytest.raises(NotFound):
        uploads.checksum_of(bucket, "ada/archives/v1/absent")


def test_an_object_that_came_without_a_crc32_is_told_from_one_with_0(bucket: str) -> None:
    s3 = boto3.client("s3")
    upload = s3.create_multipart_upload(Bucket=bucket, Key="ada/none")["UploadId"]
    url = s3.generate_presigned_url(
        "upload_part", {"Bucket": bucket, "Key": "ada/none", "UploadId": upload, "PartNumber": 1}
    )
    etag = requests.put(url, data=b"x", timeout=20).headers["ETag"]
    parts: Any = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
    s3.complete_multipart_upload(Bucket=bucket, Key="ada/none", UploadId=upload, MultipartUpload=parts)
    with pytest.raises(ValueError, match="no CRC-32"):
        uploads.checksum_of(bucket, "ada/none")


def test_an_uploaded_file_is_never_replaced(bucket: str, files: list[ArchiveFile]) -> None:
    key = files[1].key
    upload = uploads.start(bucket, key, "text/plain")
    (part,) = uploads.plan(bucket, key, upload, 3).parts
    requests.put(part.url, data=b"new", timeout=20).raise_for_status()
    with pytest.raises(Conflict):
        uploads.complete(bucket, key, upload, 3)
    assert boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read() == CONTENTS["config.json"]
    uploads.abort(bucket, key, upload)


def test_many_small_files_share_parts(bucket: str) -> None:
    contents = {f"{number:03}.json": hashlib.sha256(b"%d" % number).digest() for number in range(60)}
    files = stored("ada/many/v1/", contents)
    archive.make(bucket, files, "ada/many/v1/.slipway/a.zip")
    assert unzipped(downloaded(bucket, "ada/many/v1/.slipway/a.zip")) == contents

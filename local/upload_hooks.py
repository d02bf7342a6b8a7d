"""The changes to MiniStack's S3 by which an upload is completed as AWS documents, its parts on disk. See emulator.

MiniStack joins parts in memory. It knows no checksum of the full object, no tags given at an upload's start, and takes
parts of any size.
"""

from __future__ import annotations

import asyncio
import base64
import contextvars
import hashlib
import os
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote
from xml.sax.saxutils import escape

from ministack.core import iam_actions, responses
from ministack.services import s3

from local.checksums import full_object
from local.handlers import Answer, Handler
from local.multipart import PIECE, Stretch, Upload, UploadsOnDisk, first, keeping_uploads
from local.object_hooks import mapping

NAMES: dict[str, dict[str, list[str] | None]] = {  # as in emulator_hooks
    "core.iam_actions": {"s3_additional_checks": ["method", "path", "headers", "body", "query_params"]},
    "core.responses": {"now_iso": []},
    "services.s3": {
        "S3_NS": None,
        "_multipart_uploads": None,
        "_completed_multipart_uploads": None,
        "_object_tags": None,
        "md5_hash": ["data"],
        "_check_put_preconditions": ["headers", "existing_obj"],
        "_complete_multipart_upload": ["bucket_name", "key", "body", "query_params", "headers"],
        "_composite_checksum": ["algorithm", "part_checksums"],
        "_compute_s3_checksum": ["algorithm", "body"],
        "_copy_object": ["bucket_name", "dest_key", "headers"],
        "_create_multipart_upload": ["bucket_name", "key", "headers"],
        "_ensure_bucket": ["name"],
        "_object_disk_path": ["bucket", "key", "account_id"],
        "_error": ["code", "message", "status", "resource", "extra", "headers"],
        "_fire_s3_event_async": [
            "bucket_name", "key", "event_name", "size", "etag", "deletion_type", "version_id", "object_extra",
            "record_extra",
        ],
        "_persist_object": ["bucket", "key", "obj"],
        "_record_object_version": ["bucket_name", "key", "prior_obj", "obj", "data"],
        "_stored_sse_headers": ["obj"],
        "_upload_part_copy": ["bucket_name", "dest_key", "query_params", "headers"],
    },
}  # fmt: skip
LEAST_PART = 5 * 1024 * 1024
PART = re.compile(rb"<Part[ >].*?</Part>", re.DOTALL)


_digests: contextvars.ContextVar[Digests | None] = contextvars.ContextVar("digests", default=None)


@dataclass(frozen=True)
class Digests:
    """What was computed of the bytes that a request copies: of a file's, and of no other's."""

    inode: int
    md5: str
    crc32: str


def keeping(handler: Handler, uploads: UploadsOnDisk) -> Handler:
    """S3's `handler`, keeping the uploads in progress, and reading what is copied before the handler is called.

    The handler does not give way to other requests, so it should find little to do.
    """
    kept = keeping_uploads(handler, s3._multipart_uploads, uploads)

    async def reading(method: str, path: str, headers: dict, body: bytes, query: dict) -> Answer:
        stretch = copied_stretch(headers) if method == "PUT" and "uploadId" in query else None
        if stretch is None:
            return await kept(method, path, headers, body, query)
        token = _digests.set(await asyncio.to_thread(digests_of, stretch))
        try:
            return await kept(method, path, headers, body, query)
        finally:
            _digests.reset(token)

    return reading


def copied_stretch(headers: dict[str, str]) -> Stretch | None:
    """The stretch of a file that a request copies; None when it copies none, or all of an object."""
    ranged = re.fullmatch(r"bytes=(\d+)-(\d+)", headers.get("x-amz-copy-source-range", ""))
    bucket, _, key = unquote(headers.get("x-amz-copy-source", "").lstrip("/")).partition("/")
    path = s3._object_disk_path(bucket, key) if ranged and key else None
    if ranged is None or path is None or not Path(path).is_file():
        return None
    first, last = int(ranged[1]), int(ranged[2])
    return Stretch(Path(path), first, last - first + 1)


def digests_of(stretch: Stretch) -> Digests:
    """Read a stretch once for all that S3 says of it."""
    md5, crc32 = hashlib.md5(), 0
    with open(stretch.file, "rb") as file:
        file.seek(stretch.offset)
        left = stretch.size
        while left > 0 and (piece := file.read(min(PIECE, left))):
            md5.update(piece)
            crc32 = zlib.crc32(piece, crc32)
            left -= len(piece)
        inode = os.fstat(file.fileno()).st_ino
    return Digests(inode, md5.hexdigest(), base64.b64encode(crc32.to_bytes(4, "big")).decode())


def known_digests(body: Any) -> Digests | None:
    """What was computed of mapped bytes before this request was handled."""
    known, whole = _digests.get(), mapping(body)
    return known if known and whole is not None and whole.inode == known.inode else None


def uploads_as_documented(uploads: UploadsOnDisk) -> None:
    """Join parts on disk; know tags, checksums of the full object and the least size of a part."""
    create, copy, replay = s3._create_multipart_upload, s3._upload_part_copy, s3._complete_multipart_upload
    copy_whole, checks, md5_hash = s3._copy_object, iam_actions.s3_additional_checks, s3.md5_hash

    def md5(body: Any) -> str:
        known = known_digests(body)
        return known.md5 if known else md5_hash(body)

    def create_upload(bucket_name: str, key: str, headers: dict[str, str]) -> Answer:
        status, answer_headers, answer = create(bucket_name, key, headers)
        if status == 200:
            (id,) = re.findall(rb"<UploadId>(.*?)</UploadId>", answer)
            upload = s3._multipart_uploads[id.decode()]
            upload["tags"] = {name: values[0] for name, values in parse_qs(headers.get("x-amz-tagging", "")).items()}
            if algorithm := upload["checksum_algorithm"]:
                usual = "FULL_OBJECT" if algorithm == "CRC64NVME" else "COMPOSITE"
                upload["checksum_type"] = headers.get("x-amz-checksum-type") or usual
                answer_headers["x-amz-checksum-type"] = upload["checksum_type"]
        return status, answer_headers, answer

    def copy_part(bucket_name: str, dest_key: str, query_params: dict, headers: dict[str, str]) -> Answer:
        answer = copy(bucket_name, dest_key, query_params, headers)
        if answer[0] != 200:
            return answer
        parts = s3._multipart_uploads[first(query_params["uploadId"])]["parts"]
        number = int(first(query_params["partNumber"]))
        part = parts[number]
        body: Any = part["body"]
        whole, ranged = mapping(body), headers.get("x-amz-copy-source-range")
        if ranged and (whole is None or len(whole) <= LEAST_PART):
            del parts[number]
            message = "The specified copy source is not supported as a byte-range copy source"
            return s3._error("InvalidRequest", message, 400)
        if algorithm := s3._multipart_uploads[first(query_params["uploadId"])]["checksum_algorithm"]:
            known = known_digests(body) if algorithm == "CRC32" else None
            part["checksums"] = {algorithm: known.crc32 if known else s3._compute_s3_checksum(algorithm, body)}
        if whole is not None:
            start = int(ranged.removeprefix("bytes=").split("-")[0]) if ranged else 0
            part["source"] = Stretch(whole.file, start, len(body))
        return answer

    def copy_object(bucket_name: str, dest_key: str, headers: dict[str, str]) -> Answer:
        if algorithm := headers.get("x-amz-checksum-algorithm"):  # else the source's checksum would be believed
            headers = {**headers, "x-amz-sdk-checksum-algorithm": algorithm}
        return copy_whole(bucket_name, dest_key, headers)

    def complete(bucket_name: str, key: str, body: bytes, query_params: dict, headers: dict | None = None) -> Answer:
        id = first(query_params["uploadId"])
        bucket, upload = s3._ensure_bucket(bucket_name), s3._multipart_uploads.get(id)
        if bucket is None or upload is None or (upload["bucket"], upload["key"]) != (bucket_name, key):
            return replay(bucket_name, key, body, query_params, headers)  # its errors, and its answer to a repetition
        refused = s3._check_put_preconditions(headers or {}, bucket["objects"].get(key))
        parts = list(parts_named(body))
        refused = refused or wrong_parts(upload, parts)
        if refused:
            return refused
        answer = completed(bucket, upload, id, [number for number, _ in parts], uploads)
        del s3._multipart_uploads[id]
        s3._completed_multipart_uploads[id] = {"key": key, "response": answer}
        return answer

    def additional_checks(method: str, path: str, headers: dict, body: bytes, query_params: dict) -> list:
        found = checks(method, path, headers, body, query_params)
        if "x-amz-tagging" in headers:
            found.append(("s3:PutObjectTagging", f"arn:aws:s3:::{path.strip('/')}"))
        return found

    s3.md5_hash = md5
    s3._create_multipart_upload = create_upload
    s3._upload_part_copy = copy_part
    s3._copy_object = copy_object
    s3._complete_multipart_upload = complete
    iam_actions.s3_additional_checks = additional_checks


def parts_named(body: bytes) -> Iterator[tuple[int, str]]:
    """The parts that a completion names: number and ETag."""
    for part in PART.findall(body):
        number = re.search(rb"<PartNumber>\s*(\d+)\s*<", part)
        etag = re.search(rb"<ETag>(.*?)</ETag>", part, re.DOTALL)
        if number:
            yield int(number[1]), (etag[1].decode() if etag else "").replace("&quot;", "").strip('"')


def wrong_parts(upload: Upload, parts: list[tuple[int, str]]) -> Answer | None:
    """S3's refusal of a completion that names these parts, or None."""
    numbers = [number for number, _ in parts]
    if not parts:
        return s3._error("MalformedXML", "The XML you provided was not well-formed.", 400)
    if numbers != sorted(set(numbers)):
        return s3._error("InvalidPartOrder", "The list of parts was not in ascending order.", 400)
    if any(
        number not in upload["parts"] or upload["parts"][number]["etag"].strip('"') != etag for number, etag in parts
    ):
        return s3._error("InvalidPart", "One or more of the specified parts could not be found.", 400)
    if any(upload["parts"][number]["size"] < LEAST_PART for number in numbers[:-1]):
        return s3._error("EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size.", 400)
    return None


def completed(bucket: dict[str, Any], upload: Upload, id: str, numbers: list[int], uploads: UploadsOnDisk) -> Answer:
    """Make an upload's object of these parts, in place of what was there."""
    name, key = upload["bucket"], upload["key"]
    parts = [upload["parts"][number] for number in numbers]
    digest = hashlib.md5(b"".join(bytes.fromhex(part["etag"].strip('"')) for part in parts)).hexdigest()
    checksums = checksum_of_whole(upload, parts)
    obj = {
        **{known: upload.get(known) for known in ("content_type", "content_encoding", "metadata")},
        "body": uploads.joined(id, parts),
        "etag": f'"{digest}-{len(parts)}"',
        "last_modified": responses.now_iso(),
        "size": sum(part["size"] for part in parts),
        "preserved_headers": upload.get("preserved_headers", {}),
        "storage_class": upload.get("storage_class") or "STANDARD",
        "parts": [{"PartNumber": number, "Size": upload["parts"][number]["size"]} for number in numbers],
        "checksums": checksums,
        "checksum_type": upload.get("checksum_type"),
    }
    prior = bucket["objects"].get(key)
    bucket["objects"][key] = obj
    version = s3._record_object_version(name, key, prior, obj, None)
    if tags := upload.get("tags"):
        s3._object_tags[name, key, version] = tags
    s3._persist_object(name, key, obj)
    if obj["body"] is not None:
        raise OSError(f"The object {key} could not be kept; the log says why.")
    made = "s3:ObjectCreated:CompleteMultipartUpload"
    s3._fire_s3_event_async(name, key, made, size=obj["size"], etag=obj["etag"], version_id=version)
    answer_headers = {"Content-Type": "application/xml", **s3._stored_sse_headers(obj)}
    if version:
        answer_headers["x-amz-version-id"] = version
    fields = {"Location": f"/{name}/{key}", "Bucket": name, "Key": key, "ETag": obj["etag"]}
    fields |= {f"Checksum{algorithm}": value for algorithm, value in checksums.items()}
    if checksums:
        fields["ChecksumType"] = upload["checksum_type"]
    inside = "".join(f"<{field}>{escape(value)}</{field}>" for field, value in fields.items())
    kind = "CompleteMultipartUploadResult"
    return 200, answer_headers, f'<{kind} xmlns="{s3.S3_NS}">{inside}</{kind}>'.encode()


def checksum_of_whole(upload: Upload, parts: list[dict[str, Any]]) -> dict[str, str]:
    """The object's checksum by its algorithm; nothing where the upload asked for none."""
    algorithm = upload["checksum_algorithm"]
    if not algorithm:
        return {}
    values = [part["checksums"][algorithm] for part in parts]
    if upload["checksum_type"] == "COMPOSITE":
        return {algorithm: s3._composite_checksum(algorithm, values) or ""}
    return {algorithm: full_object(algorithm, zip(values, [part["size"] for part in parts], strict=True))}

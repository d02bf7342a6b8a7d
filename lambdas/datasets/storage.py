"""A dataset's objects in S3: the uploaded file as a stream, and the small JSON files beside it."""

import hashlib
import io
from typing import Any

from lambdas.common import aws
from lambdas.common.environment import variable

MANIFEST = "manifest.json"
PREVIEW = "preview.json"
BUFFER = 1024 * 1024


class HashingReader(io.RawIOBase):
    """An S3 body as a raw stream that knows the SHA-256 of all that went through it."""

    def __init__(self, body: Any) -> None:
        self._body = body
        self._hash = hashlib.sha256()

    def readable(self) -> bool:
        """Return True, as io asks for."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read the next bytes; 0 at the end."""
        data = self._body.read(len(buffer))
        buffer[: len(data)] = data
        self._hash.update(data)
        return len(data)

    def sha256(self) -> str:
        """Return the hash of what was read so far."""
        return self._hash.hexdigest()


def open_file(key: str) -> tuple[HashingReader, io.BufferedReader]:
    """Return an object's bytes as a stream to read once, and the reader under it that hashes them."""
    body = aws.client("s3").get_object(Bucket=variable("DATASETS_BUCKET"), Key=key)["Body"]
    raw = HashingReader(body)
    return raw, io.BufferedReader(raw, BUFFER)


def read(key: str) -> bytes:
    """Return a small object whole."""
    return aws.client("s3").get_object(Bucket=variable("DATASETS_BUCKET"), Key=key)["Body"].read()


def write_json(key: str, content: str) -> None:
    """Store a JSON text."""
    aws.client("s3").put_object(
        Bucket=variable("DATASETS_BUCKET"), Key=key, Body=content.encode(), ContentType="application/json"
    )

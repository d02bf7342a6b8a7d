"""The changes to MiniStack's S3 by which large objects stay on disk. See emulator.

MiniStack keeps every version of an object in memory, reads an object whole and answers it in one piece. Here a large
object is mapped, not read, and answered in pieces; what it was before is a link to its file.
"""

from __future__ import annotations

import asyncio
import functools
import mmap
import os
from pathlib import Path
from typing import Any

from ministack.core import responses
from ministack.services import s3

from local.handlers import Answer, Handler
from local.streams import disconnected

NAMES: dict[str, dict[str, list[str] | None]] = {  # as in emulator_hooks
    "core.responses": {"StreamingResponse": ["runner"]},
    "services.s3": {
        "S3_PERSIST": None,
        "_atomic_write": ["fpath", "data", "text"],
        "_get_object_data": ["bucket_name", "key", "version_id"],
        "_object_disk_path": ["bucket", "key", "account_id"],
        "_persist_displaced_version": ["bucket_name", "key", "prior_obj", "versioning"],
        "_read_body": ["bucket_name", "key", "obj"],
        "_record_object_version": ["bucket_name", "key", "prior_obj", "obj", "data"],
        "_version_body": ["bucket", "bucket_name", "key", "v"],
        "_version_disk_path": ["bucket", "key", "version_id", "account_id"],
    },
}
MIB = 1024 * 1024
MAPPED_FROM = MIB  # smaller objects are read
PIECE = MIB  # of an answer


def keep_on_disk() -> None:
    """Map large objects instead of reading them, and keep no version's bytes in memory."""
    if not s3.S3_PERSIST:
        raise RuntimeError("Objects are kept on disk: set S3_PERSIST=1.")
    read_body, version_body, get_data = s3._read_body, s3._version_body, s3._get_object_data
    write, record, displace = s3._atomic_write, s3._record_object_version, s3._persist_displaced_version

    def mapped_body(bucket_name: str, key: str, obj: dict[str, Any]) -> Any:
        if obj.get("body") is None and obj["size"] >= MAPPED_FROM:
            return mapped(s3._object_disk_path(bucket_name, key))
        return read_body(bucket_name, key, obj)

    def mapped_version(bucket: dict, bucket_name: str, key: str, v: dict[str, Any]) -> Any:
        path = s3._version_disk_path(bucket_name, key, v["version_id"])
        if v.get("data") is None and v["size"] >= MAPPED_FROM and path and os.path.isfile(path):
            return mapped(path)
        return version_body(bucket, bucket_name, key, v)

    def data_in_memory(bucket_name: str, key: str, version_id: str | None = None) -> bytes | None:
        data = get_data(bucket_name, key, version_id)
        return bytes(data) if isinstance(data, memoryview) else data

    def atomic_write(fpath: str, data: Any, *, text: bool = False) -> None:
        if isinstance(data, Path):
            data.replace(fpath)
        else:
            write(fpath, data, text=text)

    def record_version(bucket_name: str, key: str, prior_obj: dict | None, obj: dict, data: Any) -> str | None:
        return record(bucket_name, key, prior_obj, obj, None)  # the object's file, or its version's, has them

    def displace_version(bucket_name: str, key: str, prior_obj: dict | None, versioning: str) -> None:
        path = s3._version_disk_path(bucket_name, key, (prior_obj or {}).get("version_id") or "null")
        if prior_obj is None or versioning != "Enabled" or prior_obj.get("body") is not None or path is None:
            displace(bucket_name, key, prior_obj, versioning)
            return
        Path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        Path(path).unlink(missing_ok=True)
        os.link(str(s3._object_disk_path(bucket_name, key)), path)  # an object's file is replaced, never written to

    s3._read_body = mapped_body
    s3._version_body = mapped_version
    s3._get_object_data = data_in_memory
    s3._atomic_write = atomic_write
    s3._record_object_version = record_version
    s3._persist_displaced_version = displace_version


class Mapped(mmap.mmap):
    """A file's bytes, mapped into memory."""

    file: Path
    inode: int


def mapped(path: str | None) -> memoryview:
    """The bytes of a file without reading them; slices of it read nothing either."""
    with open(str(path), "rb") as file:
        whole = Mapped(file.fileno(), 0, access=mmap.ACCESS_READ)
        whole.file, whole.inode = Path(str(path)), os.fstat(file.fileno()).st_ino
    return memoryview(whole)


def mapping(body: Any) -> Mapped | None:
    """The mapped file that these bytes are of; None for bytes in memory."""
    return body.obj if isinstance(body, memoryview) and isinstance(body.obj, Mapped) else None


def streaming(handler: Handler) -> Handler:
    """`handler`, answering mapped bytes piece by piece."""

    async def streaming(method: str, path: str, headers: dict, body: bytes, query: dict) -> Answer:
        status, answer_headers, answer = await handler(method, path, headers, body, query)
        if isinstance(answer, memoryview):
            answer = responses.StreamingResponse(functools.partial(send_pieces, answer))
        return status, answer_headers, answer

    return streaming


async def send_pieces(view: memoryview, send: Any, receive: Any) -> None:
    """Send mapped bytes as fast as the client takes them; stops when it is gone."""
    gone = asyncio.ensure_future(disconnected(receive))
    whole = mapping(view)
    try:
        for start in range(0, len(view), PIECE):
            piece = await asyncio.to_thread(bytes, view[start : start + PIECE])
            if gone.done():
                return
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            if whole is not None:
                whole.madvise(mmap.MADV_DONTNEED)  # or the whole object counts as ours in the end
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    finally:
        gone.cancel()

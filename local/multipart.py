"""Multipart uploads in progress, on disk as their parts come in: an upload goes on after the platform was killed.

Their parts are on disk only, so that an upload may be larger than the memory.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import uuid
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from local.handlers import Answer, Handler

PIECE = 1024 * 1024
Upload = dict[str, Any]  # MiniStack's record of an upload; parts are under "parts", each with its bytes under "body"


class UploadsOnDisk:
    """A folder per upload: upload.json, and for each part its bytes and what is known of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, id: str, upload: Upload) -> None:
        """Keep a new upload."""
        self.place(id).mkdir(parents=True, exist_ok=True)
        write(self.place(id) / "upload.json", json.dumps({**upload, "parts": {}}).encode())

    def save_part(self, id: str, number: int, part: dict[str, Any]) -> None:
        """Keep a part, whose "body" then is its file.

        What is known of it is written last, so that a part is there whole or not at all. The file's name tells it from
        an earlier or later part of the same number.
        """
        file = self.place(id) / f"{number}-{part['etag'].strip(chr(34))}.part"
        write(file, part["body"])
        part["body"] = file
        write(self.place(id) / f"{number}.json", json.dumps({**part, "body": file.name}).encode())

    def joined(self, id: str, parts: list[dict[str, Any]]) -> Path:
        """One file with the bytes of all parts; asked again for the same parts, the same file."""
        names = ",".join(part["etag"] for part in parts)
        file = self.place(id) / f"{hashlib.sha256(names.encode()).hexdigest()}.joined"
        if not file.exists():
            partial = file.with_name(f"{uuid.uuid4()}.new")
            with open(partial, "wb") as target:
                for part in parts:
                    with open(part["body"], "rb") as source:
                        shutil.copyfileobj(source, target, PIECE)
            partial.replace(file)
        return file

    def remove(self, id: str) -> None:
        """Forget an upload that was completed or given up."""
        shutil.rmtree(self.place(id), ignore_errors=True)

    def load(self) -> Iterator[tuple[str, Upload]]:
        """Every upload with its parts, as `save_part` leaves them."""
        for file in sorted(self.folder.glob("*/upload.json")):
            upload = json.loads(file.read_text())
            for known in file.parent.glob("[0-9]*.json"):
                part = json.loads(known.read_text())
                upload["parts"][int(known.stem)] = {**part, "body": file.with_name(part["body"])}
            yield file.parent.name, upload

    def place(self, id: str) -> Path:
        return self.folder / id


def write(file: Path, content: bytes | memoryview) -> None:
    """Replace a file whole."""
    partial = file.with_name(f"{file.name}.{uuid.uuid4()}.new")
    partial.write_bytes(content)
    partial.replace(file)


def keeping_uploads(handler: Handler, uploads: Any, kept: UploadsOnDisk) -> Handler:
    """S3's `handler`, keeping what it changes of the `uploads` in progress (a mapping by id) before it answers."""
    completing: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def keeping(method: str, path: str, headers: dict, body: bytes, query: dict) -> Answer:
        if method == "POST" and "uploads" in query:
            before = set(uploads)
            answer = await handler(method, path, headers, body, query)
            for id in set(uploads) - before:
                await asyncio.to_thread(kept.save, id, uploads[id])
            return answer
        id = first(query["uploadId"]) if "uploadId" in query else ""
        if id and method == "POST":
            async with completing[id]:  # who asks again gets the answer of the first, when that is done
                answer = await complete(method, path, headers, body, query)
            completing.pop(id, None)
            return answer
        answer = await handler(method, path, headers, body, query)
        if id and id not in uploads:
            await asyncio.to_thread(kept.remove, id)
        elif id and method == "PUT" and answer[0] == 200:
            number = int(first(query["partNumber"]))
            await asyncio.to_thread(kept.save_part, id, number, uploads[id]["parts"][number])
        return answer

    async def complete(method: str, path: str, headers: dict, body: bytes, query: dict) -> Answer:
        id = first(query["uploadId"])
        parts = [part for _, part in sorted(uploads[id]["parts"].items())] if id in uploads else []
        if parts:  # joined beforehand, in a thread: the handler does not give way to other requests
            await asyncio.to_thread(kept.joined, id, parts)
        answer = await handler(method, path, headers, body, query)
        if id not in uploads:
            await asyncio.to_thread(kept.remove, id)
        return answer

    return keeping


def first(value: Any) -> str:
    """The value of a query parameter, which the emulator gives as a list."""
    return value[0] if isinstance(value, list) else value

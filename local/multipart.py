"""Multipart uploads in progress, on disk as their parts come in: an upload goes on after the platform was killed."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from local.handlers import Answer, Handler

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
        """Keep a part; what is known of it is written last, so that a part is there whole or not at all."""
        write(self.place(id) / f"{number}.part", part["body"])
        known = {name: value for name, value in part.items() if name != "body"}
        write(self.place(id) / f"{number}.json", json.dumps(known).encode())

    def remove(self, id: str) -> None:
        """Forget an upload that was completed or given up."""
        shutil.rmtree(self.place(id), ignore_errors=True)

    def load(self) -> Iterator[tuple[str, Upload]]:
        """Every upload with its parts, as MiniStack keeps them."""
        for file in sorted(self.folder.glob("*/upload.json")):
            upload = json.loads(file.read_text())
            for known in file.parent.glob("[0-9]*.json"):
                body = known.with_suffix(".part").read_bytes()
                upload["parts"][int(known.stem)] = {"body": body, **json.loads(known.read_text())}
            yield file.parent.name, upload

    def place(self, id: str) -> Path:
        return self.folder / id


def write(file: Path, content: bytes) -> None:
    """Replace a file whole."""
    partial = file.with_name(file.name + ".new")
    partial.write_bytes(content)
    partial.replace(file)


def keeping_uploads(handler: Handler, uploads: Any, kept: UploadsOnDisk) -> Handler:
    """S3's `handler`, keeping what it changes of the `uploads` in progress (a mapping by id) before it answers."""

    async def keeping(method: str, path: str, headers: dict, body: bytes, query: dict) -> Answer:
        if method == "POST" and "uploads" in query:
            before = set(uploads)
            answer = await handler(method, path, headers, body, query)
            for id in set(uploads) - before:
                await asyncio.to_thread(kept.save, id, uploads[id])
            return answer
        answer = await handler(method, path, headers, body, query)
        if "uploadId" in query and method in ("PUT", "POST", "DELETE"):
            id = first(query["uploadId"])
            if id not in uploads:
                await asyncio.to_thread(kept.remove, id)
            elif method == "PUT" and answer[0] == 200:
                number = int(first(query["partNumber"]))
                await asyncio.to_thread(kept.save_part, id, number, uploads[id]["parts"][number])
        return answer

    return keeping


def first(value: Any) -> str:
    """The value of a query parameter, which the emulator gives as a list."""
    return value[0] if isinstance(value, list) else value

"""Multipart uploads in progress, on disk as their parts come in: an upload goes on after the platform was killed.

Their parts are on disk only, so that an upload may be larger than the memory.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import uuid
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, BinaryIO

from local.handlers import Answer, Handler

PIECE = 1024 * 1024
Upload = dict[str, Any]  # MiniStack's record of an upload; parts are under "parts", each with its bytes under "body"


@dataclass(frozen=True)
class Stretch:
    """Bytes `[offset, offset + size)` of a file: the body of a part that is on disk."""

    file: Path
    offset: int
    size: int


class UploadsOnDisk:
    """A folder per upload: upload.json, for each part what is known of it, and their bytes.

    Parts of one size, as most are, lie in one file where they will be in the object, so that nothing is left to join.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, id: str, upload: Upload) -> None:
        """Keep a new upload."""
        self.place(id).mkdir(parents=True, exist_ok=True)
        write(self.place(id) / "upload.json", json.dumps({**upload, "parts": {}}).encode())

    def save_part(self, id: str, number: int, part: dict[str, Any]) -> None:
        """Keep a part, whose "body" then is on disk; one that S3 copied has the stretch it is of as "source".

        What is known of it is written last, so that a part is there whole or not at all.
        """
        known = self.place(id) / f"{number}.json"
        source: Stretch | None = part.pop("source", None)
        if source:
            file = self.place(id) / f"{number}-{uuid.uuid4()}.source"
            os.link(source.file, file)  # the object's bytes stay, whatever becomes of the object
            part["body"] = Stretch(file, source.offset, source.size)
        else:
            part["body"] = self.store(id, number, part["body"], again=known.exists())
        write(known, json.dumps({**part, "body": {**asdict(part["body"]), "file": part["body"].file.name}}).encode())

    def store(self, id: str, number: int, body: bytes, again: bool) -> Stretch:
        """Write a part's bytes where they will be in the object, if all parts before have the size of the first one.

        One that comes again is written elsewhere: until it is there, the one before it is.
        """
        sized = sorted(self.place(id).glob("*.parts")) or [self.place(id) / f"{len(body)}.parts"]
        size = int(sized[0].stem)
        if again or len(body) > size:
            file = self.place(id) / f"{number}-{uuid.uuid4()}.part"
            file.write_bytes(body)
            return Stretch(file, 0, len(body))
        descriptor = os.open(sized[0], os.O_WRONLY | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.seek((number - 1) * size)
            file.write(body)
        return Stretch(sized[0], (number - 1) * size, len(body))

    def joined(self, id: str, parts: list[dict[str, Any]]) -> Path:
        """One file with the bytes of all parts; asked again for the same parts, the same file."""
        bodies: list[Stretch] = [part["body"] for part in parts]
        ends = list(accumulate((body.size for body in bodies), initial=0))
        first = bodies[0].file
        if all((body.file, body.offset) == (first, at) for body, at in zip(bodies, ends[:-1], strict=True)) and (
            first.suffix == ".parts" and first.stat().st_size == ends[-1]
        ):
            return first
        names = ",".join(part["etag"] for part in parts)
        file = self.place(id) / f"{hashlib.sha256(names.encode()).hexdigest()}.joined"
        if not file.exists():
            partial = file.with_name(f"{uuid.uuid4()}.new")
            with open(partial, "wb") as target:
                for body in bodies:
                    append(target, body)
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
                body = Stretch(**{**part["body"], "file": file.with_name(part["body"]["file"])})
                upload["parts"][int(known.stem)] = {**part, "body": body}
            yield file.parent.name, upload

    def place(self, id: str) -> Path:
        return self.folder / id


def write(file: Path, content: bytes) -> None:
    """Replace a file whole."""
    partial = file.with_name(f"{file.name}.{uuid.uuid4()}.new")
    partial.write_bytes(content)
    partial.replace(file)


def append(target: BinaryIO, body: Stretch) -> None:
    """Append the bytes of a part."""
    with open(body.file, "rb") as source:
        source.seek(body.offset)
        left = body.size
        while left:
            piece = source.read(min(PIECE, left))
            if not piece:
                raise OSError(f"{body.file} is shorter than the part in it.")
            target.write(piece)
            left -= len(piece)


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

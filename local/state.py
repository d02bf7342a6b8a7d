"""Durability: a journal of DynamoDB writes, and snapshots of every other service soon after it changed.

The emulator keeps everything in memory and saves at a graceful stop only. Here a DynamoDB write is in the journal
before its answer is sent, so a killed process loses none; other services may lose their last second or two.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Any

logger = logging.getLogger("slipway.state")

TICK_SECONDS = 0.5
SHARE_OF_TIME = 20  # a service is saved at most one twentieth of the time
JOURNAL_BYTES = 32 * 1024 * 1024  # past this the tables are written out and the journal starts anew


class Journal:
    """Append-only files of JSON lines, one per generation; a snapshot names the generation that follows it."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.name = name
        self.generation = max(self.generations(), default=0)
        self.file = self.opened()
        self.drop_torn_line()

    def close(self) -> None:
        """Close the file; what was appended is safe already."""
        self.file.close()

    def opened(self) -> FileIO:
        """The current generation's file, without a buffer."""
        return FileIO(self.path(self.generation), "ab")

    def path(self, generation: int) -> Path:
        return self.folder / f"{self.name}-{generation:08d}.journal"

    def generations(self) -> list[int]:
        """The generations on disk, oldest first."""
        pattern = re.compile(re.escape(self.name) + r"-(\d{8})\.journal")
        return sorted(int(m[1]) for file in self.folder.iterdir() if (m := pattern.fullmatch(file.name)))

    def drop_torn_line(self) -> None:
        """Cut a half-written last line: its request was never answered."""
        content = self.path(self.generation).read_bytes()
        os.ftruncate(self.file.fileno(), content.rfind(b"\n") + 1)

    def append(self, record: dict[str, Any]) -> None:
        """Hand one record to the operating system, which keeps it when this process is killed."""
        line = json.dumps(record, separators=(",", ":")).encode() + b"\n"
        if self.file.write(line) != len(line):
            raise OSError(f"The journal {self.file.name} takes no more data; is the disk full?")

    def rotate(self) -> int:
        """Start a new generation and return it. Call it at the instant the snapshot is taken."""
        self.file.close()
        self.generation += 1
        self.file = self.opened()
        return self.generation

    def size(self) -> int:
        """Bytes in the current generation."""
        return self.file.tell()

    def records(self, first_generation: int) -> Iterator[dict[str, Any]]:
        """The records since the snapshot that named `first_generation`, in the order they were written."""
        for generation in self.generations():
            if generation >= first_generation:
                with open(self.path(generation), "rb") as file:
                    for line in file:
                        yield json.loads(line)

    def drop_before(self, generation: int) -> None:
        """Delete what a saved snapshot already holds."""
        for old in self.generations():
            if old < generation:
                self.path(old).unlink()


@dataclass
class Snapshots:
    """Saves the services that changed, off the request path. Everything here runs on the event loop's thread,
    except `mark`, which any thread may call."""

    folder: Path
    sources: Callable[[], dict[str, Callable[[], Any]]]  # name of a loaded service -> its whole state, copied
    encode: Callable[[str, Any], str]  # (name, state) -> the text of its file
    saved: Callable[[str, Any], None]  # told after a state is on disk
    dirty: set[str] = field(default_factory=set)
    not_before: dict[str, float] = field(default_factory=dict)
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)

    def mark(self, name: str) -> None:
        """Say that the service changed."""
        self.dirty.add(name)

    async def keep(self, each_tick: Callable[[], None]) -> None:
        """Save what is dirty, for ever."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            each_tick()
            due = {name for name in self.dirty if self.not_before.get(name, 0.0) <= time.monotonic()}
            await self.save(due)

    async def save_all(self) -> None:
        """Save every loaded service now."""
        await self.save(set(self.sources()))

    async def save(self, names: set[str]) -> None:
        """Save these services. One whose state cannot be copied right now stays dirty and is tried again."""
        async with self.writing:
            sources = self.sources()
            for name in sorted(names):
                self.dirty.discard(name)
                if name not in sources:
                    continue
                began = time.monotonic()
                try:
                    state = sources[name]()
                except RuntimeError as error:  # a background thread changed a dictionary while it was copied
                    logger.info("The state of %s is changing (%s); it is saved at the next turn.", name, error)
                    self.dirty.add(name)
                    continue
                if state is not None:
                    await asyncio.to_thread(self.write, name, state)
                    self.saved(name, state)
                taken = time.monotonic() - began
                self.not_before[name] = time.monotonic() + taken * SHARE_OF_TIME

    def write(self, name: str, state: Any) -> None:
        """Replace the service's file whole."""
        partial = self.folder / f"{name}.json.part"
        with open(partial, "w") as file:
            file.write(self.encode(name, state))
        os.replace(partial, self.folder / f"{name}.json")

"""Function workers on a small machine: code is unpacked once, and a burst waits for a warm worker.

The emulator unpacks the bundle for every worker and starts one for every concurrent call. Each start costs about a
second of processor time, so a burst of ten events would keep two cores busy for ten seconds. And more calls than the
machine can answer must not become starts that keep it from answering any: they wait their turn.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

WIDTH = max(2, (os.cpu_count() or 2) // 2)  # workers of one function that start without waiting
PATIENCE_SECONDS = 2.0  # then one more is started all the same, so that functions may wait for each other

Acquire = Callable[..., tuple[Any, str | None]]
Release = Callable[[Any], None]

_unpacking = threading.Lock()


class SharedCode(zipfile.ZipFile):
    """A function's code, unpacked once per content; `extractall` makes the wanted folder a link to that."""

    def extractall(self, path: Any = None, members: Any = None, pwd: bytes | None = None) -> None:
        """Make `path`, an empty folder, lead to the unpacked code."""
        wanted = Path(path)
        with _unpacking:
            unpacked = self.unpacked(Path(tempfile.gettempdir()) / "code")
        wanted.rmdir()
        wanted.symlink_to(unpacked, target_is_directory=True)

    def unpacked(self, folder: Path) -> Path:
        """The folder with the unpacked code."""
        with open(str(self.filename), "rb") as file:
            place = folder / hashlib.file_digest(file, "sha256").hexdigest()
        if not place.exists():
            folder.mkdir(exist_ok=True)
            partial = Path(tempfile.mkdtemp(dir=folder))
            super().extractall(partial)
            partial.rename(place)
        return place


def taking_turns(acquire: Acquire, release: Release) -> tuple[Acquire, Release]:
    """MiniStack's functions to lease and return a worker, waiting for a warm one before starting many.

    Past the width, a function gets one more worker in PATIENCE_SECONDS, however many wait.
    """
    freed = threading.Condition()
    added: dict[str, float] = {}  # when a function got its last worker past the width

    def patient(name: str, config: dict, code: bytes, qualifier: str = "$LATEST", max_concurrency: int | None = None):
        began = time.monotonic()
        with freed:
            while True:
                worker, how = acquire(name, config, code, qualifier=qualifier, max_concurrency=WIDTH)
                if worker is not None:
                    return worker, how
                patience = max(began, added.get(name, began)) + PATIENCE_SECONDS - time.monotonic()
                if patience <= 0:
                    added[name] = time.monotonic()
                    break
                freed.wait(patience)
        return acquire(name, config, code, qualifier=qualifier, max_concurrency=max_concurrency)

    def release_and_tell(worker: Any) -> None:
        release(worker)
        with freed:
            freed.notify_all()

    return patient, release_and_tell


def killing_when_done(kill: Callable[[list[Any]], None]) -> Callable[[list[Any]], None]:
    """MiniStack's function that ends workers, letting those finish that answer a request at this moment.

    A function whose configuration changes, or one of whose workers died, gets new ones; on AWS, too, what the old ones
    have begun they end, with its log.
    """

    def finish(worker: Any) -> None:
        with worker._lock:  # held for as long as it answers
            pass
        kill([worker])

    def kill_when_done(workers: list[Any]) -> None:
        busy = [worker for worker in workers if worker is not None and worker._lock.locked()]
        kill([worker for worker in workers if worker not in busy])
        for worker in busy:
            threading.Thread(target=finish, args=(worker,), daemon=True, name="worker-end").start()

    return kill_when_done

"""Function workers share code and take turns.  Run: pytest tests/local/test_workers.py -q"""

from __future__ import annotations

import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from local import workers
from tests.local.small import Small


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(workers.tempfile, "tempdir", str(tmp_path))
    return tmp_path


def archive(folder: Path, name: str, content: str) -> Path:
    path = folder / name
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("package/module.py", content)
    return path


def test_same_code_is_unpacked_once(scratch: Path) -> None:
    for number, content in enumerate(["same", "same", "other"]):
        place = scratch / f"worker-{number}"
        place.mkdir()
        with workers.SharedCode(archive(scratch, f"{number}.zip", content)) as code:
            code.extractall(place)
        assert (place / "package/module.py").read_text() == content
    assert len(list((scratch / "code").iterdir())) == 2


class Pool:
    """MiniStack's pool in small: a worker is a number."""

    def __init__(self) -> None:
        self.free: list[int] = []
        self.started = 0
        self.lock = threading.Lock()

    def acquire(
        self, name: str, config: Any, code: bytes, qualifier: str = "", max_concurrency: int | None = None
    ) -> Any:
        with self.lock:
            if self.free:
                return self.free.pop(), "reused"
            if max_concurrency and self.started >= max_concurrency:
                return None, "func_cap"
            self.started += 1
            return self.started, "spawn"

    def release(self, worker: int) -> None:
        with self.lock:
            self.free.append(worker)


def test_burst_is_served_by_few_workers() -> None:
    pool = Pool()
    acquire, release = workers.taking_turns(pool.acquire, pool.release)

    def call(turn: int) -> None:
        worker, _ = acquire("f", {}, b"")
        time.sleep(0.005)
        release(worker)

    with ThreadPoolExecutor(20) as threads:
        list(threads.map(call, range(60)))
    assert pool.started == workers.WIDTH


def test_functions_that_wait_for_each_other_get_another_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "PATIENCE_SECONDS", 0.05)
    pool = Pool()
    acquire, _ = workers.taking_turns(pool.acquire, pool.release)
    held = [acquire("f", {}, b"")[0] for _ in range(workers.WIDTH + 1)]  # none is given back
    assert len(set(held)) == workers.WIDTH + 1


def test_more_calls_than_are_answered_start_one_worker_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "PATIENCE_SECONDS", 0.2)
    pool, over = Pool(), threading.Event()
    acquire, release = workers.taking_turns(pool.acquire, pool.release)

    def call(turn: int) -> None:
        worker, _ = acquire("f", {}, b"")
        over.wait(10)
        release(worker)

    with ThreadPoolExecutor(20) as threads:
        began = time.monotonic()
        calls = [threads.submit(call, turn) for turn in range(20)]
        while pool.started < workers.WIDTH + 3:
            assert time.monotonic() < began + 10
            time.sleep(0.01)
        took, started = time.monotonic() - began, pool.started
        over.set()
        for each in calls:
            each.result()
    assert started == workers.WIDTH + 3 and took >= 3 * 0.2
    assert pool.started <= workers.WIDTH + 4, "what was answered made room"


def test_burst_of_calls_on_the_platform(small: Small) -> None:
    client = small.client("lambda")
    with ThreadPoolExecutor(16) as threads:
        answers = list(
            threads.map(lambda _: client.invoke(FunctionName=small.stack["Silent"], Payload=b"{}"), range(64))
        )
    assert [answer["StatusCode"] for answer in answers] == [200] * 64
    started = (small.home / "platform.log").read_text().count(f"worker spawned for {small.stack['Silent']}")
    assert started <= workers.WIDTH


class Busy:
    """A worker as MiniStack has it: its lock is held while it answers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()


def test_a_worker_that_answers_is_ended_once_it_has() -> None:
    idle, busy = Busy(), Busy()
    ended: list[list[Busy]] = []
    told = threading.Condition()

    def kill(given: list[Busy]) -> None:
        with told:
            ended.append(given)
            told.notify_all()

    with busy._lock:
        workers.killing_when_done(kill)([idle, busy])
        assert ended == [[idle]]
    with told:
        assert told.wait_for(lambda: ended == [[idle], [busy]], 10)

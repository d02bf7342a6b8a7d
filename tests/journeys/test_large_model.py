"""A large model, up in parts and down as one ZIP: its bytes pass S3, not our functions.

`pytest tests/journeys/test_large_model.py -s`, and with `-m slow` 5 GiB.
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import struct
import subprocess
import threading
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import requests

from local.api_client import ApiClient
from tests.local.small import eventually
from tests.platform import Platform

MIB = 1024 * 1024
NOISE = random.Random(5).randbytes(16 * MIB + 13)  # of no part's length, so that no two parts are alike
SENDERS = 4
MOST_OF_WORKER = 400 * MIB
MOST_OF_PLATFORM = 1536 * MIB


class Weights:
    """A safetensors file of a given size that is never in memory whole: a header, and noise."""

    def __init__(self, size: int) -> None:
        tensors = {"weight": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}}
        room = len(json.dumps(tensors)) + 24
        data = size - 8 - room
        tensors["weight"] |= {"shape": [data], "data_offsets": [0, data]}
        self.header = struct.pack("<Q", room) + json.dumps(tensors).encode().ljust(room)
        self.size = size

    def read(self, offset: int, size: int) -> bytes:
        """Bytes `[offset, offset + size)`."""
        head = self.header[offset : offset + size]
        start = (offset + len(head)) % len(NOISE)
        rest = size - len(head)
        return head + (NOISE[start:] + NOISE * (rest // len(NOISE) + 1))[:rest]

    def sha256(self) -> str:
        digest = hashlib.sha256()
        for offset in range(0, self.size, 16 * MIB):
            digest.update(self.read(offset, min(16 * MIB, self.size - offset)))
        return digest.hexdigest()


class Memory(threading.Thread):
    """The most memory of its own that the platform's process takes meanwhile, and that any of its workers takes."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid, self.over = pid, threading.Event()
        self.platform = self.mapped = self.worker = 0

    def run(self) -> None:
        while not self.over.wait(0.1):
            self.platform = max(self.platform, resident(self.pid, "RssAnon"))
            self.mapped = max(self.mapped, resident(self.pid, "RssFile"))
            self.worker = max([self.worker, *(resident(child, "VmRSS") for child in children(self.pid))])

    def __enter__(self) -> Memory:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.over.set()
        self.join()


def resident(pid: int, kind: str) -> int:
    """Bytes of a process in memory; 0 for one that has ended."""
    try:
        fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(fields.get(kind, "0 kB").split()[0]) * 1024


def children(pid: int) -> list[int]:
    """The processes that a process started: the functions' workers."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").glob("*/children"))
        return [int(child) for task in tasks for child in task.read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def send(weights: Weights, plan: dict[str, Any]) -> None:
    """PUT every part to S3, a few at once."""

    def put(part: dict[str, Any]) -> None:
        body = weights.read(part["offset"], part["size"])
        requests.put(part["url"], data=body, timeout=120).raise_for_status()

    with ThreadPoolExecutor(SENDERS) as pool:
        list(pool.map(put, plan["parts"]))


def redirected(api: ApiClient, path: str) -> str:
    """Where S3 answers a download, asked for until it is made."""
    while True:
        answer = api.request("GET", path, allow_redirects=False)
        if answer.status_code != 503:
            assert answer.status_code == 302, answer.text
            return answer.headers["Location"]
        time.sleep(float(answer.headers["Retry-After"]))


def logged(platform: Platform, message: str, since: float) -> list[dict[str, Any]]:
    """The functions' log lines of this message since a moment."""
    logs, found = platform.client("logs"), []
    for group in logs.describe_log_groups()["logGroups"]:
        pages = logs.get_paginator("filter_log_events").paginate(
            logGroupName=group["logGroupName"], startTime=int(since * 1000)
        )
        lines = [event["message"] for page in pages for event in page["events"] if f'"{message}"' in event["message"]]
        found += [json.loads(line[line.index("{") :]) for line in lines]
    return [line for line in found if line.get("message") == message]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the memory of a process is not told here")
@pytest.mark.parametrize(
    "size", [64 * MIB, pytest.param(5 * 1024 * MIB, marks=pytest.mark.slow)], ids=["64 MiB", "5 GiB"]
)
def test_a_large_model_goes_up_and_comes_down_past_our_functions(
    platform: Platform, new_user: Callable[..., ApiClient], tmp_path: Path, size: int
) -> None:
    api, weights, config = new_user(), Weights(size), b'{"architectures": ["Bert"]}'
    began = time.time()
    with Memory(platform.process.pid) as memory:
        times = [time.perf_counter()]
        model = upload(api, weights, config)
        times.append(time.perf_counter())
        version = scanned(api, model)
        times.append(time.perf_counter())
        path = f"/ai-models/{api.username}/large"
        url = redirected(api, f"{path}/download?version={version['version']}")
        times.append(time.perf_counter())
        file = tmp_path / "large.zip"
        with requests.get(url, stream=True, timeout=120) as answer, file.open("wb") as target:
            answer.raise_for_status()
            for piece in answer.iter_content(MIB):
                target.write(piece)
        times.append(time.perf_counter())
    assert (version["status"], version["verdict"]) == ("ready", "clean"), version
    wanted = weights.sha256()
    assert read_back(file) == {"model.safetensors": wanted, "config.json": hashlib.sha256(config).hexdigest()}
    hashes = {stored["filename"]: stored["file_hash"] for stored in version["files"]}
    assert hashes["model.safetensors"] in (wanted, None if size > 1024 * MIB else wanted)

    (made,) = eventually(lambda: logged(platform, "archive made", began))  # the object is there before the line
    read = sum(line["bytes"] for line in logged(platform, "scanned", began))
    moved = size + made["size"] + file.stat().st_size
    file.unlink()
    up, scan, make, down = (after - before for before, after in pairwise(times))
    print(
        f"\n{size / MIB:,.0f} MiB: up {up:.1f} s, scanned {scan:.1f} s, ZIP {make:.1f} s, down {down:.1f} s"
        f"\nthrough functions: {made['bytes_sent']:,} for the ZIP, {read:,} for the scan, of {moved:,} moved: "
        f"{(made['bytes_sent'] + read) / moved:.6f}"
        f"\nmemory: worker {memory.worker / MIB:.0f} MiB, platform {memory.platform / MIB:.0f} MiB of its own "
        f"and {memory.mapped / MIB:.0f} MiB of mapped files"
    )
    assert made["bytes_sent"] < 6 * MIB
    assert size <= 1024 * MIB or (made["bytes_sent"] + read) / moved <= 0.001  # smaller ones are read whole for a hash
    assert memory.worker < MOST_OF_WORKER
    assert memory.platform < MOST_OF_PLATFORM


def upload(api: ApiClient, weights: Weights, config: bytes) -> dict[str, Any]:
    """Register a version of two files by an upload plan."""
    files = [
        {"filename": "config.json", "size": len(config)},
        {"filename": "model.safetensors", "size": weights.size, "is_primary": True},
    ]
    request = {"model_id": "large", "name": "Large", "framework": "huggingface", "model_type": "nlp", "files": files}
    started = api.call("POST", "/ai-models/uploads", request)
    api.upload_parts(config, started["uploads"]["config.json"])
    send(weights, started["uploads"]["model.safetensors"])
    return api.call("POST", f"/ai-models/uploads/{started['model']['id']}/complete")


def scanned(api: ApiClient, model: dict[str, Any]) -> dict[str, Any]:
    """The version once its scan is over."""
    return api.wait(f"/ai-models/{api.username}/large?version={model['version']}", "ready", "blocked", "failed")


def read_back(file: Path) -> dict[str, str]:
    """The SHA-256 of each file in a ZIP, which other programs find no fault with."""
    if shutil.which("unzip"):
        subprocess.run(["unzip", "-tq", file], check=True, capture_output=True)
    found = {}
    with zipfile.ZipFile(file) as archive:
        for name in archive.namelist():
            digest = hashlib.sha256()
            with archive.open(name) as member:
                while chunk := member.read(4 * MIB):
                    digest.update(chunk)
            found[name] = digest.hexdigest()
    return found

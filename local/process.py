"""Start, find and stop the platform's background process."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from local import program
from local.home import REGION, REPOSITORY, Home, PlatformError

START_SECONDS = 60.0
STOP_SECONDS = 20.0
DEFAULT_PORT = 8700
LEFT_BEHIND = ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "TMPDIR")


@dataclass(frozen=True)
class Running:
    """The background process as platform.json records it."""

    pid: int
    started: str
    emulator_port: int
    port: int
    ready: bool

    @property
    def identity(self) -> dict[str, Any]:
        """What is true of this process and of no other, also when its id is used again."""
        return {"pid": self.pid, "started": self.started}

    @property
    def emulator_url(self) -> str:
        return f"http://127.0.0.1:{self.emulator_port}"

    @property
    def api_url(self) -> str:
        return f"http://localhost:{self.port}/api"


def started_at(pid: int) -> str | None:
    """When the process `pid` started, as an opaque text, or None when there is no such process.

    With the pid it names one process for ever: pids are used again, start times are not.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        dead = fields[0] == "Z" and len(os.listdir(f"/proc/{pid}/task")) == 1  # its last thread frees the ports
        return None if dead else fields[19]
    except (FileNotFoundError, ProcessLookupError):
        if Path("/proc/self/stat").exists():
            return None
    shown = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return shown.stdout.strip() or None


def running(home: Home) -> Running | None:
    """The platform's process, or None when it is not alive, whatever platform.json says."""
    recorded = home.read("platform.json")
    if recorded is None:
        return None
    process = Running(**recorded)
    return process if started_at(process.pid) == process.started else None


def start(home: Home) -> Running:
    """Start the background process and wait until it answers. Raises PlatformError."""
    clear_left_overs(home)
    front = listen(requested_port(home), "SLIPWAY_PORT")
    emulator = listen_where_before(home)
    ports = {"emulator_port": emulator.getsockname()[1], "port": front.getsockname()[1]}
    shutil.rmtree(home.temporary, ignore_errors=True)
    for folder in (home.temporary, home.state, home.objects, home.sagemaker):
        folder.mkdir(parents=True, exist_ok=True)
    reading, writing = os.pipe()
    descriptors = (emulator.fileno(), front.fileno(), writing)
    with open(home.log, "ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "local.server", *map(str, descriptors)],
            cwd=REPOSITORY,
            env=child_environment(home, **ports),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=descriptors,
            start_new_session=True,
        )
    child.returncode = 0  # it is meant to live on: Popen shall not complain when this object goes
    os.close(writing)
    process = Running(pid=child.pid, started=started_at(child.pid) or "", **ports, ready=False)
    home.write("platform.json", asdict(process))
    for listening in (emulator, front):
        listening.close()
    failure = first_word(reading)
    if failure is not None:
        stop(home)
        raise PlatformError(failure or f"The platform did not start; {home.log} says why.")
    ready = Running(**{**asdict(process), "ready": True})
    home.write("platform.json", asdict(ready))
    home.write("ports.json", ports)
    program.record(home, ready.identity)
    return ready


def stop(home: Home) -> bool:
    """Stop the platform and everything it started; False when it was not running. Saved state stays."""
    process = running(home)
    if process is not None:
        os.kill(process.pid, signal.SIGTERM)
        if not gone(process, STOP_SECONDS):
            print(
                f"Not stopped in {STOP_SECONDS:.0f} seconds, so killed; {home.log} says where it hung.", file=sys.stderr
            )
            os.kill(process.pid, signal.SIGUSR1)  # it writes what its threads do to the log
            gone(process, 1.0)
            os.kill(process.pid, signal.SIGKILL)
            gone(process, STOP_SECONDS)
    clear_left_overs(home)
    return process is not None


def gone(process: Running, seconds: float) -> bool:
    """Wait for the process to end; False when it is still there after `seconds`."""
    deadline = time.monotonic() + seconds
    while started_at(process.pid) == process.started:
        if time.monotonic() > deadline:
            return False
        with contextlib.suppress(ChildProcessError):  # it is our child only when we started it
            os.waitpid(process.pid, os.WNOHANG)
        time.sleep(0.02)
    return True


def clear_left_overs(home: Home) -> None:
    """Kill what a dead platform process left behind in its process group, and forget the process."""
    recorded = home.read("platform.json")
    if recorded is None:
        return
    group = recorded["pid"]
    if started_at(group) == recorded["started"]:
        raise PlatformError(f"The platform is still running as process {group}; run `make down` first.")
    if started_at(group) is None:  # otherwise the pid, and so the group, is another program's by now
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
    home.remove("platform.json")


def requested_port(home: Home) -> int:
    """The front door's port: SLIPWAY_PORT, else the one used last, else 8700."""
    if "SLIPWAY_PORT" in os.environ:
        return int(os.environ["SLIPWAY_PORT"])
    return (home.read("ports.json") or {}).get("port", DEFAULT_PORT)


def listen_where_before(home: Home) -> socket.socket:
    """A listening socket for the emulator: its last port when that is free, so that exported settings stay true."""
    last = (home.read("ports.json") or {}).get("emulator_port", 0)
    try:
        return listen(last, "")
    except PlatformError:
        return listen(0, "")


def listen(port: int, variable: str) -> socket.socket:
    """A socket listening on 127.0.0.1; port 0 takes a free one. Raises PlatformError when the port is in use."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listening.bind(("127.0.0.1", port))
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise PlatformError(f"Port {port} is in use; set {variable} to another one, or to 0 for a free one.") from error
    return listening


def child_environment(home: Home, emulator_port: int, port: int) -> dict[str, str]:
    """The background process's environment: the emulator's settings, and no AWS setting of the person's own."""
    key = home.root_key()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    for name in LEFT_BEHIND:
        kept.pop(name, None)
    return kept | {
        "SLIPWAY_HOME": str(home.path),
        "SLIPWAY_S3_ENDPOINT": f"http://127.0.0.1:{port}",
        "TMPDIR": str(home.temporary),
        "AWS_ACCESS_KEY_ID": key["access_key_id"],
        "AWS_SECRET_ACCESS_KEY": key["secret_access_key"],
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{emulator_port}",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "GATEWAY_PORT": str(emulator_port),
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "localhost",
        "MINISTACK_REGION": REGION,
        "AUTH": "true",
        "PERSIST_STATE": "1",
        "STATE_DIR": str(home.state),
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(home.objects),
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
        "DOCKER_HOST": f"unix://{home.path}/no-docker.sock",  # the emulator must not touch the person's containers
    }


def first_word(reading: int) -> str | None:
    """None when the child says it is ready; otherwise what it says went wrong, or nothing at all."""
    with os.fdopen(reading) as pipe:
        readable, _, _ = select.select([pipe], [], [], START_SECONDS)
        line = pipe.readline() if readable else ""
    return None if line and json.loads(line)["ready"] else (json.loads(line)["error"] if line else "")

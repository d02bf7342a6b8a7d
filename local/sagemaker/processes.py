"""Operating-system processes that stand in for containers: clean start, orderly stop, and no survivors."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from io import FileIO
from pathlib import Path

from local.process import started_at

LAUNCHER = Path(__file__).with_name("launch.py")
CHUNK = 65_536  # bytes
LONGEST_LINE = 200_000  # bytes; CloudWatch refuses log events above 256 KiB


async def start(
    command: list[str], directory: Path, environment: dict[str, str], isolated: bool, mounted: bool = False
) -> "Process":
    """Starts `command` (absolute paths) in its own process group; it dies with the platform. Raises OSError.

    With `mounted` the program sees the directory as /opt/ml, beside its own path.
    The pipe of its output is ours and not asyncio's, whose `wait` would wait for everyone who holds the other end.
    """
    reading, writing = os.pipe()
    output = os.fdopen(reading, "rb", 0)
    try:
        process = await asyncio.create_subprocess_exec(
            *_launch(isolated, directory if mounted else None), *command,
            cwd=directory, env=environment, start_new_session=True,
            stdin=asyncio.subprocess.DEVNULL, stdout=writing, stderr=writing,
        )  # fmt: skip
    except BaseException:
        output.close()
        raise
    finally:
        os.close(writing)
    return Process(process, output)


async def network_isolation_available() -> bool:
    """Tries it once with a program that does nothing; needs Linux and root or unprivileged user namespaces."""
    return await _launches(isolated=True)


async def opt_ml_available(directory: Path) -> bool:
    """Whether a program can see a directory as /opt/ml: as above, and the folder /opt/ml or the right to make it."""
    return await _launches(isolated=False, shown=directory)


async def _launches(isolated: bool, shown: Path | None = None) -> bool:
    if sys.platform != "linux":
        return False
    probe = await asyncio.create_subprocess_exec(
        *_launch(isolated, shown), sys.executable, "-I", "-S", "-c", "",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    return await probe.wait() == 0


def program_environment(python: Path, home: Path) -> dict[str, str]:
    """What an image sets for its program, and nothing of this machine's own environment."""
    return {
        "PATH": f"{python.parent}:/usr/local/bin:/usr/bin:/bin",
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": str(home),
        "TMPDIR": str(home),
        "LANG": "C.UTF-8",
    }


class Process:
    """One running program and its process group."""

    def __init__(self, process: asyncio.subprocess.Process, output: FileIO) -> None:
        self._process, self._output = process, output
        self.pid = process.pid
        self.started = started_at(process.pid) or ""

    async def wait(self) -> int:
        """The exit code as a shell shows it: 128 + N when signal N ended the program. Kills what it left behind."""
        code = await self._process.wait()
        self.kill()
        return code if code >= 0 else 128 - code

    def terminate(self) -> None:
        """SIGTERM to the program alone, as a container's first process receives it."""
        with suppress(ProcessLookupError):
            self._process.terminate()

    def kill(self) -> None:
        """SIGKILL to the whole group."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    async def stop(self, grace: float) -> int:
        """SIGTERM, up to `grace` seconds to end, then SIGKILL; the exit code."""
        self.terminate()
        try:
            return await asyncio.wait_for(self.wait(), grace)
        except TimeoutError:
            self.kill()
            return await self.wait()

    async def lines(self) -> AsyncIterator[str]:
        """Lines of stdout and stderr as they appear; very long ones in pieces."""
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, self._output)
        rest = b""
        while chunk := await reader.read(CHUNK):
            *whole, rest = (rest + chunk).split(b"\n")
            if len(rest) > LONGEST_LINE:
                whole, rest = [*whole, rest], b""
            for line in whole:
                for start in range(0, len(line), LONGEST_LINE):
                    yield line[start : start + LONGEST_LINE].decode(errors="replace").rstrip("\r")
        transport.close()
        if rest:
            yield rest.decode(errors="replace").rstrip("\r")


def reap(pid: int, started: str) -> None:
    """Kills the group of a recorded process; a pid alone may be another program's by now, so the start must match."""
    if started and started_at(pid) == started:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)


def kill_all_in(base: Path) -> None:
    """Kills what works in a job's folder, even in a group of its own: known by SAGEMAKER_BASE_DIR (Linux only)."""
    mark = f"SAGEMAKER_BASE_DIR={base}".encode()
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):  # gone meanwhile, or another user's
            if mark in environment.read_bytes().split(b"\0"):
                os.kill(int(environment.parent.name), signal.SIGKILL)


def _launch(isolated: bool, shown: Path | None = None) -> list[str]:
    network = "isolated" if isolated else "connected"
    return [sys.executable, "-I", "-S", str(LAUNCHER), str(os.getpid()), network, str(shown or "-")]

"""Programs of others that run beside a command of ours, and end with it."""

import contextlib
import os
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

from operations.terminal import OperationError
from operations.waiting import wait_until

START_SECONDS = 60
STOP_SECONDS = 20


@dataclass(frozen=True)
class Program:
    """A running program, and where it says what troubles it."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path


@contextmanager
def started(name: str, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> Iterator[Program]:
    """A program that runs as long as the block does. The terminal's Ctrl-C does not reach it: we end it ourselves."""
    with open(log, "wb") as file:
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield Program(name, process, log)
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process of ours, and wait until it has gone."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_for(program: Program, url: str) -> None:
    """Return once the program answers at the URL; raises OperationError when it ends instead."""

    def answers() -> bool:
        if program.process.poll() is not None:
            raise OperationError(why_ended(program))
        with contextlib.suppress(requests.ConnectionError):
            return requests.get(url, timeout=5).ok
        return False

    wait_until(answers, f"{program.name} to answer", seconds=START_SECONDS, pause=0.2)


def first_to_end(programs: Sequence[Program]) -> Program:
    """Wait until a program ends, and return it."""
    while True:
        for program in programs:
            with contextlib.suppress(subprocess.TimeoutExpired):
                program.process.wait(1)
                return program


def why_ended(program: Program) -> str:
    """Return one sentence with the last thing that the program said."""
    said = program.log.read_text(errors="replace").strip().splitlines()[-1:] or ["nothing"]
    return f"{program.name} has ended with status {program.process.poll()}; {program.log} ends with: {said[0]}"


def port_of(name: str, default: int) -> int:
    """Return the port that a variable asks for, 0 being any free one; raises OperationError when it is taken."""
    asked = os.environ.get(name) or str(default)
    if not asked.isdigit() or int(asked) > 65535:
        raise OperationError(f"{name} is {asked}; give a port from 1 to 65535, or 0 for a free one.")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # one that was just given back is free
        try:
            probe.bind(("127.0.0.1", int(asked)))
        except OSError as error:
            raise OperationError(f"Port {asked} is taken; run again with {name}=0 for a free one.") from error
        return probe.getsockname()[1]

"""Processes datasets, each in a process of its own, and says what that took and did.

`python -m tests.units.processing.audited_process` has what reads datasets imported, and forks for every one.
"""

import json
import os
import re
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any

from lambdas.processing.process import READERS, process, reader
from lambdas.processing.source import local_file

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = {"os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.link", "os.symlink", "os.chmod", "os.truncate"}
NEVER = {"socket.connect", "socket.bind", "os.system", "os.exec", "os.posix_spawn", "pickle.find_class", "exec"}


class Audit:
    """Collects what happens outside the output folder, and what must never happen."""

    def __init__(self, output: Path) -> None:
        self.output = f"{output.resolve()}{os.sep}"
        self.watching = False
        self.found: list[str] = []

    def hook(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.watching:
            return
        writes = event == "open" and (args[2] & WRITING or re.search("[wax+]", str(args[1] or "")))
        if event in NEVER and not (event == "exec" and imported(args)):
            self.found.append(f"{event} {args!r}"[:200])
        if (event in CHANGES or writes) and not isinstance(args[0], int):
            path = os.path.abspath(os.path.join(folder_of(event, args), os.fsdecode(args[0])))
            if not f"{path}{os.sep}".startswith(self.output) and path != os.devnull:
                self.found.append(f"{event} {path}")


def folder_of(event: str, args: tuple[Any, ...]) -> str:
    """Return what a relative path is relative to: some calls tell it as an open folder."""
    descriptor = args[-1]
    if event in ("os.mkdir", "os.remove", "os.rmdir") and isinstance(descriptor, int) and descriptor >= 0:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    return os.getcwd()


def imported(args: tuple[Any, ...]) -> bool:
    """Whether code that runs is that of a module or class of a library, which importing runs."""
    return getattr(args[0], "co_filename", "").startswith((sys.prefix, sys.base_prefix, os.getcwd(), "<"))


def peak() -> int:
    """Return the most memory that this process took, and one of its own with it, in bytes.

    Linux counts in ru_maxrss what the process that started this one had.
    """
    own = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert own
    return (int(own[1]) + resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) * 1024


def judge(type: str, format: str, output: str, *files: str) -> dict[str, Any]:
    """Process the files and return verdict, defects, seconds, bytes of memory, and what was done outside `output`."""
    audit = Audit(Path(output))
    sys.addaudithook(audit.hook)
    modules = set(sys.modules)
    audit.watching = True
    start = time.perf_counter()
    report = process([local_file(Path(file)) for file in files], type, format, Path(output))
    seconds = time.perf_counter() - start
    audit.watching = False
    return {
        "refused": report.refused,
        "defects": [defect.code for defect in report.defects],
        "seconds": seconds,
        "memory": peak(),
        "outside": audit.found,
        "imported": sorted(set(sys.modules) - modules),
    }


def main() -> None:
    """Judge the dataset of every line, each in a process of its own; answer with its exit status."""
    for kind in READERS:
        reader(*kind.rpartition(" ")[::2])
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if not child:
            signal.alarm(request["most_seconds"])
            answer = judge(*request["arguments"])
            Path(request["answer"]).write_text(json.dumps(answer))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()

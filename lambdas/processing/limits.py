"""The memory that reading a dataset may take: past it an allocation fails, instead of the machine."""

import os
import re
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MOST_MEMORY = 352 * 1024 * 1024  # bytes that reading may take beyond what the process starts with
STATUS = Path("/proc/self/status")

# Arrow's own allocators reserve and keep address space, which counts as memory here; the system's gives it back.
# Arrow reads this when it is imported, so whoever bounds the memory imports this module first.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")


@contextmanager
def bounded_memory(bytes: int) -> Iterator[None]:
    """Let the process take `bytes` more memory than it has; what asks for more gets a MemoryError.

    RLIMIT_DATA counts what can be written to, not what is only reserved (RLIMIT_AS would). Elsewhere than on Linux it
    counts other things, so nothing is bounded there.
    """
    if not STATUS.exists():
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = data_bytes() + bytes
    resource.setrlimit(resource.RLIMIT_DATA, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def data_bytes() -> int:
    """Return what RLIMIT_DATA counts of this process now, in bytes."""
    found = re.search(r"VmData:\s+(\d+) kB", STATUS.read_text())
    if found is None:
        raise OSError(f"{STATUS} has no VmData.")
    return int(found[1]) * 1024

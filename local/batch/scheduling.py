"""Which waiting job runs next: fair share between shares, priority within one, or first come first served. Pure.

AWS documents that recent usage counts more than old, not by how much: here a second's weight falls in a straight
line from one, now, to zero at the end of the policy's window.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

DEFAULT_WINDOW = 600.0  # seconds; what a shareDecaySeconds of 0 means
LEAST_USAGE = 60.0  # seconds a running job counts for at least, so that a burst of starts alternates between shares


@dataclass(frozen=True)
class Waiting:
    """A RUNNABLE job; `created` is any number that orders submissions."""

    id: str
    share: str
    priority: int
    created: float
    capacity: int


@dataclass(frozen=True)
class Use:
    """Capacity a share held from `start` to `stop` (None: still running), in seconds since the epoch."""

    share: str
    capacity: int
    start: float
    stop: float | None


def usage(uses: Iterable[Use], now: float, window: float) -> dict[str, float]:
    """Instance-seconds of each share within the window, decayed."""
    total: dict[str, float] = defaultdict(float)
    for use in uses:
        oldest = min(now - use.start, window)
        youngest = 0.0 if use.stop is None else min(now - use.stop, window)
        seconds = (oldest - youngest) - (oldest**2 - youngest**2) / (2 * window)
        total[use.share] += use.capacity * (max(seconds, LEAST_USAGE) if use.stop is None else seconds)
    return dict(total)


def weight(share: str, distribution: Iterable[Mapping[str, Any]]) -> float:
    """The share's weightFactor: its own entry, or the one whose prefix (ending in `*`) it starts with, or 1."""
    for entry in distribution:
        name = entry["shareIdentifier"]
        if share == name or (name.endswith("*") and share.startswith(name[:-1])):
            return entry.get("weightFactor", 1.0)
    return 1.0


def dispatch_order(
    jobs: Iterable[Waiting], used: Mapping[str, float], distribution: Iterable[Mapping[str, Any]] | None
) -> list[Waiting]:
    """Waiting jobs in the order they would start; without a distribution (no fair share) that of submission."""
    waiting = sorted(jobs, key=lambda job: (-job.priority, job.created) if distribution is not None else (job.created,))
    if distribution is None:
        return waiting
    weights = {job.share: weight(job.share, distribution) for job in waiting}
    used = {share: used.get(share, 0.0) for share in weights}
    ordered: list[Waiting] = []
    while waiting:
        fairest = min(waiting, key=lambda job: used[job.share] * weights[job.share])
        lowest = used[fairest.share] * weights[fairest.share]
        tied = {job.share for job in waiting if used[job.share] * weights[job.share] == lowest}
        heads = [next(job for job in waiting if job.share == share) for share in tied]
        job = min(heads, key=lambda head: head.created)
        waiting.remove(job)
        ordered.append(job)
        used[job.share] += job.capacity * LEAST_USAGE
    return ordered

"""The models that every server serves: sums, at once, or 5 ms for up to 16 rows. As a program: the offline loop."""

import sys
import time

MOST = 16
SECONDS = 0.005


def sums(rows: list[list[float]]) -> list[float]:
    """The sum of each row."""
    return [sum(row) for row in rows]


def slow(rows: list[list[float]]) -> list[float]:
    """The same after the time that a GPU would take for a batch; the CPU is free meanwhile."""
    assert len(rows) <= MOST
    time.sleep(SECONDS)
    return sums(rows)


if __name__ == "__main__":
    batch, count, began = [[0.5] * 64] * MOST, 0, time.perf_counter()
    while time.perf_counter() - began < float(sys.argv[1]):
        count += len(slow(batch))
    print(count / (time.perf_counter() - began))

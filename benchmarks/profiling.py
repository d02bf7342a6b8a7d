"""Profiling a CSV file: rows a second and peak memory, against pandas `read_csv` and `describe(include="all")`.
`python -m benchmarks.profiling`

Both read the same generated file, each in a fresh process from its start to its end, in turn; the ratio is the median
of those of the rounds. Ours also finds the file's SHA-256. CPU seconds and memory are what the kernel says of the
process (`ru_utime + ru_stime`, `ru_maxrss`).
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

GOAL_RATIO = 1.5
GOAL_MIB = 256
SIZES_GB = (0.25, 1, 2)
COMPARED_GB = 1  # pandas takes more than four times as much memory
ROUNDS = 3
FLAT = 1.1  # of the greatest size's memory to the smallest's

# Appends rows to a file until it has a size: a text of about 60 characters, a label, five numbers, yes or no, a city.
GENERATE = """
import sys
import numpy as np, pyarrow as pa, pyarrow.compute as pc
from pyarrow.csv import WriteOptions, write_csv

ROWS = 100_000
WORDS = pa.array("the quick brown fox jumps over a lazy dog while a model trains on what a table holds".split())
with open(sys.argv[1], "ab") as file:
    while file.tell() < int(sys.argv[2]):
        chance = np.random.default_rng(file.tell())

        def some(values):
            return pa.array(values).take(pa.array(chance.integers(0, len(values), ROWS)))

        text = pc.binary_join_element_wise(*(some(WORDS) for _ in range(13)), " ")
        table = pa.table({
            "text": text,
            "label": some(["positive", "negative", "neutral"]),
            "age": chance.integers(18, 90, ROWS),
            "income": np.round(chance.exponential(30_000, ROWS), 2),
            "account": chance.integers(0, 10**9, ROWS),
            "score": chance.normal(0, 1, ROWS),
            "rating": np.round(chance.normal(50, 15, ROWS), 1),
            "active": some(["true", "false"]),
            "city": some([f"City {n}" for n in range(500)]),
        })
        write_csv(table, file, WriteOptions(include_header=not file.tell()))
"""
OURS = """
import sys
from pathlib import Path
from lambdas.processing.delimited import read
from lambdas.processing.source import local_file
file = local_file(Path(sys.argv[1]))
report = read([file], Path(sys.argv[1]).parent)
assert len(report.columns) == 9 and file.sha256
print(report.rows)
"""
PANDAS = """
import sys
import pandas
table = pandas.read_csv(sys.argv[1])
assert len(table.describe(include="all").columns) == 9
print(len(table))
"""


def main() -> int:
    """Print the figures as JSON; return 1 when a goal is missed."""
    memory: dict[str, int] = {}
    ours: list[dict[str, float]] = []
    anchor: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        for size in SIZES_GB:
            subprocess.run([sys.executable, "-c", GENERATE, path, str(int(size * 10**9))], check=True)
            measured(OURS, path)  # the disk cache is warm, and the byte code compiled
            for _ in range(ROUNDS if size == COMPARED_GB else 1):
                ours_now = measured(OURS, path)
                memory[f"{size} GB"] = max(memory.get(f"{size} GB", 0), round(ours_now["peak_mib"]))
                if size == COMPARED_GB:
                    ours.append(ours_now)
                    anchor.append(measured(PANDAS, path))
    ratios = [one["rows_per_second"] / other["rows_per_second"] for one, other in zip(ours, anchor, strict=True)]
    ratio = statistics.median(ratios)
    peak, growth = max(memory.values()), memory[f"{SIZES_GB[-1]} GB"] / memory[f"{SIZES_GB[0]} GB"]
    figures = {
        "rows": int(ours[0]["rows"]),
        "slipway": median(ours),
        "pandas": median(anchor),
        "rows_per_second_to_pandas": round(ratio, 2),
        "rounds": [round(one, 2) for one in ratios],
        "goal_ratio": GOAL_RATIO,
        "peak_mib_by_size": memory,
        "goal_mib": GOAL_MIB,
        "growth": round(growth, 2),
        "goal_growth": FLAT,
        "cpus": os.cpu_count(),
    }
    print(json.dumps({"profiling": figures}, indent=1))
    return int(ratio < GOAL_RATIO or peak > GOAL_MIB or growth > FLAT)


def measured(program: str, path: Path) -> dict[str, float]:
    """Run a program on a file; return its rows, seconds, rows a second, CPU seconds and peak memory in MiB."""
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", program, path], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    rows = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)  # this process stays small: a child's peak counts from its parent's
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"exit code {process.returncode}"
    return {
        "rows": int(rows),
        "seconds": seconds,
        "rows_per_second": int(rows) / seconds,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_mib": usage.ru_maxrss / 1024,
    }


def median(runs: list[dict[str, float]]) -> dict[str, float]:
    """Return the median of each figure."""
    names = ("seconds", "rows_per_second", "cpu_seconds", "peak_mib")
    return {name: round(statistics.median(run[name] for run in runs), 1) for name in names}


if __name__ == "__main__":
    sys.exit(main())

"""Hostile datasets, each in a process of its own: verdict, seconds, memory, files outside the output.

`pytest -s tests/units/processing/test_hostile_files.py` prints the table.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from tests.units.processing.hostile_case import MIB
from tests.units.processing.hostile_files import hostile_datasets
from tests.units.processing.hostile_parquet import CANARY

pytestmark = pytest.mark.thorough

ROOT = Path(__file__).parents[3]
MOST_MEMORY = 512 * MIB
MOST_SECONDS = 120  # after which a process is ended
CASES = {case.name: case for case in hostile_datasets()}
PARAMETERS = [
    pytest.param(name, marks=[pytest.mark.thorough] if case.heavy else [], id=name) for name, case in CASES.items()
]
workers: list[subprocess.Popen[str]] = []  # of a worker: the one that it started
Verdicts = dict[str, Future[dict[str, Any]]]


def start() -> None:
    """Start what processes this worker's datasets."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    program = [sys.executable, "-m", "tests.units.processing.audited_process"]
    pipe = subprocess.PIPE
    workers.append(subprocess.Popen(program, env=environment, stdin=pipe, stdout=pipe, text=True))


def judge(name: str, folder: Path) -> dict[str, Any]:
    """Process a dataset in a tree of its own; return what came of it, and what else is in the tree after it."""
    case, inputs, output, answer = CASES[name], folder / "input", folder / "output", folder / "answer.json"
    for path in (inputs, output):
        path.mkdir(parents=True)
    files = case.write(inputs)
    before = tree(folder)
    arguments = [case.type, case.format, str(output), *map(str, files)]
    request = {"arguments": arguments, "answer": str(answer), "most_seconds": MOST_SECONDS}
    stdin, stdout = workers[0].stdin, workers[0].stdout
    assert stdin and stdout
    print(json.dumps(request), file=stdin, flush=True)
    status = int(stdout.readline())
    try:
        found = json.loads(answer.read_text()) if not status else {"outside": []}
        answer.unlink(missing_ok=True)
        found["outside"] += sorted(tree(folder) - before - tree(output, folder))
        return found | {"status": status, "left": sorted(path.name for path in output.iterdir())}
    finally:
        shutil.rmtree(folder)


def tree(folder: Path, root: Path | None = None) -> set[tuple[str, int]]:
    """Every file and folder below one, with its size."""
    return {
        (str(path.relative_to(root or folder)), path.lstat().st_size * path.is_file()) for path in folder.rglob("*")
    }


@pytest.fixture(scope="module")
def verdicts(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Verdicts]:
    """What comes of every dataset that was asked for, two at a time; printed as a table at the end."""
    names = [
        getattr(item, "callspec").params["name"]  # noqa: B009 - the type of items does not tell it
        for item in request.session.items
        if hasattr(item, "callspec") and item.fspath == request.path
    ]
    folder = tmp_path_factory.mktemp("hostile")
    with ProcessPoolExecutor(2, get_context("spawn"), start) as pool:
        found = {
            name: pool.submit(judge, name, folder / str(number)) for number, name in enumerate(dict.fromkeys(names))
        }
        yield found
    print_table(found)


def print_table(verdicts: Verdicts) -> None:
    """Print one line per dataset."""
    print(f"\n{'dataset':44} {'seconds':>7} {'MiB':>4} {'outside':>7}  verdict")
    for name, future in verdicts.items():
        if future.exception():
            print(f"{name:44} {'-':>7} {'-':>4} {'-':>7}  {future.exception()!r}"[:200])
            continue
        found = future.result()
        verdict = found.get("refused") or f"ready {', '.join(found.get('defects', ['died']))}"
        memory, seconds = found.get("memory", 0) // MIB, found.get("seconds", 0)
        print(f"{name:44} {seconds:7.1f} {memory:4} {len(found['outside']):7}  {verdict[:140]}")


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_hostile_dataset_gets_its_verdict_in_little_memory_and_writes_nothing_elsewhere(
    name: str, verdicts: Verdicts
) -> None:
    case, found = CASES[name], verdicts[name].result()
    assert found["status"] == 0
    if case.refused is None:
        assert found["refused"] is None
        assert set(case.defects) <= set(found["defects"])
    else:
        assert re.search(case.refused, found["refused"] or "It is ready."), found["refused"]
        assert found["left"] == ["preview.json", "report.json"]
    assert found["outside"] == []
    assert found["memory"] < MOST_MEMORY
    assert CANARY not in found["imported"]

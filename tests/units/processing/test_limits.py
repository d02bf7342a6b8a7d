"""Memory past its bound is refused to the process, not taken from the machine.

`pytest tests/units/processing/test_limits.py`
"""

import multiprocessing
import resource
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from lambdas.processing import process as processing
from lambdas.processing.limits import STATUS, bounded_memory, data_bytes

MIB = 1024 * 1024
pytestmark = pytest.mark.skipif(not STATUS.exists(), reason="only Linux counts a process's memory so")


def in_a_new_process(check: Callable[[], None]) -> None:
    """Run a check where nothing else takes memory or gives it back: a bound counts what the whole process holds."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        process.submit(check).result()


def ask_for_more_and_again() -> None:
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with bounded_memory(256 * MIB):
        assert len(bytearray(64 * MIB)) == 64 * MIB
        with pytest.raises(MemoryError):
            bytearray(300 * MIB)
        with pytest.raises(MemoryError):
            np.ones(300 * MIB, np.uint8)
        with pytest.raises(pa.ArrowMemoryError):
            pa.allocate_buffer(300 * MIB, memory_pool=pa.system_memory_pool())
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
    assert len(bytearray(300 * MIB)) == 300 * MIB


def ask_for_more_and_fail() -> None:
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with pytest.raises(MemoryError), bounded_memory(64 * MIB):
        bytearray(100 * MIB)
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
    assert data_bytes() > 0


def test_what_asks_for_more_gets_a_memory_error_and_then_may_again() -> None:
    in_a_new_process(ask_for_more_and_again)


def test_a_bound_is_lifted_after_an_error_too() -> None:
    in_a_new_process(ask_for_more_and_fail)


def test_a_dataset_that_needs_more_is_refused_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def greedy(files: object, output: Path) -> None:
        (output / "converted").mkdir()
        (output / "converted/half.csv").write_text("a\n")
        (output / "half").write_text("")
        bytearray(2 * processing.MOST_MEMORY)

    monkeypatch.setattr(processing, "reader", lambda type, format: greedy)
    report = processing.process([], "tabular", "csv", tmp_path)
    assert report.refused == processing.TOO_LARGE
    assert sorted(path.name for path in tmp_path.iterdir()) == ["preview.json", "report.json"]

"""Files of honest frameworks are clean, and the scan tells what they are.  `pytest -s` prints the false alarms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lambdas.scanner.registry import scan_file
from lambdas.scanner.report import FileReport
from lambdas.scanner.source import BytesSource, FileSource

pytestmark = pytest.mark.thorough  # their frameworks write them first


def report(file: Path) -> dict[str, Any]:
    """The report of a file, read through an open file as through a network: a piece at a time."""
    with file.open("rb") as opened:
        return FileReport(file.name, None, scan_file(FileSource(opened), file.name)).to_json()


TOLD: dict[str, tuple[str, str | None]] = {
    "forest.pkl": ("pickle", "sklearn"),
    "forest.joblib": ("joblib", "sklearn"),
    "forest.pkl.gz": ("pickle", "sklearn"),
    "table_pipeline_lzma.joblib": ("joblib", "sklearn"),
    "xgboost.pkl": ("pickle", "other"),
    "lightgbm.pkl": ("pickle", "other"),
    "xgboost.json": ("xgboost", "other"),
    "xgboost.ubj": ("xgboost", "other"),
    "lightgbm.txt": ("lightgbm", "other"),
    "numbers.npy": ("numpy", None),
    "arrays.npz": ("numpy", None),
}
TOLD_OF_TORCH: dict[str, tuple[str, str | None]] = {
    "weights.pt": ("torch", "pytorch"),
    "no_suffix": ("torch", "pytorch"),
    "pytorch_model.bin": ("torch", "pytorch"),
    "module_old.pth": ("torch", "pytorch"),
    "module.pkl": ("pickle", "pytorch"),
    "bundle.zip": ("zip", "pytorch"),
}


def assert_clean(folder: Path, at_least: int) -> None:
    """No file of a folder gives an alarm, and there are as many as there should be."""
    reports = [report(file) for file in sorted(folder.iterdir())]
    alarms = [(told["filename"], told["verdict"], told["findings"]) for told in reports if told["verdict"] != "clean"]
    print(f"{len(reports)} honest files, {len(alarms)} false alarms ({len(alarms) / len(reports):.1%})")
    assert len(reports) >= at_least
    assert alarms == []


def assert_told(folder: Path, expected: dict[str, tuple[str, str | None]]) -> None:
    """Format and framework are told by content."""
    told = {name: report(folder / name) for name in expected}
    assert {name: (told[name]["format"], told[name]["framework"]) for name in expected} == expected


def assert_broken_when_cut(file: Path) -> None:
    """At every tenth place of a cut: said to be broken, never a crash."""
    data = file.read_bytes()
    for tenth in range(1, 10):
        found = scan_file(BytesSource(data[: len(data) * tenth // 10]), file.name)
        assert found.verdict != "clean", (file.name, tenth)
        assert "scanner_failed" not in {finding.code for finding in found.findings}, (file.name, tenth)


def test_every_honest_file_is_clean(honest_files: Path) -> None:
    assert_clean(honest_files, 75)


def test_every_honest_file_of_torch_is_clean(torch_files: Path) -> None:
    assert_clean(torch_files, 16)


def test_formats_and_frameworks_are_told_by_content(honest_files: Path) -> None:
    assert_told(honest_files, TOLD)


def test_torch_is_told_by_content(torch_files: Path) -> None:
    assert_told(torch_files, TOLD_OF_TORCH)


def test_metadata_is_read_from_the_pickle(honest_files: Path) -> None:
    forest = report(honest_files / "forest.joblib")["metadata"]
    assert forest["input_shape"] == [-1, 4]
    assert forest["dependencies"] == ["joblib", "numpy", "scikit-learn==1.9.1"]


def test_parameters_are_counted_without_loading_them(torch_files: Path) -> None:
    # Conv2d(1, 4, 3): 40; BatchNorm2d(4): 16 and a counter; Linear(2704, 10): 27050.
    for name in ("weights.pt", "weights_old.pth", "module.pt", "module_old.pth", "no_suffix"):
        assert report(torch_files / name)["metadata"]["num_parameters"] == 40 + 17 + 27050


def test_an_honest_file_that_is_cut_is_not_clean(honest_files: Path) -> None:
    for name in ("forest.joblib", "forest.pkl", "table_pipeline_gzip.joblib"):
        assert_broken_when_cut(honest_files / name)


def test_a_file_of_torch_that_is_cut_is_not_clean(torch_files: Path) -> None:
    for name in ("weights.pt", "weights_old.pth"):
        assert_broken_when_cut(torch_files / name)

"""Files of honest frameworks are clean, and the scan tells what they are.  `pytest -s` prints the false alarms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lambdas.scanner.registry import scan_file
from lambdas.scanner.report import FileReport
from lambdas.scanner.source import BytesSource, FileSource


def report(file: Path) -> dict[str, Any]:
    """The report of a file, read through an open file as through a network: a piece at a time."""
    with file.open("rb") as opened:
        return FileReport(file.name, None, scan_file(FileSource(opened), file.name)).to_json()


def test_every_honest_file_is_clean(honest_files: Path) -> None:
    reports = [report(file) for file in sorted(honest_files.iterdir())]
    alarms = [(told["filename"], told["verdict"], told["findings"]) for told in reports if told["verdict"] != "clean"]
    print(f"{len(reports)} honest files, {len(alarms)} false alarms ({len(alarms) / len(reports):.1%})")
    assert len(reports) > 90
    assert alarms == []


def test_formats_and_frameworks_are_told_by_content(honest_files: Path) -> None:
    told = {file.name: report(file) for file in honest_files.iterdir()}
    expected = {
        "forest.pkl": ("pickle", "sklearn"),
        "forest.joblib": ("joblib", "sklearn"),
        "forest.pkl.gz": ("pickle", "sklearn"),
        "table_pipeline_lzma.joblib": ("joblib", "sklearn"),
        "xgboost.pkl": ("pickle", "other"),
        "lightgbm.pkl": ("pickle", "other"),
        "xgboost.json": ("xgboost", "other"),
        "xgboost.ubj": ("xgboost", "other"),
        "lightgbm.txt": ("lightgbm", "other"),
        "weights.pt": ("torch", "pytorch"),
        "no_suffix": ("torch", "pytorch"),
        "pytorch_model.bin": ("torch", "pytorch"),
        "module_old.pth": ("torch", "pytorch"),
        "module.pkl": ("pickle", "pytorch"),
        "bundle.zip": ("zip", "pytorch"),
        "numbers.npy": ("numpy", None),
        "arrays.npz": ("numpy", None),
    }
    assert {name: (told[name]["format"], told[name]["framework"]) for name in expected} == expected


def test_metadata_is_read_from_the_pickle(honest_files: Path) -> None:
    forest = report(honest_files / "forest.joblib")["metadata"]
    assert forest["input_shape"] == [-1, 4]
    assert forest["dependencies"] == ["joblib", "numpy", "scikit-learn==1.9.1"]
    # Conv2d(1, 4, 3): 40; BatchNorm2d(4): 16 and a counter; Linear(2704, 10): 27050.
    for name in ("weights.pt", "weights_old.pth", "module.pt", "module_old.pth", "no_suffix"):
        assert report(honest_files / name)["metadata"]["num_parameters"] == 40 + 17 + 27050


def test_an_honest_file_that_is_cut_or_changed_is_not_clean(honest_files: Path) -> None:
    """Every tenth place of a cut, and files whose middle byte is another opcode: said to be broken, never a crash."""
    for name in ("forest.joblib", "forest.pkl", "weights.pt", "weights_old.pth", "table_pipeline_gzip.joblib"):
        data = (honest_files / name).read_bytes()
        for tenth in range(1, 10):
            found = scan_file(BytesSource(data[: len(data) * tenth // 10]), name)
            assert found.verdict != "clean", (name, tenth)
            assert "scanner_failed" not in {finding.code for finding in found.findings}, (name, tenth)

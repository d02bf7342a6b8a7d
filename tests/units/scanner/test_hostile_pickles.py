"""Pickles that would do harm: each is told, none runs.  `pytest -s tests/units/scanner/test_hostile_pickles.py`"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.units.scanner.hostile_files import Hostile, call, pickles, smuggled

pytestmark = pytest.mark.thorough

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def canary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that payloads would create."""
    return tmp_path_factory.mktemp("canary") / "was-executed"


@pytest.fixture(scope="module")
def corpus(canary: Path) -> dict[str, Hostile]:
    return pickles(str(canary)) | smuggled(str(canary))


@pytest.fixture(scope="module")
def scanned(corpus: dict[str, Hostile], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the audited process says of the whole corpus."""
    folder = tmp_path_factory.mktemp("corpus")
    for number, hostile in enumerate(corpus.values()):
        (folder / f"{number:03}~{hostile.filename.replace('/', '_')}").write_bytes(hostile.data)
    command = [sys.executable, "-m", "tests.units.scanner.audited_scan", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout.splitlines()[-1])
    answer["reports"] = dict(zip(corpus, answer["reports"].values(), strict=True))
    return answer


def test_each_file_gets_its_verdict_and_a_finding_that_names_the_cause(
    corpus: dict[str, Hostile], scanned: dict[str, Any]
) -> None:
    wrong = []
    for name, hostile in corpus.items():
        report = scanned["reports"][name]
        messages = " ".join(finding["message"] for finding in report["findings"])
        told = next((finding["message"] for finding in report["findings"]), "")
        print(f"{name:36} {hostile.filename:14} {report['verdict']:10} {told}")
        if report["verdict"] != hostile.verdict or hostile.names not in messages:
            wrong.append((name, hostile.verdict, hostile.names, report))
    malicious = sum(report["verdict"] == "malicious" for report in scanned["reports"].values())
    print(f"{len(corpus)} hostile files: {malicious} malicious")
    assert wrong == []


def test_no_scan_imports_runs_opens_or_connects(scanned: dict[str, Any], canary: Path) -> None:
    assert scanned["done"] == []
    assert not canary.exists()


def test_no_scanner_gave_up(scanned: dict[str, Any]) -> None:
    codes = {finding["code"] for report in scanned["reports"].values() for finding in report["findings"]}
    assert "scanner_failed" not in codes


def test_the_payloads_are_real(tmp_path: Path) -> None:
    """What the corpus calls hostile does run when a program loads it."""
    ran = tmp_path / "ran"
    (tmp_path / "model.pkl").write_bytes(call("os", "system", f"touch {ran}"))
    load = f"import pickle; pickle.load(open({str(tmp_path / 'model.pkl')!r}, 'rb'))"
    subprocess.run([sys.executable, "-c", load], check=True)
    assert ran.exists()


def test_the_audit_notices_what_it_forbids(tmp_path: Path) -> None:
    """The hook would tell: the same process, with a scan that imports and opens."""
    (tmp_path / "a.txt").write_text("x")
    spoiled = (
        "import sys; from tests.units.scanner import audited_scan as audit\n"
        "def scan(source, name):\n"
        "    import antigravity_that_is_absent\n"
        "def guarded(source, name):\n"
        "    try: scan(source, name)\n"
        "    except ImportError: pass\n"
        "    return real(source, name)\n"
        "from pathlib import Path\n"
        "real = audit.scan_file; audit.scan_file = guarded\n"
        f"audit.main(Path({str(tmp_path)!r}))\n"
    )
    done = subprocess.run([sys.executable, "-c", spoiled], cwd=ROOT, capture_output=True, text=True, check=True)
    assert any("antigravity_that_is_absent" in deed for deed in json.loads(done.stdout.splitlines()[-1])["done"])

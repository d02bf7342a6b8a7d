"""The functions' code: it runs from nothing but itself, for the machine that it is meant for.

Run: python -m pytest tests/infra/test_bundle.py
"""

import ast
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from cdk_app import bundle, bundle_checks
from stacks.functions import FUNCTIONS
from tests.infra.synthesis import ROOT, Stage

HANDLERS = [spec.handler for spec in FUNCTIONS.values()]
HEALTH = """
import json, sys
sys.path.insert(0, sys.argv[1])
from lambdas.system.handler import handler
event = {"resource": "/health", "path": sys.argv[2], "httpMethod": "GET", "headers": {}, "multiValueHeaders": {},
         "queryStringParameters": None, "multiValueQueryStringParameters": None, "body": None,
         "isBase64Encoded": False, "requestContext": {"requestId": "r", "stage": "api"}}
print(json.dumps(handler(event, None)))
"""


@pytest.fixture(scope="module")
def unzipped(stage_of: Callable[[str], Stage], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The local bundle as a Lambda worker sees it."""
    folder = tmp_path_factory.mktemp("bundle")
    with zipfile.ZipFile(stage_of("local").app.bundle.path) as archive:
        archive.extractall(folder)
    return folder


def test_every_handler_imports_from_the_bundle_alone(unzipped: Path) -> None:
    assert bundle_checks.import_problems(sys.executable, [unzipped], HANDLERS) == []


@pytest.mark.parametrize("path", ["/health", "/docs", "/openapi.json"])
def test_the_system_function_answers_from_the_bundle_alone(unzipped: Path, path: str) -> None:
    environment = {"PATH": os.environ["PATH"], "POWERTOOLS_SERVICE_NAME": "system"}
    command = [sys.executable, "-I", "-S", "-c", HEALTH, str(unzipped), path]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert json.loads(done.stdout.splitlines()[-1])["statusCode"] == 200


def test_a_bundle_holds_no_more_than_it_needs(stage: Stage) -> None:
    with zipfile.ZipFile(stage.app.bundle.path) as archive:
        names = archive.namelist()
    assert len(names) == len(set(names))
    assert [name for name in names if name.startswith(("bin/", "tests/", "lambdas/requirements"))] == []
    assert [name for name in names if name.endswith((".asl.json", ".dist-info/RECORD"))] == []
    assert {"openapi.json", "lambdas/common/app.py"} <= set(names)


def test_the_aws_bundle_holds_only_shared_objects_for_arm64(stage_of: Callable[[str], Stage], tmp_path: Path) -> None:
    with zipfile.ZipFile(stage_of("dev").app.bundle.path) as archive:
        archive.extractall(tmp_path)
    assert len(list(tmp_path.rglob("*.so"))) > 0
    assert bundle_checks.platform_problems(tmp_path) == []
    assert bundle_checks.resolve_problems([tmp_path], HANDLERS) == []


def test_a_bundle_stays_well_under_lambdas_limit(stage: Stage) -> None:
    with zipfile.ZipFile(stage.app.bundle.path) as archive:
        assert sum(entry.file_size for entry in archive.infolist()) < 125 * 2**20  # half of what Lambda takes


def test_the_services_kept_are_those_that_clients_are_made_of() -> None:
    used = {
        service: path.relative_to(ROOT)
        for path in (ROOT / "lambdas").rglob("*.py")
        for service in services_of(ast.parse(path.read_text()))
    }
    assert {service: path for service, path in used.items() if service not in bundle.AWS_SERVICES} == {}
    assert bundle.AWS_SERVICES - used.keys() == set(), "kept, but nobody calls them"


def services_of(tree: ast.AST) -> set[str]:
    """Return the names of the services whose clients or resources a file makes."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = getattr(node.func, "attr", getattr(node.func, "id", None))
            if name in ("client", "resource") and isinstance(node.args[0].value, str):
                found.add(node.args[0].value)
    return found


def test_a_changed_source_makes_another_bundle_without_installing_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = bundle.CACHE
    before = bundle.build(bundle.local_target(), HANDLERS)
    files = bundle.source_files()
    files["lambdas/common/ids.py"] += b"\n# changed\n"
    monkeypatch.setattr(bundle, "source_files", lambda: files)
    monkeypatch.setattr(bundle, "install", lambda *_: pytest.fail("installed the dependencies again"))
    after = bundle.build(bundle.local_target(), HANDLERS)
    assert after.digest != before.digest
    with zipfile.ZipFile(after.path) as archive:
        assert archive.read("lambdas/common/ids.py").endswith(b"# changed\n")
    assert after.path.parent == cache
    after.path.unlink()


def test_the_same_files_make_the_same_bytes(tmp_path: Path) -> None:
    for name, time in (("a", 1_000_000_000), ("b", 1_500_000_000)):
        (tmp_path / name).mkdir()
        for file in ("z.py", "y.py"):
            (tmp_path / name / file).write_text("x = 1\n")
            os.utime(tmp_path / name / file, (time, time))
        bundle.write_zip(tmp_path / name, tmp_path / f"{name}.zip", mode="w")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


class TestABundleThatWouldNotRunIsRefused:
    """Each check, on something that is wrong."""

    def test_import_of_what_is_not_in_the_bundle(self, tmp_path: Path) -> None:
        write(tmp_path / "lambdas" / "a.py", "def handler(event, context):\n    import numpy\n")
        (problem,) = bundle_checks.resolve_problems([tmp_path], ["lambdas.a.handler"])
        assert "numpy" in problem

    def test_handler_that_does_not_exist(self, tmp_path: Path) -> None:
        write(tmp_path / "lambdas" / "a.py", "handler = None\n")
        assert bundle_checks.resolve_problems([tmp_path], ["lambdas.a.handler"]) == []
        assert len(bundle_checks.resolve_problems([tmp_path], ["lambdas.a.other", "lambdas.b.handler"])) == 2

    def test_handler_that_fails_when_imported(self, tmp_path: Path) -> None:
        write(tmp_path / "lambdas" / "a.py", "import pydantic\nhandler = print\n")
        (problem,) = bundle_checks.import_problems(sys.executable, [tmp_path], ["lambdas.a.handler"])
        assert "No module named 'pydantic'" in problem, "this machine's packages must not hide a missing one"

    def test_wheel_for_another_machine(self, tmp_path: Path) -> None:
        tags = {"a": "py3-none-any", "b": "cp313-cp313-manylinux_2_17_aarch64", "c": "cp39-abi3-manylinux2014_aarch64"}
        wrong = {"d": "cp311-cp311-manylinux2014_aarch64", "e": "cp313-cp313-manylinux2014_x86_64"}
        for name, tag in (tags | wrong).items():
            write(tmp_path / f"{name}-1.dist-info" / "WHEEL", f"Wheel-Version: 1.0\nTag: {tag}\n")
        assert [problem[0] for problem in bundle_checks.platform_problems(tmp_path)] == list(wrong)

    def test_shared_object_for_another_machine(self, tmp_path: Path) -> None:
        x86, arm = 62, 183  # e_machine of the ELF header
        for name, machine in (("x86.so", x86), ("arm.so", arm)):
            (tmp_path / name).write_bytes(b"\x7fELF" + bytes(14) + machine.to_bytes(2, "little"))
        (problem,) = bundle_checks.platform_problems(tmp_path)
        assert problem.startswith("x86.so")


def write(path: Path, text: str) -> None:
    """Write a file, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)

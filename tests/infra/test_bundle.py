"""The functions' code: each bundle runs from nothing but itself, for the machine that it is meant for.

Run: python -m pytest tests/infra/test_bundle.py
"""

import ast
import json
import os
import re
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from cdk_app import bundle, bundle_checks, elf
from cdk_app.bundle_contents import CONTENTS, Contents
from stacks.functions import FUNCTIONS, handlers
from tests.infra.synthesis import Stage

MIB = 2**20
LARGEST = {"functions": 60, "processing": 200}  # MiB unzipped, of the 250 that Lambda takes
HEALTH = """
import json, sys
sys.path.insert(0, sys.argv[1])
from lambdas.system.handler import handler
event = {"resource": "/health", "path": sys.argv[2], "httpMethod": "GET", "headers": {}, "multiValueHeaders": {},
         "queryStringParameters": None, "multiValueQueryStringParameters": None, "body": None,
         "isBase64Encoded": False, "requestContext": {"requestId": "r", "stage": "api"}}
print(json.dumps(handler(event, None)))
"""


PROFILE = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from lambdas.processing.process import process
from lambdas.processing.source import local_file
report = process([local_file(Path(sys.argv[2]))], "tabular", sys.argv[3], Path(sys.argv[4]))
print(json.dumps([report.refused, report.rows]))
"""


@pytest.fixture(scope="module")
def unzipped(stage_of: Callable[[str], Stage], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The local bundles as a Lambda worker sees them."""
    folders = {}
    for name, built in stage_of("local").app.bundles.items():
        folders[name] = tmp_path_factory.mktemp(name)
        with zipfile.ZipFile(built.path) as archive:
            archive.extractall(folders[name])
    return folders


def test_every_function_has_its_handler_in_a_bundle() -> None:
    assert {spec.bundle for spec in FUNCTIONS.values()} == set(CONTENTS)
    assert [spec.handler for spec in FUNCTIONS.values() if spec.bundle == "processing"] == [
        "lambdas.processing.tasks.profile"
    ]


@pytest.mark.parametrize("name", CONTENTS)
def test_every_handler_and_module_imports_from_the_bundle_alone(name: str, unzipped: dict[str, Path]) -> None:
    assert bundle_checks.import_problems(sys.executable, [unzipped[name]], handlers(name)) == []


@pytest.mark.parametrize("format", ["csv", "parquet", "json"])
def test_processing_reads_a_dataset_from_the_bundle_alone(
    format: str, unzipped: dict[str, Path], tmp_path: Path
) -> None:
    table = pa.table({"age": [31, 52], "name": ["Ada", "Grace"]})
    file = tmp_path / f"people.{format}"
    if format == "csv":
        csv.write_csv(table, file)
    elif format == "parquet":
        parquet.write_table(table, file)
    else:
        file.write_text(json.dumps(table.to_pylist()))
    (tmp_path / "output").mkdir()
    folder = str(unzipped["processing"])
    command = [sys.executable, "-I", "-S", "-c", PROFILE, folder, str(file), format, str(tmp_path / "output")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [None, 2]


@pytest.mark.parametrize("path", ["/health", "/docs", "/openapi.json"])
def test_the_system_function_answers_from_the_bundle_alone(unzipped: dict[str, Path], path: str) -> None:
    environment = {"PATH": os.environ["PATH"], "POWERTOOLS_SERVICE_NAME": "system"}
    command = [sys.executable, "-I", "-S", "-c", HEALTH, str(unzipped["functions"]), path]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert json.loads(done.stdout.splitlines()[-1])["statusCode"] == 200


@pytest.mark.parametrize("name", CONTENTS)
def test_a_bundle_holds_no_more_than_it_needs(name: str, stage: Stage) -> None:
    with zipfile.ZipFile(stage.app.bundles[name].path) as archive:
        names = archive.namelist()
    assert len(names) == len(set(names))
    assert [file for file in names if file.startswith(("bin/", "tests/"))] == []
    assert [file for file in names if file.endswith((".asl.json", "Dockerfile", "requirements.txt", "/RECORD"))] == []
    libraries = {file.split("/")[0] for file in names}
    if name == "functions":
        assert {"openapi.json", "lambdas/common/app.py"} <= set(names)
        assert [file for file in names if file.startswith("lambdas/processing/")] == []
        assert not libraries & {"pyarrow", "numpy", "PIL", "python_calamine"}
    else:
        ours = {file for file in names if file.startswith("lambdas/") and file.endswith(".py")}
        shared = {file for file in ours if not file.startswith("lambdas/processing/")}
        common = {f"lambdas/common/{name}.py" for name in ("__init__", "aws", "zip_directory")}
        assert shared == common | {"lambdas/__init__.py"}
        assert not libraries & {"fastapi", "pydantic", "aws_lambda_powertools"}


@pytest.mark.parametrize("name", CONTENTS)
def test_the_aws_bundle_holds_only_shared_objects_for_arm64(
    name: str, stage_of: Callable[[str], Stage], tmp_path: Path
) -> None:
    with zipfile.ZipFile(stage_of("dev").app.bundles[name].path) as archive:
        archive.extractall(tmp_path)
    assert len(list(tmp_path.rglob("*.so"))) > 0
    assert bundle_checks.platform_problems(tmp_path) == []
    assert bundle_checks.resolve_problems([tmp_path], handlers(name)) == []


@pytest.mark.parametrize("stage_name", ["local", "dev"])
@pytest.mark.parametrize("name", CONTENTS)
def test_a_bundle_stays_well_under_lambdas_limit(
    name: str, stage_name: str, stage_of: Callable[[str], Stage], record_property: Any
) -> None:
    path = stage_of(stage_name).app.bundles[name].path
    with zipfile.ZipFile(path) as archive:
        unzipped = sum(entry.file_size for entry in archive.infolist()) / MIB
    record_property(path.name, f"{path.stat().st_size / MIB:.0f} MiB, {unzipped:.0f} MiB unzipped")
    assert LARGEST[name] < bundle_checks.UNZIPPED_LIMIT / MIB
    assert unzipped < LARGEST[name]


@pytest.mark.parametrize("name", CONTENTS)
def test_the_services_kept_are_those_that_clients_are_made_of(name: str) -> None:
    used = {
        service: path
        for path, source in CONTENTS[name].source_files().items()
        if path.endswith(".py")
        for service in services_of(ast.parse(source))
    }
    assert {service: path for service, path in used.items() if service not in CONTENTS[name].services} == {}
    assert CONTENTS[name].services - used.keys() == set(), "kept, but nobody calls them"


def services_of(tree: ast.AST) -> set[str]:
    """Return the names of the services whose clients or resources a file makes."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = getattr(node.func, "attr", getattr(node.func, "id", None))
            if name in ("client", "resource") and isinstance(node.args[0].value, str):
                found.add(node.args[0].value)
    return found


@pytest.mark.parametrize("name", CONTENTS)
def test_a_changed_source_makes_another_bundle_without_installing_anything(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, contents = bundle.local_target(), CONTENTS[name]
    before = bundle.build(target, contents, handlers(name))
    files = contents.source_files()
    files["lambdas/common/aws.py"] += b"\n# changed\n"
    monkeypatch.setattr(Contents, "source_files", lambda _: files)
    monkeypatch.setattr(bundle, "install", lambda *_: pytest.fail("installed the libraries again"))
    after = bundle.build(target, contents, handlers(name))
    assert after.digest != before.digest
    with zipfile.ZipFile(after.path) as archive:
        assert archive.read("lambdas/common/aws.py").endswith(b"# changed\n")
    assert after.path.parent == bundle.CACHE
    after.path.unlink()


def test_a_change_of_what_is_installed_or_left_out_installs_anew() -> None:
    contents = CONTENTS["processing"]
    changed = [
        contents,
        replace(contents, services=contents.services | {"sqs"}),
        replace(contents, unread=contents.unread[1:]),
        replace(contents, requirements=CONTENTS["functions"].requirements),
    ]
    assert len({made.digest("arm64") for made in changed} | {contents.digest("x86_64")}) == 5


def test_a_change_of_processing_leaves_the_other_bundle_alone() -> None:
    assert not {path for path in CONTENTS["functions"].source_files() if "/processing/" in path}


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

    def test_module_that_no_handler_imports_and_that_fails(self, tmp_path: Path) -> None:
        write(tmp_path / "lambdas" / "a.py", "handler = print\n")
        write(tmp_path / "lambdas" / "reader.py", "import pyarrow\n")
        (problem,) = bundle_checks.import_problems(sys.executable, [tmp_path], ["lambdas.a.handler"])
        assert problem.startswith("lambdas.reader: ")

    def test_handler_that_no_module_holds(self, tmp_path: Path) -> None:
        write(tmp_path / "lambdas" / "a.py", "handler = None\n")
        problems = bundle_checks.import_problems(sys.executable, [tmp_path], ["lambdas.a.handler", "lambdas.b.handler"])
        assert problems == [f"The handler lambdas.{name}.handler does not exist." for name in "ab"]

    def test_wheel_for_another_machine(self, tmp_path: Path) -> None:
        tags = {
            "a": "py3-none-any",
            "b": "cp313-cp313-manylinux_2_17_aarch64",
            "c": "cp39-abi3-manylinux2014_aarch64",
            "d": "cp313-cp313-manylinux_2_34_aarch64",
        }
        wrong = {
            "e": "cp311-cp311-manylinux2014_aarch64",
            "f": "cp313-cp313-manylinux2014_x86_64",
            "g": "cp313-cp313-manylinux_2_35_aarch64",
        }
        for name, tag in (tags | wrong).items():
            write(tmp_path / f"{name}-1.dist-info" / "WHEEL", f"Wheel-Version: 1.0\nTag: {tag}\n")
        assert [problem[0] for problem in bundle_checks.platform_problems(tmp_path)] == list(wrong)

    def test_shared_object_for_another_machine(self, tmp_path: Path) -> None:
        x86 = 62  # e_machine of the ELF header
        (tmp_path / "x86.so").write_bytes(shared_object(x86, []))
        (tmp_path / "arm.so").write_bytes(shared_object(elf.AARCH64, []))
        (problem,) = bundle_checks.platform_problems(tmp_path)
        assert problem == "x86.so is not a shared object for 64-bit ARM."

    def test_shared_object_that_asks_for_a_library_which_was_left_out(self, tmp_path: Path) -> None:
        write(tmp_path / "notes.some.txt", "no shared object")
        (tmp_path / "libthere.so.2600").write_bytes(shared_object(elf.AARCH64, ["libc.so.6"]))
        (tmp_path / "module.so").write_bytes(shared_object(elf.AARCH64, ["libthere.so.2600", "libgone.so.1"]))
        (problem,) = bundle_checks.platform_problems(tmp_path)
        assert problem == "module.so asks for libraries that are not there: libgone.so.1."

    def test_more_than_lambda_takes(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with zipfile.ZipFile(tmp_path / "bundle.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a", bytes(MIB))
            archive.writestr("b", bytes(MIB))
        assert bundle_checks.size_problems(tmp_path / "bundle.zip") == []
        monkeypatch.setattr(bundle_checks, "UNZIPPED_LIMIT", 2 * MIB - 1)
        assert len(bundle_checks.size_problems(tmp_path / "bundle.zip")) == 1


def shared_object(machine: int, needed: list[str]) -> bytes:
    """Return the least ELF file that names a machine and the libraries it asks for."""
    texts, tags = b"\0", b""
    for name in needed:
        tags += struct.pack("<QQ", elf.DT_NEEDED, len(texts))
        texts += name.encode() + b"\0"
    header = (
        b"\x7fELF\x02\x01" + bytes(10) + struct.pack("<HHIQQQIHHHHHH", 3, machine, 1, 0, 0, 64, 0, 64, 0, 0, 64, 2, 0)
    )
    start = len(header) + 2 * elf.SECTION.size
    sections = elf.SECTION.pack(0, elf.SHT_DYNAMIC, 0, 0, start, len(tags), 1, 0, 0, 0)
    sections += elf.SECTION.pack(0, 3, 0, 0, start + len(tags), len(texts), 0, 0, 0, 0)
    return header + sections + tags + texts


def write(path: Path, text: str) -> None:
    """Write a file, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_the_functions_have_the_description_of_every_service_that_they_call() -> None:
    """botocore's descriptions of all others are left out, and a client of one of those fails when it is made."""
    sources = (bundle.ROOT / "lambdas").rglob("*.py")
    called = {name for file in sources for name in re.findall(r'aws\.client\("([a-z0-9-]+)"\)', file.read_text())}
    assert called - CONTENTS["functions"].services == set()
    assert "cloudwatch" in called

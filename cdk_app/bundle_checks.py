"""What must be true of a bundle before it ships; each check returns the problems it found, one sentence each."""

import ast
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from cdk_app import elf

UNZIPPED_LIMIT = 250 * 2**20  # bytes; Lambda's quota for a function's code, which has none for a zip that lies in S3
SHARED_OBJECT = re.compile(r".+\.so(\.\d+)*")
GLIBC = (2, 34)  # of Amazon Linux 2023, on which Lambda runs Python 3.13
# What Amazon Linux 2023 has and a manylinux wheel may ask for (PEP 600); the rest a wheel brings itself.
SYSTEM_LIBRARIES = {
    *("libc.so.6", "libm.so.6", "libdl.so.2", "librt.so.1", "libpthread.so.0", "ld-linux-aarch64.so.1"),
    *("libgcc_s.so.1", "libstdc++.so.6", "libz.so.1"),
}
SMOKE_IMPORT = """
import importlib, json, sys
paths, modules, handlers = map(json.loads, sys.argv[1:])
sys.path[:0] = paths
failed = set()
for module in modules:
    try:
        importlib.import_module(module)
    except Exception as error:
        failed.add(module)
        print(f"{module}: {type(error).__name__}: {error}")
for handler in handlers:
    module, name = handler.rsplit(".", 1)
    if module not in failed and not callable(getattr(sys.modules.get(module), name, None)):
        print(f"The handler {handler} does not exist.")
"""


def import_problems(python: str, paths: Sequence[Path], handlers: Sequence[str]) -> list[str]:
    """Import all of `lambdas` in a Python that sees nothing but `paths` and its standard library; find the handlers."""
    source = paths[0]
    files = [file.relative_to(source).with_suffix("") for file in sorted((source / "lambdas").rglob("*.py"))]
    modules = [".".join(file.parts) for file in files if file.stem not in ("__init__", "__main__")]
    # -S: without it the interpreter's own site-packages would hide a missing dependency.
    command = [python, "-I", "-S", "-c", SMOKE_IMPORT, *map(json.dumps, ([*map(str, paths)], modules, [*handlers]))]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.splitlines() + ([done.stderr] if done.returncode else [])


def resolve_problems(paths: Sequence[Path], handlers: Sequence[str]) -> list[str]:
    """Resolve every absolute import of `lambdas` and every handler's name against the files in `paths`."""
    source = paths[0]
    problems = []
    for file in sorted((source / "lambdas").rglob("*.py")):
        for module in imported_modules(ast.parse(file.read_bytes())):
            if module.split(".")[0] not in sys.stdlib_module_names and not module_file(module, paths):
                problems.append(f"{file.relative_to(source)} imports {module}, which is not in the bundle.")
    for handler in handlers:
        module, name = handler.rsplit(".", 1)
        file = module_file(module, paths)
        if file is None or name not in names_defined(ast.parse(file.read_bytes())):
            problems.append(f"The handler {handler} does not exist.")
    return problems


def platform_problems(packages: Path) -> list[str]:
    """Check the wheel tags and the shared objects of installed packages for Python 3.13 on 64-bit ARM."""
    problems = []
    for wheel in sorted(packages.glob("*.dist-info/WHEEL")):
        tags = [
            line.removeprefix("Tag: ").split("-") for line in wheel.read_text().splitlines() if line.startswith("Tag: ")
        ]
        if not any(tag_fits(*tag) for tag in tags):
            problems.append(f"{wheel.parent.name} is a wheel for {['-'.join(tag) for tag in tags]}.")
    objects = [file for file in sorted(packages.rglob("*.so*")) if SHARED_OBJECT.fullmatch(file.name)]
    known = SYSTEM_LIBRARIES | {shared.name for shared in objects}
    for shared in objects:
        name, data = shared.relative_to(packages), shared.read_bytes()
        if elf.machine(data) != elf.AARCH64:
            problems.append(f"{name} is not a shared object for 64-bit ARM.")
        elif missing := elf.needed(data) - known:
            problems.append(f"{name} asks for libraries that are not there: {', '.join(sorted(missing))}.")
    return problems


def tag_fits(python: str, abi: str, platform: str) -> bool:
    """Say whether a wheel's tag (PEP 425) suits Lambda: pure Python, or compiled for 3.13 or the stable ABI on ARM."""
    pure = platform == "any" and abi == "none" and python in ("py3", "py313", "cp313")
    compiled = platform == "manylinux2014_aarch64" or (
        platform.startswith("manylinux_")
        and platform.endswith("_aarch64")
        and tuple(map(int, platform.split("_")[1:3])) <= GLIBC
    )
    return pure or (compiled and (python == "cp313" or abi == "abi3" or (python, abi) == ("py3", "none")))


def size_problems(bundle: Path) -> list[str]:
    """Check that a zip, once unpacked, is no larger than Lambda takes."""
    with zipfile.ZipFile(bundle) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
    too_much = f"The bundle holds {size / 2**20:.0f} MiB unzipped, and Lambda takes {UNZIPPED_LIMIT / 2**20:.0f}."
    return [too_much] if size > UNZIPPED_LIMIT else []


def imported_modules(tree: ast.AST) -> Iterator[str]:
    """Yield the absolute modules that a file imports, wherever in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def module_file(module: str, paths: Sequence[Path]) -> Path | None:
    """Return the file that `module` is read from, or None."""
    for path in paths:
        stem = path.joinpath(*module.split("."))
        for candidate in (
            stem / "__init__.py",
            stem.with_suffix(".py"),
            *sorted(stem.parent.glob(f"{stem.name}.*.so")),
        ):
            if candidate.is_file():
                return candidate
        if stem.is_dir():  # a namespace package
            return stem
    return None


def names_defined(tree: ast.Module) -> set[str]:
    """Return the names that a module's top level binds."""
    names = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names.update(target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names.update((name.asname or name.name).split(".")[0] for name in node.names)
    return names

"""What must be true of a bundle before it ships; each check returns the problems it found, one sentence each."""

import ast
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

ELF_MACHINE_AARCH64 = 183  # e_machine in the ELF header, <elf.h> EM_AARCH64
SMOKE_IMPORT = """
import importlib, sys
count, *rest = sys.argv[1:]
sys.path[:0] = rest[: int(count)]
for handler in rest[int(count):]:
    module, name = handler.rsplit(".", 1)
    try:
        assert callable(getattr(importlib.import_module(module), name))
    except Exception as error:
        print(f"{handler}: {type(error).__name__}: {error}")
"""


def import_problems(python: str, paths: Sequence[Path], handlers: Sequence[str]) -> list[str]:
    """Import every handler in a Python that sees nothing but `paths` and its standard library."""
    # -S: without it the interpreter's own site-packages would hide a missing dependency.
    command = [python, "-I", "-S", "-c", SMOKE_IMPORT, str(len(paths)), *map(str, paths), *handlers]
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
    for shared in sorted(packages.rglob("*.so*")):
        header = shared.read_bytes()[:20]
        if header[:4] != b"\x7fELF" or int.from_bytes(header[18:20], "little") != ELF_MACHINE_AARCH64:
            problems.append(f"{shared.relative_to(packages)} is not a shared object for 64-bit ARM.")
    return problems


def tag_fits(python: str, abi: str, platform: str) -> bool:
    """Say whether a wheel's tag (PEP 425) suits Lambda: pure Python, or compiled for 3.13 or the stable ABI on ARM."""
    pure = platform == "any" and abi == "none" and python in ("py3", "py313", "cp313")
    compiled = platform.startswith("manylinux") and platform.endswith("aarch64")
    return pure or (compiled and (python == "cp313" or abi == "abi3" or (python, abi) == ("py3", "none")))


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

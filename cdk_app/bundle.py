"""The functions' code: locked libraries and our sources in a zip, built for where it will run.

Two targets from one lock. `local` runs on this machine's Python and is imported before it is used. `aws` is for
Lambda's Python 3.13 on arm64, which this machine need not have: wheels only, checked by wheel tag, by the machine
in each shared object's ELF header, by the libraries it asks for, and by resolving every import.

Zips and their dependencies are kept by content in .slipway/cache/bundles; a change of source only adds its files
to the dependencies' zip.
"""

import fcntl
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import uv

from cdk_app import bundle_checks
from cdk_app.bundle_contents import ROOT, Contents, digest_of

CACHE = ROOT / ".slipway" / "cache" / "bundles"
ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest a zip can say: the same files give the same bytes


class BundleError(Exception):
    """The bundle cannot run where it is meant to."""


@dataclass(frozen=True)
class Target:
    """Where a bundle runs."""

    name: str
    platform: str
    """What, besides the sources and the lock, decides the content."""
    python: str | None
    """An interpreter of the target's version on this machine, to compile byte code with; None when there is none."""
    install: tuple[str, ...]
    """The installer's options."""


@dataclass(frozen=True)
class Bundle:
    """A finished zip, and the hash of everything it was made from."""

    path: Path
    digest: str
    bytecode: bool


def local_target() -> Target:
    """Return the target that runs on this machine, under this interpreter."""
    here = f"{sys.platform} {platform.machine()} {sys.implementation.cache_tag}"
    return Target("local", here, sys.executable, ("--python", sys.executable))


def aws_target() -> Target:
    """Return the target that runs on Lambda."""
    python = "python3.13" if python_version("python3.13") == "3.13" else None
    install = ("--python-platform", "aarch64-manylinux_2_28", "--python-version", "3.13", "--only-binary", ":all:")
    return Target("aws", f"arm64 3.13 {'with' if python else 'without'} byte code", python, install)


def build(target: Target, contents: Contents, handlers: Sequence[str], cache: Path = CACHE) -> Bundle:
    """Return the bundle of `contents`, built unless the cache has it; raises BundleError when it could not run.

    `handlers` are dotted names (`lambdas.jobs.handler.handler`); each must exist.
    """
    files = contents.source_files()
    digest = digest_of(
        contents.digest(target.platform), *handlers, *(f"{name} {digest_of(data)}" for name, data in files.items())
    )
    path = cache / f"{target.name}-{contents.name}-{digest}.zip"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with open(cache / "lock", "w") as lock, tempfile.TemporaryDirectory(dir=cache) as folder:
            fcntl.flock(lock, fcntl.LOCK_EX)  # tests, `make up` and a synth may build at the same time
            assemble(target, handlers, files, libraries(target, contents, cache), Path(folder), path)
    return Bundle(path, digest, bytecode=target.python is not None)


def assemble(
    target: Target, handlers: Sequence[str], files: Mapping[str, bytes], packages: Path, folder: Path, path: Path
) -> None:
    """Write the bundle's zip to `path`, with `folder` as workplace, once its source passes the checks."""
    source = folder / "source"
    for name, data in files.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(data)
    compile_folder(target, source)
    if target.name == "local":
        problems = bundle_checks.import_problems(sys.executable, [source, packages], handlers)
    else:
        problems = bundle_checks.resolve_problems([source, packages], handlers)
    if problems:
        raise BundleError("\n".join([f"The {target.name} bundle would not run:", *problems]))
    unfinished = folder / "bundle.zip"
    shutil.copyfile(packages.with_suffix(".zip"), unfinished)
    write_zip(source, unfinished, mode="a")
    if problems := bundle_checks.size_problems(unfinished):
        raise BundleError("\n".join(problems))
    unfinished.replace(path)


def libraries(target: Target, contents: Contents, cache: Path) -> Path:
    """Return the folder of the installed libraries, which has its zip beside it."""
    path = cache / f"{target.name}-{contents.name}-libraries-{contents.digest(target.platform)}"
    if not path.with_suffix(".zip").exists():
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            packages = Path(folder) / "packages"
            install(target, contents, packages)
            write_zip(packages, packages.with_suffix(".zip"), mode="w")
            shutil.rmtree(path, ignore_errors=True)
            packages.rename(path)
            packages.with_suffix(".zip").rename(path.with_suffix(".zip"))  # last: its presence says that both are whole
    return path


def install(target: Target, contents: Contents, packages: Path) -> None:
    """Install the locked libraries into `packages`, without what no function reads."""
    command = [uv.find_uv_bin(), "pip", "install", "--quiet", "--require-hashes", "--target", str(packages)]
    run([*command, *target.install, "--requirements", str(contents.requirements)])
    contents.prune(packages)
    if target.name == "aws" and (problems := bundle_checks.platform_problems(packages)):
        raise BundleError("\n".join(["These would not load on Lambda (Python 3.13, arm64):", *problems]))
    compile_folder(target, packages)


def compile_folder(target: Target, folder: Path) -> None:
    """Write byte code that never looks at the source's time stamp, where an interpreter of the target is here."""
    if target.python:
        options = ["-q", "-j", "2", "--invalidation-mode", "unchecked-hash", "-s", str(folder)]
        run([target.python, "-m", "compileall", *options, str(folder)])


def write_zip(folder: Path, path: Path, mode: str) -> None:
    """Write (`w`) or add (`a`) the files of `folder` to a zip, in order and with fixed times and modes."""
    with zipfile.ZipFile(path, "w" if mode == "w" else "a", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for file in sorted(file for file in folder.rglob("*") if file.is_file()):
            entry = zipfile.ZipInfo(file.relative_to(folder).as_posix(), ZIP_TIME)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, file.read_bytes())


def python_version(python: str) -> str | None:
    """Return the `3.13` of an interpreter, or None when it cannot be run (a shim of a version manager may be empty)."""
    try:
        script = "import sys; print('%d.%d' % sys.version_info[:2])"
        return subprocess.run([python, "-I", "-c", script], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def run(command: list[str]) -> None:
    """Run a build step; raises BundleError with its output when it fails."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise BundleError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")

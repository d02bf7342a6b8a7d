"""What each bundle holds: its own sources, its locked libraries, and what of those no function reads."""

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Written by the installer, different on every machine, read by nobody at run time.
INSTALLER_FILES = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json", "uv_build.json"}


@dataclass(frozen=True)
class Contents:
    """A bundle before it is built."""

    name: str
    sources: tuple[str, ...]
    """Patterns of files below the root; those of a pattern that starts with `!` are left out."""
    requirements: Path
    services: frozenset[str]
    """AWS services that clients can be made of: botocore ships every service's model, 19 MB in 440 folders that each
    new client walks through. A test finds the services in the sources."""
    unread: tuple[str, ...] = ()
    """Patterns of installed files that nothing imports, where the libraries would otherwise pass Lambda's limit."""

    def source_files(self) -> dict[str, bytes]:
        """Return the bundle's own files: path in the bundle -> content, in a fixed order."""
        chosen = {file for pattern in self.sources if pattern[0] != "!" for file in ROOT.glob(pattern)}
        chosen -= {file for pattern in self.sources if pattern[0] == "!" for file in ROOT.glob(pattern[1:])}
        return {file.relative_to(ROOT).as_posix(): file.read_bytes() for file in sorted(chosen)}

    def digest(self, platform: str) -> str:
        """Return what stands for the libraries as they are installed and pruned for a platform."""
        return digest_of(platform, self.requirements.read_bytes(), *sorted(self.services), *self.unread)

    def prune(self, packages: Path) -> None:
        """Delete what no function reads: scripts, the installer's notes, models of other services, and `unread`."""
        shutil.rmtree(packages / "bin", ignore_errors=True)
        for info in packages.glob("*.dist-info"):
            for name in INSTALLER_FILES:
                (info / name).unlink(missing_ok=True)
        for service in (packages / "botocore" / "data").iterdir():
            if service.is_dir() and service.name not in self.services:
                shutil.rmtree(service)
        for resource in (packages / "boto3" / "data").iterdir():
            if resource.is_dir():  # the `boto3.resource` interface, which we do not use
                shutil.rmtree(resource)
        for lock in packages.glob(".lock"):
            lock.unlink()
        for found in [path for pattern in self.unread for path in packages.glob(pattern)]:
            if found.is_dir():
                shutil.rmtree(found)
            else:
                found.unlink(missing_ok=True)  # two patterns, or a folder and a pattern, may name the same file


def digest_of(*parts: str | bytes) -> str:
    """Return 16 hexadecimal digits that stand for the parts, in order."""
    return hashlib.sha256(b"\0".join(part.encode() if isinstance(part, str) else part for part in parts)).hexdigest()[
        :16
    ]


CONTENTS = {
    "functions": Contents(
        name="functions",
        sources=("lambdas/**/*.py", "lambdas/common/prices.json", "openapi.json", "!lambdas/processing/**/*.py"),
        requirements=ROOT / "lambdas" / "requirements.txt",
        services=frozenset(
            {
                "application-autoscaling",
                "batch",
                "cloudwatch",
                "cognito-idp",
                "comprehend",
                "dynamodb",
                "events",
                "lambda",
                "logs",
                "s3",
                "sagemaker",
                "sagemaker-runtime",
                "stepfunctions",
                "sts",
            }
        ),
    ),
    # It reads what strangers uploaded, with the libraries for that, and holds nothing of the rest.
    "processing": Contents(
        name="processing",
        sources=(
            *("lambdas/__init__.py", "lambdas/processing/**/*.py"),
            *("lambdas/common/__init__.py", "lambdas/common/aws.py", "lambdas/common/zip_directory.py"),
        ),
        requirements=ROOT / "lambdas" / "processing" / "requirements.txt",
        services=frozenset({"s3"}),
        unread=(
            *("**/tests", "**/*.pyx", "**/*.pxd", "**/*.pxi", "**/*.pyi", "**/*.h", "**/*.a", "numpy/f2py"),
            # What pyarrow has for remote procedure calls, remote file systems, ORC and encrypted Parquet.
            *("pyarrow/*flight*", "pyarrow/libarrow_s3*", "pyarrow/_s3fs*", "pyarrow/_gcsfs*", "pyarrow/_azurefs*"),
            *("pyarrow/_hdfs*", "pyarrow/*_orc*", "pyarrow/*_encryption*", "pyarrow/_pyarrow_cpp_tests*"),
            # Copies of one library, which a wheel cannot hold as links; programs ask for the one of the middle name.
            *("pyarrow/libarrow_python*.so", "pyarrow/libarrow_python*.so.*.*"),
        ),
    ),
}

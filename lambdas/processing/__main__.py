"""The SageMaker Processing job that reads a dataset from disk: the same processing as the function, without a network.

Source: SageMaker Developer Guide, "Build Your Own Processing Container".
"""

import os
import signal
import sys
import traceback
from pathlib import Path

from lambdas.processing import request as requests
from lambdas.processing.process import process
from lambdas.processing.report import Report
from lambdas.processing.source import local_file

MESSAGE_CHARACTERS = 1024  # DescribeProcessingJob's ExitMessage holds as many


def main(base: Path) -> int:
    """Run one job to its exit status: 0 with a report, which may refuse the dataset; 1 with the reason in a message."""
    signal.signal(signal.SIGTERM, stop)
    try:
        report = run(base / "processing/input", base / "processing/output")
    except Exception as error:
        traceback.print_exc()
        reason = reason_of(error)[:MESSAGE_CHARACTERS]
        (base / "output").mkdir(parents=True, exist_ok=True)
        (base / "output/message").write_text(reason, "utf-8", "backslashreplace")
        print(reason, file=sys.stderr, flush=True)
        return 1
    print(f"Refused: {report.refused}" if report.refused else f"Read {report.rows:,} examples.", flush=True)
    return 0


def run(input: Path, output: Path) -> Report:
    """Read the files that the request names; write the report and what it speaks of."""
    request = requests.parse((input / "request/request.json").read_bytes())
    paths = [input / "files" / file.name for file in request.files]
    for path, file in zip(paths, request.files, strict=True):
        size = path.stat().st_size if path.is_file() else None
        if size != file.size:
            state = "is not there" if size is None else f"has {size:,} bytes"
            raise OSError(f"{file.name} {state}; {file.size:,} bytes were asked for.")
    output.mkdir(parents=True, exist_ok=True)
    return process([local_file(path) for path in paths], request.type, request.format, output)


def reason_of(error: Exception) -> str:
    """Return the cause for people; an error that nobody foresaw keeps its type, because that is what a search finds."""
    if isinstance(error, MemoryError):
        return "Processing ran out of memory: split the dataset's files into smaller ones."
    if isinstance(error, requests.WrongRequest):
        return str(error)
    return f"{type(error).__name__}: {error}"


def stop(*_: object) -> None:
    """End at once, as SIGTERM asks: half a report is of no use, and SageMaker uploads nothing of a stopped job."""
    print("Stopped.", flush=True)
    os._exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))))

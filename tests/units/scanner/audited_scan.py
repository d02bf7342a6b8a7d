"""Scans every file of a folder under an audit hook: prints each report, and each deed that no scan may do.

A process of its own, since Python never takes an audit hook back: `python -m tests.units.scanner.audited_scan FOLDER`.
"""

import json
import sys
from pathlib import Path
from typing import Any

from lambdas.scanner.registry import scan_file
from lambdas.scanner.report import FileReport
from lambdas.scanner.source import BytesSource
from tests.units.scanner.hostile_files import archive

FORBIDDEN = ("import", "exec", "compile", "open", "marshal.", "pickle.", "subprocess.", "socket.", "os.", "shutil.")
FORBIDDEN += ("ctypes.", "code.", "urllib.", "http.", "ftplib.", "smtplib.", "imaplib.", "webbrowser.", "tempfile.")
FORBIDDEN += ("sqlite3.", "pty.", "glob.", "sys.", "builtins.", "function.", "mmap.", "gc.", "cpython.")


def main(folder: Path) -> None:
    files = {file.name: file.read_bytes() for file in sorted(folder.iterdir())}
    done: list[str] = []
    current = "warming up"

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event.startswith(FORBIDDEN) and current != "warming up":
            done.append(f"{current}: {event} {arguments!r:.200}")

    sys.addaudithook(hook)
    # The first archive loads the codec of its names.
    scan_file(BytesSource(archive({"a.txt": b"x"})), "a.zip")
    reports = {}
    for name, data in files.items():
        current = name
        reports[name] = FileReport(name, None, scan_file(BytesSource(data), name.split("~")[-1])).to_json()
    current = "warming up"
    print(json.dumps({"reports": reports, "done": done}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

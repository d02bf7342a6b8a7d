"""The scanner's Lambda: one file behind a presigned URL, one report. It may do nothing else in the account."""

from __future__ import annotations

import hashlib
from contextlib import closing
from typing import Any

from lambdas.common.observability import logger
from lambdas.scanner.registry import scan_file
from lambdas.scanner.report import FileReport
from lambdas.scanner.source import IN_MEMORY, BytesSource, HttpSource, Source

READ_WHOLE = 1024**3  # larger files are read where their format needs it


def scan(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Examine one file: {"filename", "size", "url"} -> its report.

    Whatever the file does to a parser is a finding. Raises DownloadError, for a later attempt, when it cannot be read.
    """
    filename, size = str(event["filename"]), int(event["size"])
    with closing(HttpSource(event["url"], size)) as remote:
        source: Source = BytesSource(remote.read(0, size)) if size <= IN_MEMORY else remote
        sha256 = hash_of(source) if size <= READ_WHOLE else None
        found = scan_file(source, filename)
    logger.info("scanned", extra={"format": found.format, "verdict": found.verdict, "bytes": remote.bytes_read})
    return FileReport(filename, sha256, found).to_json()


def hash_of(source: Source) -> str:
    """Return the SHA-256 of all bytes."""
    hashed = hashlib.sha256()
    for chunk in source.chunks():
        hashed.update(chunk)
    return hashed.hexdigest()

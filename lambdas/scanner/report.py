"""What a scan says of a file: findings, the examination by one format's scanner, the report of the whole."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

Severity = Literal["info", "suspicious", "malicious"]
Verdict = Literal["clean", "unscanned", "suspicious", "malicious"]
SEVERITIES: tuple[Severity, ...] = ("malicious", "suspicious", "info")  # the worst first
MOST_FINDINGS = 20
LONGEST_MESSAGE = 300
MOST_BYTES = 16_000  # of a report: a workflow hands on a dozen at once, and holds 256 KB


@dataclass(frozen=True)
class Finding:
    """One thing worth knowing about a file; the message names what and where in one sentence."""

    severity: Severity
    code: str
    message: str

    def within(self, member: str) -> Finding:
        """Return the finding as it reads from outside the archive that the member is in."""
        return Finding(self.severity, self.code, f"{shown(member, 100)}: {self.message}")

    def to_json(self) -> dict[str, str]:
        return {"severity": self.severity, "code": self.code, "message": shown(self.message, LONGEST_MESSAGE)}


@dataclass
class Examination:
    """What the scanner of one format found in a file or in a member of an archive.

    `scanned` is False when some of it could not be understood or walked within limits, so nobody can call it clean.
    """

    format: str | None
    framework: str | None = None
    findings: list[Finding] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
    scanned: bool = True

    def malicious(self, code: str, message: str) -> None:
        self.findings.append(Finding("malicious", code, message))

    def suspicious(self, code: str, message: str) -> None:
        self.findings.append(Finding("suspicious", code, message))

    def info(self, code: str, message: str) -> None:
        self.findings.append(Finding("info", code, message))

    def unscanned(self, code: str, message: str) -> None:
        """Say what could not be looked at, and that the whole therefore is not clean."""
        self.scanned = False
        self.info(code, message)

    def absorb(self, inner: Examination, member: str) -> None:
        """Take over what was found in a member of this archive."""
        self.findings += [finding.within(member) for finding in inner.findings]
        self.scanned = self.scanned and inner.scanned
        if len(self.findings) > 10 * MOST_FINDINGS:  # a hostile archive may have millions
            self.findings = worst(self.findings)[:MOST_FINDINGS]

    @property
    def verdict(self) -> Verdict:
        return verdict(self.findings, self.scanned)


def verdict(findings: Iterable[Finding], scanned: bool) -> Verdict:
    """Return the worst finding's severity; without one, whether there is nothing or nobody could tell."""
    severities = {finding.severity for finding in findings}
    if "malicious" in severities:
        return "malicious"
    if "suspicious" in severities:
        return "suspicious"
    return "clean" if scanned else "unscanned"


@dataclass(frozen=True)
class FileReport:
    """The answer for one file."""

    filename: str
    sha256: str | None
    examination: Examination

    def to_json(self) -> dict[str, Any]:
        """Return the report with each finding once, the worst first, and no more than a workflow carries."""
        found = self.examination
        report: dict[str, Any] = {
            "filename": self.filename,
            "sha256": self.sha256,
            "verdict": found.verdict,
            "findings": [finding.to_json() for finding in worst(found.findings)[:MOST_FINDINGS]],
            "format": found.format,
            "framework": found.framework,
            "metadata": dict(found.metadata),
        }
        while report["findings"][1:] and len(json.dumps(report)) > MOST_BYTES:
            report["findings"].pop()
        if len(json.dumps(report)) > MOST_BYTES:
            report["metadata"].pop("dependencies", None)
        return report


def worst(findings: Iterable[Finding]) -> list[Finding]:
    """Return each finding once, the worst first and otherwise in their order."""
    return sorted(dict.fromkeys(findings), key=lambda finding: SEVERITIES.index(finding.severity))


def shown(text: str, longest: int) -> str:
    """Return a stranger's text fit to print on one line: control and bidirectional marks escaped, cut to length."""
    safe = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text[:longest])
    return safe if len(safe) <= longest and len(text) <= longest else safe[: longest - 3] + "..."

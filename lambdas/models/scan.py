"""What the scanner's reports mean for a version: pure."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lambdas.models.manifest import Files
from lambdas.models.schemas import Dependencies, Finding, Framework, ModelVersion, Shape, StoredFile, Verdict

WORST: list[Verdict] = ["malicious", "suspicious", "unscanned", "clean"]
LEARNED = ("input_shape", "output_shape", "num_parameters", "python_version", "dependencies")


class Metadata(BaseModel):
    """What a file's header says of the model in it."""

    input_shape: Shape | None = None
    output_shape: Shape | None = None
    num_parameters: int | None = None
    dependencies: Dependencies | None = None
    python_version: str | None = Field(default=None, max_length=200)


class Report(BaseModel):
    """What the scanner says of a file. It has read hostile bytes: what it says is checked like a client's word."""

    model_config = ConfigDict(extra="ignore")

    verdict: Verdict
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    findings: list[Finding] = Field(default_factory=list, max_length=50)
    format: str | None = Field(default=None, max_length=40)
    framework: Framework | None = None
    metadata: Metadata = Field(default_factory=Metadata)


def scanned(file: StoredFile, report: dict[str, Any] | None) -> StoredFile:
    """Return a file with what the scanner said of it, or as it is when nothing was said."""
    if report is None:
        return file
    try:
        said = Report.model_validate(report)
    except ValidationError:
        # The item of a scanner that died, {"filename", "error"}, or one that something has taken over.
        broken = Finding(severity="info", code="not_scanned", message="The scanner could not finish with this file.")
        said = Report(verdict="unscanned", findings=[broken])
    return file.model_copy(
        update={
            "scanned": True,
            "verdict": said.verdict,
            "findings": said.findings,
            "file_hash": said.sha256,
            "format": said.format,
            "framework": said.framework,
            "metadata": said.metadata.model_dump(exclude_none=True),
        }
    )


def outcome(version: ModelVersion, files: Files) -> dict[str, Any]:
    """Return the changes that the files' scans mean for their version: verdict, status, and what was learned.

    What the owner has said already stays. The primary file is asked first, then the others in their order.
    """
    verdicts = {file.verdict for file in files}
    verdict = next((verdict for verdict in WORST if verdict in verdicts), "unscanned")
    changes: dict[str, Any] = {"verdict": verdict, "status": "blocked" if verdict == "malicious" else "ready"}
    changes["size_bytes"] = sum(file.file_size for file in files)
    if verdict == "malicious":
        changes["reason"] = reason(files)
    in_order = sorted(files, key=lambda file: not file.is_primary)
    changes["detected_framework"] = next((file.framework for file in in_order if file.framework), None)
    # What people wrote down says more than the two or three libraries that a pickle was written with.
    requirements_first = sorted(in_order, key=lambda file: not file.filename.endswith("requirements.txt"))
    for name in LEARNED:
        asked = requirements_first if name == "dependencies" else in_order
        learned = next((file.metadata[name] for file in asked if name in file.metadata), None)
        if learned is not None and not getattr(version, name):
            changes[name] = learned
    return changes


def reason(files: Files) -> str:
    """Return the first of what makes a version malicious."""
    findings = [
        f"{file.filename}: {finding.message}"
        for file in files
        for finding in file.findings
        if finding.severity == "malicious"
    ]
    more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
    return (findings[0] if findings else "A file is malicious") + more

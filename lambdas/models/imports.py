"""Versions that come from the Hugging Face Hub: an upload whose parts the platform brings, checked by their hashes.

The request asks the Hub what a repository holds and registers a version with these files; the workflow `import` brings
the bytes from that very commit. After that the version is scanned like any other.
"""

import hashlib
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from lambdas.common import aws, uploads, waits, workflows
from lambdas.common.environment import variable
from lambdas.common.errors import Conflict, NotFound, TooLarge
from lambdas.models import hub, manifest, upload
from lambdas.models.hub import HubFile, HubRefused, Repository
from lambdas.models.requests import FileUpload, ImportCreate, ModelCreate
from lambdas.models.schemas import HubSource, ModelVersion
from lambdas.models.upload import PlannedFile

WORKFLOW = "IMPORT_WORKFLOW_ARN"
MAX_FILES = 500
MAX_FILE_BYTES = 50 * 1024**3  # a file is brought, and hashed, within the 15 minutes of one function
ENOUGH_SECONDS = 600  # what must be left of them to begin another file
THREADS = 4  # parts at once, 16 MiB each
FAILED = "The import from Hugging Face failed: "


def start(owner: str, new: ImportCreate) -> ModelVersion:
    """Register a version with a repository's files and have them brought; raises BadRequest, Conflict, TooLarge."""
    repository = hub.lookup(new.repo_id, new.revision)
    files = sized(repository)
    entries = upload.entries_of(files)
    source = HubSource(repo_id=new.repo_id, revision=new.revision, commit=repository.sha)
    version = upload.register(
        owner, described(new, repository), files, entries, source=source, license=repository.license
    )
    hashes = {file.filename: file.hash for file in repository.siblings}
    with ThreadPoolExecutor(upload.THREADS) as pool:
        planned = list(pool.map(lambda pair: upload.plan_file(version, *pair), zip(files, entries, strict=True)))
    upload.write_plan(version, [file.model_copy(update={"hash": hashes[file.filename]}) for file in planned])
    workflows.start(WORKFLOW, owner, version.id)
    return version


def described(new: ImportCreate, repository: Repository) -> ModelCreate:
    """Return the version to register; what the request leaves out is the repository's own."""
    name = re.sub(r"[^a-z0-9._-]", "-", new.repo_id.rpartition("/")[2].casefold()).lstrip("._-")
    return ModelCreate(
        model_id=new.model_id or name[:63],
        name=new.name or new.repo_id,
        version=new.version,
        framework="huggingface",
        model_type=repository.model_type,
    )


def sized(repository: Repository) -> list[FileUpload]:
    """Return the files to import, the weights first; raises BadRequest, TooLarge for what is more than may come."""
    wanted = sorted(hub.wanted_files(repository), key=lambda file: not file.filename.endswith(hub.WEIGHTS))
    if len(wanted) > MAX_FILES:
        raise hub.refused("repo_id", f"{repository.id} has {len(wanted):,} files; {MAX_FILES} are possible")
    if nameless := next((file for file in wanted if file.size is None or file.hash is None), None):
        raise hub.refused("repo_id", f"the Hub does not say what {nameless.filename} is")
    total, limit = sum(file.size or 0 for file in wanted), int(variable("MAX_MODEL_BYTES"))
    if total > limit:
        raise TooLarge(f"{repository.id} has {total:,} bytes; at most {limit:,} are possible here.")
    if large := next((file for file in wanted if (file.size or 0) > MAX_FILE_BYTES), None):
        raise TooLarge(f"{large.filename} has {large.size:,} bytes; files of at most {MAX_FILE_BYTES:,} are imported.")
    return [planned_upload(file) for file in wanted]


def planned_upload(file: HubFile) -> FileUpload:
    """Return a file of the Hub as an upload plan takes it."""
    return FileUpload(filename=file.filename, size=file.size or 0, sha256=file.lfs and file.lfs.sha256)


# ----------------------------------------------------------------------------------------------------- bytes


def bring(version: ModelVersion, seconds_left: Callable[[], float]) -> bool:
    """Bring files of a version while there is time, and have it scanned once all are here; return whether they are.

    What an earlier call brought stays. Raises HubRefused, Unavailable.
    """
    begun = False
    for file in upload.read_plan(version):
        if file.upload_id is None or is_here(version, file):
            continue
        if begun and seconds_left() < ENOUGH_SECONDS:
            return False
        begun = True
        bring_file(version, file, file.upload_id)
    upload.complete(version)
    return True


def is_here(version: ModelVersion, file: PlannedFile) -> bool:
    """Return whether a file lies in its place already."""
    try:
        return uploads.size_of(variable("MODELS_BUCKET"), version.prefix + file.filename) == file.size
    except NotFound:
        return False


def bring_file(version: ModelVersion, file: PlannedFile, upload_id: str) -> None:
    """Bring one file: its parts in order, some at a time; raises HubRefused when it is not what the Hub announced."""
    bucket, key = variable("MODELS_BUCKET"), version.prefix + file.filename
    try:
        present = {part["PartNumber"] for part in uploads.uploaded_parts(bucket, key, upload_id)}
    except Conflict as error:
        raise HubRefused(f"The upload of {file.filename} was given up meanwhile.") from error
    source, digest = version.source, Digest(file)
    assert source is not None

    def bring_part(part: tuple[int, int, int]) -> bytes:
        number, offset, size = part
        body = hub.read(source.repo_id, source.commit, file.filename, offset, size) if size else b""
        if number not in present:
            target = {"Bucket": bucket, "Key": key, "UploadId": upload_id, "PartNumber": number}
            aws.client("s3").upload_part(**target, Body=body)
        return body

    with ThreadPoolExecutor(THREADS) as pool:
        parts = uploads.part_ranges(file.size)
        for first in range(0, len(parts), THREADS):  # no more than these are in memory
            for body in pool.map(bring_part, parts[first : first + THREADS]):
                digest.update(body)
    if not digest.agrees():
        raise HubRefused(f"{file.filename} is not what the Hub announced: its hash is another.")
    if lacking := upload.make_file(version, file):
        raise HubRefused(lacking)


class Digest:
    """The hash of a file's bytes, as the Hub names it."""

    def __init__(self, file: PlannedFile) -> None:
        self.kind, _, self.expected = (file.hash or "").partition(":")
        git = hashlib.sha1(f"blob {file.size}\0".encode(), usedforsecurity=False)
        self._hash = git if self.kind == "git" else hashlib.sha256()

    def update(self, body: bytes) -> None:
        """Take the next bytes."""
        self._hash.update(body)

    def agrees(self) -> bool:
        """Return whether the bytes were those that were announced."""
        return self._hash.hexdigest() == self.expected


# ------------------------------------------------------------------------------------------------------- end


def fail(version: ModelVersion, error: dict[str, Any]) -> None:
    """Store why a version did not come, and give up what there is of it."""
    upload.abort(version)
    reason = (FAILED + workflows.reason_of(error))[:1000]
    manifest.store(
        version,
        waits.closing(version.id),
        unless=lambda version: version.status != "uploading",
        status="failed",
        reason=reason,
    )


def reconcile(version: ModelVersion) -> None:
    """Start an import that never began; fail one whose workflow ended without saying how."""
    execution = workflows.execution(WORKFLOW, version.id)
    if execution["status"] == "ABSENT":
        workflows.start(WORKFLOW, version.owner, version.id)
    elif execution["status"] != "RUNNING":
        fail(version, {"Error": execution.get("error"), "Cause": execution.get("cause")})

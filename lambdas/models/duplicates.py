"""Files that an owner has already, found by the SHA-256 that our own scan computed; never across owners."""

from lambdas.common import aws
from lambdas.common.environment import variable
from lambdas.common.errors import NotFound, Stale
from lambdas.common.transactions import transact
from lambdas.models import manifest
from lambdas.models.records import MODELS, read_pointer
from lambdas.models.schemas import ModelVersion, StoredFile
from lambdas.models.versions import pointer_deletion


def find(owner: str, sha256: str, size: int) -> str | None:
    """Return the key of a file of the owner's with this hash and size, or None."""
    pointer = read_pointer(owner, pointer_id(sha256))
    if pointer is None:
        return None
    try:
        files = manifest.files_of(MODELS.get(owner, pointer["target"]))
    except NotFound:
        return None  # that version was deleted
    return next((file.file_path for file in files if file.file_hash == sha256 and file.file_size == size), None)


def remember(version: ModelVersion, files: list[StoredFile]) -> None:
    """Note that these files are here; of several alike, the newest."""
    for sha256 in {file.file_hash for file in files if file.file_hash}:
        item = {"owner": {"S": version.owner}, "id": {"S": pointer_id(sha256)}, "target": {"S": version.id}}
        aws.client("dynamodb").put_item(TableName=variable("MODELS_TABLE"), Item=item)


def forget(version: ModelVersion, files: list[StoredFile]) -> None:
    """Take back the notes that lead to a version's files."""
    for sha256 in {file.file_hash for file in files if file.file_hash}:
        try:
            transact(pointer_deletion(version.owner, pointer_id(sha256), version.id))
        except Stale:
            continue  # a later version has the same file


def copy(source: str, target: str) -> None:
    """Copy a file inside S3, where S3 computes its CRC32; at most 5 GiB, and hashes are known up to 1 GiB only."""
    bucket = variable("MODELS_BUCKET")
    aws.client("s3").copy_object(
        Bucket=bucket, Key=target, CopySource={"Bucket": bucket, "Key": source}, ChecksumAlgorithm="CRC32"
    )


def pointer_id(sha256: str) -> str:
    """Return the id of the note about a hash."""
    return f"sha256#{sha256}"

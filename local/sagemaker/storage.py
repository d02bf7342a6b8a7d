"""What moves between S3 and a job's folder: prefixes, archives and checkpoints. All functions block."""

import re
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError

CHUNK = 1 << 20
S3_URI = re.compile(
    r"s3://(?P<bucket>[^/]+)/?(?P<key>.*)"
    r"|https://s3[.-][^/]+/(?P<path_bucket>[^/]+)/?(?P<path_key>.*)"
    r"|https://(?P<host_bucket>[^/]+)\.s3[.-][^/]+/?(?P<host_key>.*)"
)
S3_ERRORS = (ClientError, BotoCoreError, Boto3Error)  # the last is what `upload_file` raises
Signature = tuple[int, int]


class StorageError(Exception):
    """The data could not be moved; the message says which and why."""


class Cancelled(Exception):
    """The job was stopped during a download."""


def parse_uri(uri: str) -> tuple[str, str]:
    """(bucket, key) of an `s3://` URI or an `https://` S3 URL, both of which SageMaker takes. Raises StorageError."""
    match = S3_URI.fullmatch(uri)
    if match is None:
        raise StorageError(f"{uri} is not an S3 location")
    bucket, key = [part for part in match.groups() if part is not None]
    return bucket, key


def local_name(prefix: str, key: str) -> str:
    """Where an object goes below its channel folder; `prefix` may be a folder, the start of a name, or one object."""
    if key == prefix:
        return key.rpartition("/")[2]
    if prefix.endswith("/") or key[len(prefix)] == "/":
        return key[len(prefix) :].lstrip("/")
    return key[prefix.rfind("/") + 1 :]


def download_prefix(s3: Any, uri: str, folder: Path, cancelled: Callable[[], bool] = lambda: False) -> int:
    """Downloads every object below `uri`, one streaming GET each; how many. Raises StorageError, Cancelled."""
    bucket, prefix = parse_uri(uri)
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    for key in _keys(s3, bucket, prefix):
        if key.endswith("/"):
            continue
        target = (folder / local_name(prefix, key)).resolve()
        if not target.is_relative_to(folder.resolve()):
            raise StorageError(f"the key {key} points outside its folder")
        download_object(s3, bucket, key, target, cancelled)
        count += 1
    return count


def download_object(
    s3: Any, bucket: str, key: str, target: Path, cancelled: Callable[[], bool] = lambda: False
) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    body = s3.get_object(Bucket=bucket, Key=key)["Body"]
    with body, target.open("wb") as file:
        for chunk in body.iter_chunks(CHUNK):
            if cancelled():
                raise Cancelled
            file.write(chunk)


def download_archive(s3: Any, uri: str, folder: Path) -> None:
    """Downloads a `.tar.gz` and unpacks it into `folder`; members that would leave the folder are refused."""
    bucket, key = parse_uri(uri)
    archive = folder.parent / "model.tar.gz"
    download_object(s3, bucket, key, archive)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(archive, "r:gz") as tar:
            unpack(tar, folder)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise StorageError(f"{uri} cannot be unpacked: {error}") from error
    finally:
        archive.unlink()


def unpack(archive: tarfile.TarFile, folder: Path) -> None:
    """Writes an archive's files entry by entry; raises StorageError for links, devices and paths that lead outside."""
    root = folder.resolve()
    for member in archive:
        target = (root / member.name).resolve()
        if not target.is_relative_to(root) or not (member.isfile() or member.isdir()):
            raise StorageError(f"the archive's entry {member.name!r} is no file inside the model's folder")
        if member.isdir():
            target.mkdir(parents=True, exist_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        source = archive.extractfile(member)
        assert source is not None  # isfile() says so
        with source, target.open("wb") as file:
            shutil.copyfileobj(source, file)


def upload_archive(s3: Any, folder: Path, uri: str) -> bool:
    """Packs `folder` as `.tar.gz` and uploads it; False when the folder is empty and nothing was uploaded."""
    if not folder.is_dir() or not any(folder.iterdir()):
        return False
    bucket, key = parse_uri(uri)
    archive = folder.parent / f"{folder.name}.tar.gz"
    with tarfile.open(archive, "w:gz", compresslevel=1) as tar:  # models hardly compress: speed matters more
        for entry in sorted(folder.iterdir()):
            tar.add(entry, arcname=entry.name)
    s3.upload_file(str(archive), bucket, key)
    archive.unlink()
    return True


def upload_folder(s3: Any, folder: Path, uri: str) -> None:
    """Uploads the files below `folder` to the prefix `uri`; links are left out, as SageMaker does."""
    bucket, prefix = parse_uri(uri)
    if prefix and not prefix.endswith("/"):
        prefix += "/"
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            s3.upload_file(str(path), bucket, prefix + path.relative_to(folder).as_posix())


def remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


class CheckpointFolder:
    """Copies a job's checkpoint folder to S3: changed files go up, and a file deleted here is deleted there."""

    def __init__(self, s3: Any, uri: str, folder: Path) -> None:
        self._s3, self._folder = s3, folder
        self._bucket, prefix = parse_uri(uri)
        self._prefix = prefix if not prefix or prefix.endswith("/") else prefix + "/"
        self._uploaded: dict[str, Signature] = {}
        self._seen: dict[str, Signature] = {}

    def restore(self, cancelled: Callable[[], bool]) -> None:
        """Brings existing checkpoints down, before the program starts."""
        download_prefix(self._s3, f"s3://{self._bucket}/{self._prefix}", self._folder, cancelled)
        self._uploaded = self._seen = dict(self._scan())

    def sync(self, final: bool = False) -> None:
        """Uploads changes; unless `final`, a file that just changed waits for the next look: it may be half written."""
        now = dict(self._scan())
        for name, signature in now.items():
            settled = final or self._seen.get(name) == signature
            if settled and self._uploaded.get(name) != signature and self._upload(name):
                self._uploaded[name] = signature
        for name in self._uploaded.keys() - now.keys():
            self._s3.delete_object(Bucket=self._bucket, Key=self._prefix + name)
            del self._uploaded[name]
        self._seen = now

    def _upload(self, name: str) -> bool:
        try:
            self._s3.upload_file(str(self._folder / name), self._bucket, self._prefix + name)
        except FileNotFoundError:  # replaced or deleted by the program meanwhile; the next look sees it
            return False
        return True

    def _scan(self) -> Iterator[tuple[str, Signature]]:
        for path in sorted(self._folder.rglob("*")):
            try:
                if path.is_file() and not path.is_symlink():
                    status = path.stat()
                    yield path.relative_to(self._folder).as_posix(), (status.st_size, status.st_mtime_ns)
            except FileNotFoundError:
                continue


def _keys(s3: Any, bucket: str, prefix: str) -> Iterator[str]:
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        yield from (entry["Key"] for entry in page.get("Contents", []))

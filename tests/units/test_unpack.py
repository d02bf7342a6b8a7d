"""Unpacking model archives.  `pytest tests/units/test_unpack.py`"""

import io
import tarfile
from pathlib import Path

import pytest

from local.sagemaker.storage import StorageError, unpack


def archive(*members: tuple[tarfile.TarInfo, bytes]) -> tarfile.TarFile:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        for info, data in members:
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return tarfile.open(fileobj=io.BytesIO(content.getvalue()), mode="r:gz")


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def test_files_and_folders_are_written(tmp_path: Path) -> None:
    with archive((entry("./a.txt"), b"a"), (entry("deep/b"), b"b")) as tar:
        unpack(tar, tmp_path)
    assert ((tmp_path / "a.txt").read_bytes(), (tmp_path / "deep" / "b").read_bytes()) == (b"a", b"b")


@pytest.mark.parametrize(
    "hostile",
    [
        entry("../outside"),
        entry("/tmp/slipway-outside"),
        entry("a/../../outside"),
        entry("link", tarfile.SYMTYPE, "/etc/passwd"),
        entry("link", tarfile.LNKTYPE, "../outside"),
        entry("device", tarfile.CHRTYPE),
        entry("pipe", tarfile.FIFOTYPE),
    ],
    ids=lambda info: f"{info.name} type {info.type.decode()}",
)
def test_whatever_is_no_file_inside_the_folder_is_refused(tmp_path: Path, hostile: tarfile.TarInfo) -> None:
    inside = tmp_path / "model"
    inside.mkdir()
    with archive((hostile, b"")) as tar, pytest.raises(StorageError, match="no file inside"):
        unpack(tar, inside)
    assert [path.name for path in tmp_path.rglob("*")] == ["model"]

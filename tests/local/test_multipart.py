"""Unfinished uploads on disk.  `.venv/bin/python -m pytest tests/local/test_multipart.py`"""

from pathlib import Path

from local.multipart import UploadsOnDisk

UPLOAD = {"bucket": "data", "key": "a/b.csv", "metadata": {}, "parts": {}, "created": "2026-01-01T00:00:00Z"}
PART = {"body": b"\x00\xff" * 10, "etag": '"0"', "size": 20, "checksums": {"CRC32": "x"}}


def test_what_was_kept_comes_back_whole(tmp_path: Path) -> None:
    uploads = UploadsOnDisk(tmp_path)
    uploads.save("one", UPLOAD)
    uploads.save_part("one", 2, PART)
    uploads.save_part("one", 10, PART | {"etag": '"1"'})
    uploads.save_part("one", 2, PART | {"etag": '"again"'})
    assert dict(UploadsOnDisk(tmp_path).load()) == {
        "one": UPLOAD | {"parts": {2: PART | {"etag": '"again"'}, 10: PART | {"etag": '"1"'}}}
    }


def test_a_part_cut_off_while_it_was_written_is_not_there(tmp_path: Path) -> None:
    uploads = UploadsOnDisk(tmp_path)
    uploads.save("one", UPLOAD)
    (tmp_path / "one" / "3.part").write_bytes(b"half")
    assert dict(uploads.load()) == {"one": UPLOAD}


def test_an_upload_that_is_over_is_forgotten(tmp_path: Path) -> None:
    uploads = UploadsOnDisk(tmp_path)
    uploads.save("one", UPLOAD)
    uploads.save_part("one", 1, PART)
    uploads.remove("one")
    uploads.remove("one")
    assert list(uploads.load()) == []

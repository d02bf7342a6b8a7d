"""Unfinished uploads on disk.  `.venv/bin/python -m pytest tests/local/test_multipart.py`"""

from pathlib import Path
from typing import Any

from local.multipart import UploadsOnDisk

UPLOAD = {"bucket": "data", "key": "a/b.csv", "metadata": {}, "parts": {}, "created": "2026-01-01T00:00:00Z"}
BYTES = b"\x00\xff" * 10
PART = {"body": BYTES, "etag": '"0"', "size": 20, "checksums": {"CRC32": "x"}}


def loaded(folder: Path) -> dict[str, Any]:
    """What is kept, with the parts' bytes in the place of their files."""
    found = dict(UploadsOnDisk(folder).load())
    for upload in found.values():
        for part in upload["parts"].values():
            part["body"] = part["body"].read_bytes()
    return found


def test_what_was_kept_comes_back_whole(tmp_path: Path) -> None:
    uploads = UploadsOnDisk(tmp_path)
    uploads.save("one", UPLOAD)
    uploads.save_part("one", 2, {**PART})
    uploads.save_part("one", 10, {**PART, "etag": '"1"'})
    uploads.save_part("one", 2, {**PART, "etag": '"again"'})
    assert loaded(tmp_path) == {"one": UPLOAD | {"parts": {2: PART | {"etag": '"again"'}, 10: PART | {"etag": '"1"'}}}}


def test_a_kept_part_is_in_memory_no_more(tmp_path: Path) -> None:
    uploads, part = UploadsOnDisk(tmp_path), {**PART}
    uploads.save("one", UPLOAD)
    uploads.save_part("one", 1, part)
    assert isinstance(part["body"], Path) and part["body"].read_bytes() == BYTES


def test_parts_are_joined_in_order_and_only_once(tmp_path: Path) -> None:
    uploads = UploadsOnDisk(tmp_path)
    uploads.save("one", UPLOAD)
    parts = [{"body": b"%d" % n * 1000, "etag": f'"{n}"', "size": 1000} for n in range(3)]
    for number, part in enumerate(parts, start=1):
        uploads.save_part("one", number, part)
    whole = uploads.joined("one", parts)
    assert whole.read_bytes() == b"0" * 1000 + b"1" * 1000 + b"2" * 1000
    before = whole.stat().st_ino
    assert uploads.joined("one", parts).stat().st_ino == before
    assert uploads.joined("one", parts[1:]).read_bytes() == b"1" * 1000 + b"2" * 1000


def test_a_part_cut_off_while_it_was_written_is_not_there(tmp_path: Path) -> None:
    uploads = UploadsOnDisk(tmp_path)
    uploads.save("one", UPLOAD)
    (tmp_path / "one" / "3.part").write_bytes(b"half")
    assert dict(uploads.load()) == {"one": UPLOAD}


def test_an_upload_that_is_over_is_forgotten(tmp_path: Path) -> None:
    uploads = UploadsOnDisk(tmp_path)
    uploads.save("one", UPLOAD)
    uploads.save_part("one", 1, {**PART})
    uploads.remove("one")
    uploads.remove("one")
    assert list(uploads.load()) == []

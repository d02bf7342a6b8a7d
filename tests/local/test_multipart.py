"""Unfinished uploads on disk.  `.venv/bin/python -m pytest tests/local/test_multipart.py`"""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from local.multipart import Stretch, UploadsOnDisk

UPLOAD = {"bucket": "data", "key": "a/b.csv", "metadata": {}, "parts": {}, "created": "2026-01-01T00:00:00Z"}
BYTES = b"\x00\xff" * 10
PART = {"body": BYTES, "etag": '"0"', "size": 20, "checksums": {"CRC32": "x"}}


def bytes_of(body: Stretch) -> bytes:
    return body.file.read_bytes()[body.offset : body.offset + body.size]


def loaded(folder: Path) -> dict[str, Any]:
    """What is kept, with the parts' bytes in the place of their files."""
    found = dict(UploadsOnDisk(folder).load())
    for upload in found.values():
        for part in upload["parts"].values():
            part["body"] = bytes_of(part["body"])
    return found


def sent(uploads: UploadsOnDisk, *bodies: tuple[int, bytes]) -> dict[int, dict[str, Any]]:
    """Save these parts in this order; returns them by number."""
    uploads.save("one", UPLOAD)
    parts = {}
    for number, body in bodies:
        parts[number] = {"body": body, "etag": f'"{hashlib.md5(body).hexdigest()}"', "size": len(body)}
        uploads.save_part("one", number, parts[number])
    return parts


def test_what_was_kept_comes_back_whole(tmp_path: Path) -> None:
    uploads = UploadsOnDisk(tmp_path)
    uploads.save("one", UPLOAD)
    uploads.save_part("one", 2, {**PART})
    uploads.save_part("one", 10, {**PART, "etag": '"1"'})
    uploads.save_part("one", 2, {**PART, "etag": '"again"'})
    assert loaded(tmp_path) == {"one": UPLOAD | {"parts": {2: PART | {"etag": '"again"'}, 10: PART | {"etag": '"1"'}}}}


def test_a_kept_part_is_in_memory_no_more(tmp_path: Path) -> None:
    part = sent(UploadsOnDisk(tmp_path), (1, BYTES))[1]
    assert isinstance(part["body"], Stretch) and bytes_of(part["body"]) == BYTES


def test_parts_of_one_size_lie_as_they_will_in_the_object(tmp_path: Path) -> None:
    uploads = UploadsOnDisk(tmp_path)
    parts = sent(uploads, (2, b"2222"), (4, b"4"), (1, b"1111"), (3, b"3333"))
    whole = uploads.joined("one", [parts[number] for number in (1, 2, 3, 4)])
    assert whole == parts[1]["body"].file == parts[4]["body"].file
    assert whole.read_bytes() == b"1111222233334"


@pytest.mark.parametrize(
    ("bodies", "named", "whole"),
    [
        ([(3, b"3"), (1, b"1111"), (2, b"2222")], [1, 2, 3], b"111122223"),  # the last one came first
        ([(1, b"1111"), (2, b"22"), (3, b"3333")], [1, 2, 3], b"1111223333"),
        ([(1, b"1111"), (2, b"2222"), (3, b"3333")], [1, 3], b"11113333"),
        ([(1, b"1111"), (2, b"2222"), (3, b"3333")], [1, 2], b"11112222"),
        ([(1, b"1111"), (2, b"2222"), (1, b"aaaa")], [1, 2], b"aaaa2222"),
        ([(1, b"1111"), (2, b"2222"), (2, b"bb")], [1, 2], b"1111bb"),
        ([(7, b"7777")], [7], b"7777"),
        ([(1, b"")], [1], b""),
    ],
)
def test_other_parts_are_joined_as_they_are_named(
    tmp_path: Path, bodies: list[tuple[int, bytes]], named: list[int], whole: bytes
) -> None:
    uploads = UploadsOnDisk(tmp_path)
    parts = sent(uploads, *bodies)
    file = uploads.joined("one", [parts[number] for number in named])
    assert file.read_bytes() == whole
    assert uploads.joined("one", [parts[number] for number in named]) == file
    ((_, again),) = UploadsOnDisk(tmp_path).load()  # as after a restart
    assert uploads.joined("one", [again["parts"][number] for number in named]).read_bytes() == whole


def test_a_copied_part_is_a_stretch_of_what_was_copied_even_when_that_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "object").write_bytes(b"0123456789")
    uploads = UploadsOnDisk(tmp_path / "uploads")
    parts = sent(uploads, (1, b"head"))
    parts[2] = {"etag": '"2"', "size": 4, "source": Stretch(tmp_path / "object", 3, 4), "body": memoryview(b"3456")}
    uploads.save_part("one", 2, parts[2])
    (tmp_path / "other").write_bytes(b"##########")
    (tmp_path / "other").replace(tmp_path / "object")
    ((_, again),) = UploadsOnDisk(tmp_path / "uploads").load()
    assert uploads.joined("one", [again["parts"][1], again["parts"][2]]).read_bytes() == b"head3456"


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

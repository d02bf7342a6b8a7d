"""The function that profiles datasets, against a local S3: what it reads, what it writes, and what breaks on the way.

Run: python -m pytest tests/api/test_processing_function.py
"""

import io
import json
import random
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import IncompleteReadError, ResponseStreamingError

from lambdas.common.environment import variable
from lambdas.common.ids import new_id
from lambdas.processing import tasks
from lambdas.processing.process import process
from lambdas.processing.request import WrongRequest
from lambdas.processing.s3_file import BREAKS, BUFFER, READ_THROUGH, S3Object
from lambdas.processing.source import local_file
from tests.units.processing.recordings import wav

CSV = b"age,name\n31,Ada\n45,Grace\n,Edsger\n"


@pytest.fixture
def s3() -> Any:
    return boto3.client("s3")


@pytest.fixture
def folder() -> str:
    """The key prefix of a dataset version that no other test has."""
    return f"ada/{new_id('ds')}/v0001/"


def put_request(s3: Any, folder: str, files: dict[str, bytes], changed: dict[str, Any] | None = None) -> dict[str, str]:
    """Put files and their request; return the function's event."""
    bucket = variable("DATASETS_BUCKET")
    for name, data in files.items():
        s3.put_object(Bucket=bucket, Key=f"{folder}files/{name}", Body=data)
    listed = [
        {"name": name, "bucket": bucket, "key": f"{folder}files/{name}", "size": len(data)}
        for name, data in files.items()
    ]
    request = {"type": "tabular", "format": "csv", "output": f"{folder}processed/", "files": listed} | (changed or {})
    key = f"{folder}request.json"
    s3.put_object(Bucket=bucket, Key=key, Body=json.dumps(request).encode())
    return {"bucket": bucket, "request": key}


def keys_below(s3: Any, folder: str) -> set[str]:
    found = s3.list_objects_v2(Bucket=variable("DATASETS_BUCKET"), Prefix=folder).get("Contents", [])
    return {item["Key"].removeprefix(folder) for item in found}


def read_json(s3: Any, key: str) -> Any:
    return json.load(s3.get_object(Bucket=variable("DATASETS_BUCKET"), Key=key)["Body"])


def test_a_dataset_is_read_and_reported_beside_its_files(s3: Any, folder: str) -> None:
    event = put_request(s3, folder, {"people.csv": CSV})
    answer = tasks.profile(event, None)
    assert answer == {"report": f"{folder}processed/report.json", "refused": False}
    report = read_json(s3, answer["report"])
    assert report["rows"] == 3
    assert [column["name"] for column in report["columns"]] == ["age", "name"]
    assert read_json(s3, f"{folder}processed/preview.json")["columns"] == ["age", "name"]
    assert keys_below(s3, folder) == {
        "files/people.csv",
        "request.json",
        "processed/report.json",
        "processed/preview.json",
    }
    assert tasks.profile(event, None) == answer
    assert read_json(s3, answer["report"]) == report


def test_an_archive_in_s3_is_read_as_one_on_disk(s3: Any, folder: str, tmp_path: Path) -> None:
    samples = random.Random(1)
    with zipfile.ZipFile(tmp_path / "birds.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(40):
            data = wav(samples.randbytes(60_000))
            archive.writestr(f"{('owl', 'wren')[number % 2]}/{number}.wav", data[: None if number else -1])
    changed = {"type": "audio", "format": "zip"}
    event = put_request(s3, folder, {"birds.zip": (tmp_path / "birds.zip").read_bytes()}, changed)
    report = read_json(s3, tasks.profile(event, None)["report"])
    (tmp_path / "output").mkdir()
    assert report == asdict(process([local_file(tmp_path / "birds.zip")], "audio", "zip", tmp_path / "output"))
    assert (report["rows"], report["defects"][0]["examples"]) == (39, ["owl/0.wav"])
    examples = s3.get_object(Bucket=event["bucket"], Key=f"{folder}processed/examples/examples.jsonl")["Body"].read()
    assert examples == (tmp_path / "output/examples/examples.jsonl").read_bytes()


def test_a_refused_dataset_is_an_answer(s3: Any, folder: str) -> None:
    event = put_request(s3, folder, {"people.parquet": b"no parquet"}, {"format": "parquet"})
    answer = tasks.profile(event, None)
    assert answer["refused"]
    assert read_json(s3, answer["report"])["refused"]


def test_the_report_is_written_last(s3: Any, folder: str, tmp_path: Path) -> None:
    (tmp_path / "thumbnails").mkdir()
    for name in ("report.json", "preview.json", "thumbnails/001.webp", "zoo.bin"):
        (tmp_path / name).write_bytes(b"{}")
    written = []

    class Recording:
        def upload_file(self, path: str, bucket: str, key: str, ExtraArgs: dict[str, str]) -> None:
            written.append((key, ExtraArgs["ContentType"]))

    tasks.upload(Recording(), tmp_path, "datasets", "processed/")
    assert written == [
        ("processed/preview.json", "application/json"),
        ("processed/thumbnails/001.webp", "image/webp"),
        ("processed/zoo.bin", "application/octet-stream"),
        ("processed/report.json", "application/json"),
    ]


@pytest.mark.parametrize(
    "changed",
    [
        {"output": "ada/ds-other/v0001/processed/"},
        {"output": "processed/"},
        {"output": "{folder}elsewhere/"},
        {"files": [{"name": "a.csv", "bucket": "{bucket}", "key": "eve/ds-1/v0001/files/a.csv", "size": 1}]},
        {"files": [{"name": "a.csv", "bucket": "{bucket}", "size": 1}]},
    ],
)
def test_a_request_for_what_lies_elsewhere_is_turned_down(s3: Any, folder: str, changed: dict[str, Any]) -> None:
    text = json.dumps(changed).replace("{folder}", folder).replace("{bucket}", variable("DATASETS_BUCKET"))
    event = put_request(s3, folder, {"people.csv": CSV}, json.loads(text))
    with pytest.raises(WrongRequest):
        tasks.profile(event, None)
    assert not any(key.startswith(("processed/", "elsewhere/")) for key in keys_below(s3, folder))


def test_files_may_lie_in_another_bucket(s3: Any, folder: str) -> None:
    s3.create_bucket(Bucket="imported")
    s3.put_object(Bucket="imported", Key="deep/people.csv", Body=CSV)
    files = [{"name": "people.csv", "bucket": "imported", "key": "deep/people.csv", "size": len(CSV)}]
    tasks.profile(put_request(s3, folder, {}, {"files": files}), None)
    assert read_json(s3, f"{folder}processed/report.json")["rows"] == 3


def test_another_size_than_the_requests_is_an_error_and_leaves_no_report(s3: Any, folder: str) -> None:
    bucket = variable("DATASETS_BUCKET")
    files = [{"name": "people.csv", "bucket": bucket, "key": f"{folder}files/people.csv", "size": len(CSV) + 1}]
    event = put_request(s3, folder, {"people.csv": CSV}, {"files": files})
    with pytest.raises(OSError, match="it has 33 bytes, and had 34 when it was registered"):
        tasks.profile(event, None)
    assert "processed/report.json" not in keys_below(s3, folder)


def test_a_failed_reading_is_no_report_even_if_a_reader_took_it_for_damage(
    s3: Any, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def swallowing(files: Any, type: str, format: str, output: Any) -> Any:
        with pytest.raises(OSError):
            files[0].open().read()
        return processed(files[1:], type, format, output)

    processed = tasks.process
    event = put_request(s3, folder, {"a.csv": CSV, "b.csv": CSV})
    s3.delete_object(Bucket=event["bucket"], Key=f"{folder}files/a.csv")
    monkeypatch.setattr(tasks, "process", swallowing)
    with pytest.raises(OSError, match=r"a\.csv cannot be read: it was changed or deleted"):
        tasks.profile(event, None)
    assert "processed/report.json" not in keys_below(s3, folder)


# ------------------------------------------------------------------------------------------ one object as a file


class Requests:
    """An S3 client that counts its requests, and breaks each connection after so many bytes."""

    def __init__(self, s3: Any, breaks_after: int | None = None, error: Exception | None = None) -> None:
        self.ranges: list[str] = []
        self._s3, self._breaks_after, self._error = s3, breaks_after, error

    def get_object(self, **wanted: str) -> dict[str, Any]:
        answer = self._s3.get_object(**wanted)
        self.ranges.append(wanted.get("Range", "all"))
        if self._breaks_after is not None:
            answer["Body"] = Breaking(answer["Body"], self._breaks_after, self._error)
        return answer


class Breaking:
    """A body whose connection breaks."""

    def __init__(self, body: Any, after: int, error: Exception | None) -> None:
        self._body, self._left, self._error = body, after, error

    def readinto(self, buffer: memoryview) -> int:
        if not self._left:
            raise self._error or ResponseStreamingError(error="connection reset")
        count = self._body.readinto(memoryview(buffer)[: self._left])
        self._left -= count
        return count

    def read(self, amount: int) -> bytes:
        return self._body.read(amount)

    def close(self) -> None:
        self._body.close()


@pytest.fixture(scope="module")
def data() -> bytes:
    return random.Random(7).randbytes(5 * 1024 * 1024)


@pytest.fixture(scope="module")
def key(stage: None, data: bytes) -> str:
    boto3.client("s3").put_object(Bucket=variable("DATASETS_BUCKET"), Key="ada/object", Body=data)
    return "ada/object"


def opened(s3: Any, key: str, size: int) -> S3Object:
    return S3Object(s3, variable("DATASETS_BUCKET"), key, size)


def test_reading_in_order_takes_one_request(s3: Any, key: str, data: bytes) -> None:
    counting = Requests(s3)
    with opened(counting, key, len(data)).open() as stream:
        assert b"".join(iter(lambda: stream.read(100_003), b"")) == data
    assert counting.ranges == ["all"]


def test_any_seeks_and_reads_give_what_a_file_on_disk_gives(s3: Any, key: str, data: bytes) -> None:
    choose, disk = random.Random(3), io.BytesIO(data)
    with opened(s3, key, len(data)).open() as stream:
        for _ in range(150):
            whence = choose.choice([io.SEEK_SET, io.SEEK_CUR, io.SEEK_END])
            offset = choose.randint(0, len(data) + 10) - {0: 0, 1: disk.tell(), 2: len(data)}[whence]
            amount = choose.choice([0, 1, 17, 4096, BUFFER, BUFFER + 1, 600_000])
            assert stream.seek(offset, whence) == disk.seek(offset, whence)
            assert stream.read(amount) == disk.read(amount)
            assert stream.tell() == disk.tell()


def test_a_small_gap_is_read_and_a_large_one_skipped(s3: Any, key: str, data: bytes) -> None:
    counting = Requests(s3)
    with opened(counting, key, len(data)).open() as stream:
        for position in (0, BUFFER + 1000, 4 * READ_THROUGH, 4 * READ_THROUGH + 5):
            stream.seek(position)
            assert stream.read(10) == data[position : position + 10]
    assert counting.ranges == ["all", f"bytes={4 * READ_THROUGH}-"]


@pytest.mark.parametrize(
    "error",
    [None, IncompleteReadError(actual_bytes=1, expected_bytes=2), ConnectionResetError("reset"), TimeoutError("slow")],
)
def test_a_broken_connection_is_opened_anew_where_it_broke(
    s3: Any, key: str, data: bytes, error: Exception | None
) -> None:
    breaking = Requests(s3, 1_500_000, error)
    with opened(breaking, key, len(data)).open() as stream:
        assert stream.read() == data
    assert breaking.ranges == ["all", "bytes=1500000-", "bytes=3000000-", "bytes=4500000-"]


def test_connections_that_break_again_and_again_end_in_an_error(s3: Any, key: str, data: bytes) -> None:
    breaking = Requests(s3, 1000)
    object = opened(breaking, key, len(data))
    with object.open() as stream, pytest.raises(OSError, match="the connection broke 6 times") as raised:
        stream.read()
    assert object.failure is raised.value
    assert len(breaking.ranges) == BREAKS + 1


def test_an_object_that_changes_meanwhile_is_an_error(s3: Any, folder: str) -> None:
    bucket, key = variable("DATASETS_BUCKET"), f"{folder}files/a"
    s3.put_object(Bucket=bucket, Key=key, Body=b"a" * 3_000_000)
    object = opened(s3, key, 3_000_000)
    with object.open() as stream:
        assert stream.read(10) == b"a" * 10
        s3.put_object(Bucket=bucket, Key=key, Body=b"b" * 3_000_000)
        stream.seek(-10, io.SEEK_END)
        with pytest.raises(OSError, match="it was changed or deleted meanwhile"):
            stream.read(10)
    with object.open() as again, pytest.raises(OSError, match="it was changed or deleted meanwhile"):
        again.read(1)


def test_an_empty_object_is_empty_and_one_that_is_said_to_be_is_not(s3: Any, key: str, folder: str) -> None:
    s3.put_object(Bucket=variable("DATASETS_BUCKET"), Key=f"{folder}files/none", Body=b"")
    with opened(s3, f"{folder}files/none", 0).open() as stream:
        assert stream.read() == b""
        assert stream.read(1) == b""
    with opened(s3, key, 0).open() as stream, pytest.raises(OSError, match="it has 5,242,880 bytes, and had 0"):
        stream.read(1)


def test_damaged_bytes_are_an_error(s3: Any, folder: str) -> None:
    class Damaging(Requests):
        def get_object(self, **wanted: str) -> dict[str, Any]:
            answer = super().get_object(**wanted)
            answer["Body"]._expected = "AAAAAA=="
            return answer

    key = f"{folder}files/a"
    s3.put_object(Bucket=variable("DATASETS_BUCKET"), Key=key, Body=b"a" * 1000, ChecksumAlgorithm="CRC32")
    with opened(Damaging(s3), key, 1000).open() as stream, pytest.raises(OSError, match="not those of its checksum"):
        stream.read()

"""The scanner's Lambda against a real HTTP server that answers Range requests as S3 does."""

from __future__ import annotations

import hashlib
import http.server
import json
import pickle
import re
import threading
from collections.abc import Callable, Iterator

import pytest

from lambdas.scanner import registry, source, tasks
from lambdas.scanner.source import BytesSource, DownloadError, ForwardSource, HttpSource, WindowSource
from tests.units.scanner.hostile_files import call

Served = Callable[..., str]


class Storage(http.server.ThreadingHTTPServer):
    """Objects by path, and how the server misbehaves with each."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.objects: dict[str, bytes] = {}
        self.faults: dict[str, list[str]] = {}
        self.requests: list[str] = []


class Handler(http.server.BaseHTTPRequestHandler):
    server: Storage  # pyright: ignore[reportIncompatibleVariableOverride]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        data, faults = self.server.objects.get(path), self.server.faults.get(path, [])
        self.server.requests.append(self.headers["Range"])
        fault = faults.pop(0) if faults else ""
        if data is None or fault == "403":
            self.send_response(403 if data else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if fault == "drop":
            self.close_connection = True
            return
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"])
        assert found
        first, last = int(found[1]), min(int(found[2]), len(data) - 1)
        body = data[first : last + 1]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"2"' if fault == "changed" else '"1"')
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if fault == "short" else body)
        if fault == "short":
            self.close_connection = True

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def storage() -> Iterator[Storage]:
    with Storage() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def served(storage: Storage) -> Served:
    """Put an object, with faults for its first requests; return its URL."""

    def put(data: bytes, *faults: str) -> str:
        path = f"/object-{len(storage.objects)}"
        storage.objects[path], storage.faults[path] = data, list(faults)
        return f"http://127.0.0.1:{storage.server_address[1]}{path}?X-Amz-Signature=abc"

    return put


def event(filename: str, data: bytes, url: str) -> dict[str, object]:
    return {"filename": filename, "size": len(data), "url": url}


def test_a_report_has_what_the_registry_keeps(served: Served) -> None:
    data = call("os", "system", "true")
    report = tasks.scan(event("model.pkl", data, served(data)), None)
    assert json.loads(json.dumps(report)) == report
    assert report == {
        "filename": "model.pkl",
        "sha256": hashlib.sha256(data).hexdigest(),
        "verdict": "malicious",
        "findings": [
            {
                "severity": "malicious",
                "code": "dangerous_import",
                "message": "Loading it imports and calls os.system (byte 14), which can run code.",
            }
        ],
        "format": "pickle",
        "framework": "sklearn",
        "metadata": {},
    }


def test_a_file_larger_than_memory_allows_is_read_in_blocks(
    served: Served, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "IN_MEMORY", 1000)
    monkeypatch.setattr(source, "BLOCK", 20_000)
    data = pickle.dumps(list(range(60_000)))
    report = tasks.scan(event("model.pkl", data, served(data)), None)
    assert (report["verdict"], report["sha256"]) == ("clean", hashlib.sha256(data).hexdigest())
    assert len(storage.requests) > len(data) / 20_000
    monkeypatch.setattr(tasks, "READ_WHOLE", 2000)
    assert tasks.scan(event("model.pkl", data, served(data)), None)["sha256"] is None


def test_an_empty_file_is_clean(served: Served) -> None:
    report = tasks.scan(event("__init__.py", b"", served(b"")), None)
    assert (report["verdict"], report["sha256"]) == ("clean", hashlib.sha256(b"").hexdigest())


@pytest.mark.parametrize("fault", ["drop", "short"])
def test_a_connection_that_breaks_is_tried_again(served: Served, fault: str) -> None:
    data = pickle.dumps({"a": 1})
    assert tasks.scan(event("a.pkl", data, served(data, fault, fault)), None)["verdict"] == "clean"
    with pytest.raises(DownloadError):
        tasks.scan(event("a.pkl", data, served(data, fault, fault, fault)), None)


def test_what_cannot_be_read_as_announced_raises(
    served: Served, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = b"x" * 1000
    with pytest.raises(DownloadError, match="403"):
        tasks.scan(event("a.txt", data, served(data, "403")), None)
    with pytest.raises(DownloadError, match="404"):
        tasks.scan(event("a.txt", data, served(data).replace("object", "absent")), None)
    for size in (999, 1001):
        with pytest.raises(DownloadError, match="range"):
            tasks.scan({"filename": "a.txt", "size": size, "url": served(data)}, None)
    monkeypatch.setattr(source, "BLOCK", 400)
    with pytest.raises(DownloadError, match="changed"):
        tasks.scan(event("a.txt", data, served(data, "", "changed")), None)


def test_only_http_is_read() -> None:
    for url in ("file:///etc/passwd", "ftp://127.0.0.1/x", "//host/x", "/etc/passwd"):
        with pytest.raises(ValueError, match="http"):
            HttpSource(url, 1)


def test_a_scanner_that_fails_leaves_the_file_unscanned(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(source: source.Source, filename: str) -> None:
        raise ZeroDivisionError

    monkeypatch.setitem(registry.FORMATS, "text", broken)
    report = tasks.scan(event("a.txt", b"hello", served(b"hello")), None)
    assert (report["verdict"], report["findings"][0]["code"]) == ("unscanned", "scanner_failed")
    assert "ZeroDivisionError" in report["findings"][0]["message"]


def test_a_report_stays_short_and_printable(served: Served) -> None:
    body = b"".join(call(f"module_{number}", "x\u202e\x1b" + "y" * 90, end=b"0")[2:] for number in range(300))
    data = b"\x80\x04" + body + call("os", "system", "true")[2:]
    report = tasks.scan(event("a.pkl", data, served(data)), None)
    assert len(report["findings"]) == 20
    assert report["findings"][0]["severity"] == "malicious"
    assert all(finding["message"].isprintable() and len(finding["message"]) <= 300 for finding in report["findings"])


def test_sources_agree_wherever_they_are_read() -> None:
    data = bytes(range(256)) * 5000

    def produce() -> Iterator[bytes]:
        return (data[start : start + 700] for start in range(0, len(data), 700))

    padded = BytesSource(b"before" + data + b"after")
    for made in (BytesSource(data), WindowSource(padded, 6, len(data)), ForwardSource(produce, len(data))):
        for offset, length in ((0, 10), (1000, 5000), (500_000, 3), (10, 10), (len(data) - 5, 100), (len(data), 1)):
            assert made.read(offset, length) == data[offset : offset + length]
        assert made.stream(100).read(1000) == data[100:1100]
        assert b"".join(made.chunks()) == data

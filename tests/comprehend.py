"""Comprehend's API on a port of its own, for tests: what was asked, what was under way at once, what goes wrong."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from local.comprehend.service import TARGET, Comprehend

MEET_SECONDS = 20.0  # how long a call waits for the others before it says that they did not come


@dataclass
class Recorded:
    """`requests` and `headers` by operation; `errors` (operation -> code, status) answer instead of the stand-in."""

    url: str = ""
    requests: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    headers: list[dict[str, str]] = field(default_factory=list)
    errors: dict[str, tuple[str, int]] = field(default_factory=dict)
    meeting: threading.Barrier | None = None
    met: int = 0

    def all_must_meet(self, count: int) -> None:
        """From now on no call is answered before so many are under way at the same time."""
        self.meeting = threading.Barrier(count)


@contextmanager
def running_comprehend() -> Iterator[Recorded]:
    """Serve on a free loopback port until the end of the block."""
    recorded, comprehend, lock = Recorded(), Comprehend(), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(int(headers["content-length"]))
            operation = headers["x-amz-target"].removeprefix(TARGET)
            with lock:
                recorded.requests.setdefault(operation, []).append(json.loads(body))
                recorded.headers.append(headers)
            self.answer(*self.judged(operation, headers, body))

        def judged(self, operation: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
            if recorded.meeting:
                try:
                    recorded.meeting.wait(MEET_SECONDS)
                except threading.BrokenBarrierError:
                    return 400, b'{"__type": "InvalidRequestException", "message": "The others did not come."}'
                with lock:
                    recorded.met += 1
            if operation in recorded.errors:
                code, status = recorded.errors[operation]
                return status, json.dumps({"__type": code, "message": "Planted."}).encode()
            status, _, content = asyncio.run(comprehend.handle("POST", "/", headers, body, {}))
            assert isinstance(content, bytes)
            return status, content

        def answer(self, status: int, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)  # it ends as soon as it is told
    thread.start()
    recorded.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield recorded
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

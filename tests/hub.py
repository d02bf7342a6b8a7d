"""A small Hugging Face Hub on loopback: the two routes by which repositories are read, as its own client uses them."""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

LARGE = ".safetensors"  # the files that the real Hub keeps by their SHA-256


@dataclass
class HubRepository:
    """A repository at one commit; `more` is what the Hub says of it beside its files."""

    files: dict[str, bytes]
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def sha(self) -> str:
        return hashlib.sha1(repr(sorted(self.files.items())).encode()).hexdigest()

    def described(self, repo_id: str) -> dict[str, Any]:
        """What `GET /api/models/...?blobs=true` answers."""
        siblings = [described_file(name, body) for name, body in self.files.items()]
        return {"id": repo_id, "sha": self.sha, "gated": False, "tags": [], "siblings": siblings} | self.more


def described_file(name: str, body: bytes) -> dict[str, Any]:
    """What the Hub says of a file: its Git name, and of a large one its SHA-256."""
    blob = hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()
    said: dict[str, Any] = {"rfilename": name, "size": len(body), "blobId": blob}
    if name.endswith(LARGE):
        said["lfs"] = {"sha256": hashlib.sha256(body).hexdigest(), "size": len(body), "pointerSize": 134}
    return said


class Hub(ThreadingHTTPServer):
    """`repositories` may change at any time, as may `served`: bytes that are given in place of a file's own."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories: dict[str, HubRepository] = {}
        self.served: dict[str, bytes] = {}
        self.failing = 0  # so many requests for bytes are answered 503 first
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    """Large files are given by redirect, as the real Hub does from its storage."""

    protocol_version = "HTTP/1.1"

    @property
    def hub(self) -> Hub:
        assert isinstance(self.server, Hub)
        return self.server

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        path = unquote(parts.path)
        self.hub.requests.append(path)
        if found := re.fullmatch(r"/api/models/(.+)/revision/([^/]+)", path):
            blobs = parse_qs(parts.query).get("blobs") == ["true"]
            self.describe(found[1], found[2], blobs)
        elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self.resolve(found[1], found[2], found[3])
        elif found := re.fullmatch(r"/storage/([^/]+/[^/]+)/(.+)", path):
            self.give(found[1], found[2])
        else:
            self.refuse(404, "RepoNotFound")

    def describe(self, repo_id: str, revision: str, blobs: bool) -> None:
        repository = self.hub.repositories.get(repo_id)
        if repository is None:
            return self.refuse(401, None)  # what the real one answers who shows no token
        if revision not in {"main", repository.sha}:
            return self.refuse(404, "RevisionNotFound")
        said = repository.described(repo_id)
        if not blobs:
            said["siblings"] = [{"rfilename": file["rfilename"]} for file in said["siblings"]]
        self.answer(200, json.dumps(said).encode(), {"Content-Type": "application/json"})

    def resolve(self, repo_id: str, revision: str, filename: str) -> None:
        repository = self.hub.repositories.get(repo_id)
        if repository is None or revision not in {"main", repository.sha} or filename not in repository.files:
            return self.refuse(404, "EntryNotFound")
        if repository.more.get("gated"):
            return self.refuse(401, "GatedRepo")
        body = repository.files[filename]
        said = {"X-Repo-Commit": repository.sha, "ETag": f'"{described_file(filename, body)["blobId"]}"'}
        if not filename.endswith(LARGE):
            return self.give(repo_id, filename, said)
        said |= {"X-Linked-Size": str(len(body)), "X-Linked-Etag": f'"{hashlib.sha256(body).hexdigest()}"'}
        elsewhere = f"http://localhost:{self.hub.server_port}"  # another host, as far as HTTP knows
        self.answer(302, b"", said | {"Location": f"{elsewhere}/storage/{repo_id}/{filename}"})

    def give(self, repo_id: str, filename: str, said: dict[str, str] | None = None) -> None:
        if self.hub.failing:
            self.hub.failing -= 1
            return self.refuse(503, None)
        whole = self.hub.served.get(filename, self.hub.repositories[repo_id].files[filename])
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not wanted:
            return self.answer(200, whole, said or {})
        first, last = int(wanted[1]), min(int(wanted[2] or len(whole) - 1), len(whole) - 1)
        if first >= len(whole):
            return self.answer(416, b"", {"Content-Range": f"bytes */{len(whole)}"})
        range_said = {"Content-Range": f"bytes {first}-{last}/{len(whole)}"}
        self.answer(206, whole[first : last + 1], (said or {}) | range_said)

    def refuse(self, status: int, code: str | None) -> None:
        self.answer(status, b"{}", {"X-Error-Code": code} if code else {})

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet: `requests` has them."""


@contextmanager
def running_hub() -> Iterator[Hub]:
    """A hub on a free port, for as long as it is used."""
    hub = Hub()
    thread = Thread(target=hub.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join()

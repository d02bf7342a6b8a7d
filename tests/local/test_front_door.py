"""The front door lets through the API and presigned S3, under the limits of API Gateway and Lambda.

Run: pytest tests/local/test_front_door.py -q
"""

from __future__ import annotations

import asyncio
import base64
import re
import socket
import time
from typing import Any

import boto3
import pytest
import requests
from botocore.config import Config
from starlette.types import Message, Receive, Scope, Send

from local import front_door
from local.home import REGION
from tests.local.small import Small

SHAPE = {"detail", "code", "request_id"}


def link(
    small: Small, method: str = "get_object", key: str = "file", bucket: str | None = None, host: str = "127.0.0.1"
) -> str:
    """A presigned link through the front door."""
    root = small.files.root_key()
    s3 = boto3.client(
        "s3",
        endpoint_url=f"http://{host}:{small.process.port}",
        region_name=REGION,
        aws_access_key_id=root["access_key_id"],
        aws_secret_access_key=root["secret_access_key"],
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
    )
    return s3.generate_presigned_url(method, {"Bucket": bucket or small.stack["Bucket"], "Key": key})


def test_root_leads_to_the_docs(small: Small) -> None:
    answer = requests.get(f"http://localhost:{small.process.port}/", allow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (307, "/api/docs")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_api_answers_on_any_host_name(small: Small, host: str) -> None:
    answer = requests.get(f"http://{host}:{small.process.port}/api/echo", headers={"Host": "slipway.example"})
    assert answer.status_code == 200
    assert answer.json()["event_path"] == "/echo"


@pytest.mark.parametrize(
    "path",
    [
        "/_ministack/reset",
        "/_slipway/save",
        "/2015-03-31/functions",
        "/restapis/x/api/_user_request_/echo",
        "/apiary",
        "/b/k",
    ],
)
def test_everything_else_is_not_there(small: Small, path: str) -> None:
    answer = requests.post(f"http://localhost:{small.process.port}{path}")
    assert answer.status_code == 404
    assert set(answer.json()) == SHAPE


def test_climbing_out_of_the_api_leads_nowhere(small: Small) -> None:
    """A raw request, because HTTP clients tidy such paths up."""
    for path in (
        "/api/../_ministack/reset",
        "/api/%2e%2e/%2e%2e/%2e%2e/_ministack/reset",
        "/api//../../../../_slipway/save",
    ):
        with socket.create_connection(("127.0.0.1", small.process.port)) as raw:
            raw.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
            answer = b""
            while data := raw.recv(65536):
                answer += data
        assert re.match(rb"HTTP/1.1 (403|404) ", answer), answer


def test_body_that_no_function_takes_is_refused_and_told_where_to_go(small: Small) -> None:
    url = f"{small.api_url}/echo"
    largest = bytes(front_door.MAX_BODY_BYTES)
    assert len(largest) > 4 * 1024**2 and len(base64.b64encode(largest)) <= 6 * 1024**2 - 2 * 10_240  # headers, twice
    assert requests.post(url, data=largest).json()["length"] >= len(largest)
    for body in (bytes(front_door.MAX_BODY_BYTES + 1), (bytes(1024 * 1024) for _ in range(12))):
        answer = requests.post(url, data=body)
        assert answer.status_code == 413
        assert (set(answer.json()), answer.json()["code"]) == (SHAPE, "too_large")
        assert "POST /ai-models/uploads" in answer.json()["detail"]


def test_slow_integration_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front_door, "INTEGRATION_SECONDS", 0.1)
    sent: list[Message] = []
    refused: list[tuple[int, str]] = []

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.3)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"late"})

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    async def call() -> None:
        scope: dict[str, Any] = {"type": "http", "method": "GET", "path": "/api/x", "headers": [], "query_string": b""}
        door = front_door.front_door(slow, 1, 2, lambda: "abcd", set, lambda _, *told: refused.append(told))
        await door(scope, receive, send)
        await asyncio.sleep(0.4)  # let the abandoned call end: it must not send anything

    asyncio.run(call())
    assert [message["status"] for message in sent if "status" in message] == [504]
    assert b"timeout" in sent[-1]["body"]
    assert refused == [(504, "INTEGRATION_TIMEOUT")]


def test_presigned_upload_and_download_of_a_large_object(small: Small) -> None:
    content = bytes(range(256)) * (32 * 4096)  # 32 MiB, above the API's limit
    assert requests.put(link(small, "put_object"), data=content).status_code == 200
    answer = requests.get(link(small))
    assert answer.content == content
    part = requests.get(link(small), headers={"Range": "bytes=256-259"})
    assert (part.status_code, part.content) == (206, b"\x00\x01\x02\x03")


def test_presigned_link_is_good_for_what_it_says_only(small: Small) -> None:
    requests.put(link(small, "put_object"), data=b"content").raise_for_status()
    good = link(small)
    assert requests.get(good).status_code == 200
    assert requests.get(good, headers={"Authorization": "Bearer token"}).status_code == 200  # of the API, redirected
    assert requests.put(good, data=b"x").status_code == 403
    assert requests.get(good.replace("/file?", "/other?")).status_code == 403
    assert requests.get(good[:-1] + ("0" if good[-1] != "0" else "1")).status_code == 403


def test_storage_takes_links_only(small: Small) -> None:
    good = link(small)
    plain = good.split("?")[0]
    other_bucket = "other-" + str(time.time_ns())
    small.client("s3").create_bucket(Bucket=other_bucket)
    for answer in (
        requests.get(plain),
        requests.get(good, headers={"Authorization": "AWS4-HMAC-SHA256 Credential=x"}),
        requests.get(good, headers={"Host": f"localhost:{small.process.port}"}),
        requests.post(good, headers={"X-Amz-Target": "DynamoDB_20120810.ListTables"}),
        requests.get(link(small, bucket=other_bucket)),
    ):
        assert answer.status_code == 404, answer.text

"""The model server's HTTP as clients send it: whole, in pieces, wrongly, and streams to those who read and who do not.

.venv/bin/python -m pytest tests/containers/test_model_server_http.py
"""

import http.client
import json
import re
import signal
import socket
from collections.abc import Iterator

import pytest

from local.cloud import Image
from tests.containers.jobs import Server, until
from tests.containers.test_model_server import serving
from training_containers.common.connection import MAX_BODY_BYTES
from training_containers.common.server import MAX_WAITING

BODY = b'{"instances": [1]}'
POST = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n" % len(BODY)
PING = b"GET /ping HTTP/1.1\r\nHost: x\r\n"
CLOSE = b"Connection: close\r\n"
END = b"\r\n"
CHUNKED = b"POST /invocations HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"


@pytest.fixture(scope="module")
def server(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(image, tmp_path_factory.mktemp("server")) as found:
        yield found


def connected(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), timeout=20)


def answered(server: Server, *parts: bytes) -> tuple[list[int], bytes]:
    """The statuses of all that is said until the server closes the connection, and the last answer's body."""
    with connected(server) as client:
        for part in parts:
            client.sendall(part)
        said = b""
        while part := client.recv(65536):
            said += part
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", said)], said.rpartition(b"\r\n\r\n")[2]


@pytest.mark.parametrize(
    ("parts", "statuses"),
    [
        pytest.param([PING + END + PING + END + PING + CLOSE + END], [200, 200, 200], id="pings at once"),
        pytest.param([POST + CLOSE + END, BODY[:5], BODY[5:]], [200], id="in pieces"),
        pytest.param([POST + END + BODY + POST + END + BODY], [200], id="two at once: one answer, and connect again"),
        pytest.param([CHUNKED + CLOSE + END + b"12\r\n" + BODY + b"\r\n0\r\n\r\n"], [200], id="in chunks"),
        pytest.param([POST + CLOSE + b"Expect: 100-continue\r\n\r\n", BODY], [100, 200], id="asks first"),
        pytest.param([POST.replace(b"1.1", b"1.0") + END + BODY], [200], id="HTTP/1.0"),
        pytest.param([POST + b"Upgrade: h2c\r\nConnection: Upgrade\r\n\r\n" + BODY], [400], id="offers an upgrade"),
        pytest.param([b"HEAD /ping HTTP/1.1\r\nHost: x\r\n" + CLOSE + END], [405], id="HEAD"),
        pytest.param([b"hello\r\n\r\n"], [400], id="no HTTP"),
        pytest.param([POST.replace(b"18", b"x") + END + BODY], [400], id="no length"),
    ],
)
def test_requests_of_every_shape_are_answered(server: Server, parts: list[bytes], statuses: list[int]) -> None:
    found, body = answered(server, *parts)
    assert found == statuses
    assert body if statuses != [405] else not body


def test_a_connection_is_kept_for_the_next_request(server: Server) -> None:
    client = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=20)
    client.connect()
    kept = client.sock
    for method, path, status in [("POST", "/invocations", 200), ("GET", "/ping", 200), ("POST", "/elsewhere", 404)] * 3:
        client.request(method, path, BODY if method == "POST" else None)
        answer = client.getresponse()
        answer.read()
        assert (answer.status, client.sock) == (status, kept)
    client.close()


@pytest.mark.parametrize("head", [CHUNKED, POST.replace(b"18", b"99999999999")], ids=["in chunks", "announced"])
def test_a_body_without_an_end_is_refused_while_it_is_sent(server: Server, head: bytes) -> None:
    with connected(server) as client:
        client.sendall(head + END)
        part = b" " * 65536
        framed = b"10000\r\n" + part + b"\r\n" if head == CHUNKED else part
        for _ in range(MAX_BODY_BYTES // 65536 + 2):
            client.sendall(framed)
        answer = http.client.HTTPResponse(client)
        answer.begin()
        assert (answer.status, answer.getheader("connection")) == (413, "close")
        assert "fewer rows" in json.load(answer)["detail"]
        with pytest.raises(OSError):
            for _ in range(10 * MAX_BODY_BYTES // 65536):
                client.sendall(framed)


def test_headers_without_an_end_are_refused(server: Server) -> None:
    with connected(server) as client:
        client.sendall(PING)
        for number in range(5000):
            client.sendall(b"X-%d: %s\r\n" % (number, b"x" * 100))
            if number * 100 > 70_000:
                break
        answer = http.client.HTTPResponse(client)
        answer.begin()
        assert answer.status == 431


def stream(client: socket.socket, **about: object) -> http.client.HTTPResponse:
    body = json.dumps(about).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: text/stream\r\nContent-Length: %d\r\n\r\n"
    client.sendall(head % len(body) + body)
    answer = http.client.HTTPResponse(client)
    answer.begin()
    return answer


def test_a_stream_comes_in_pieces_and_its_connection_is_kept(server: Server) -> None:
    with connected(server) as client:
        for _ in range(2):
            answer = stream(client, count=20)
            first = answer.read1()
            assert first.startswith(b"piece 0") and b"piece 19" not in first
            assert (first + answer.read()).count(b"piece") == 20


def test_a_stream_that_fails_has_no_end(server: Server) -> None:
    with connected(server) as client:
        answer = stream(client, count=3, fails=True)
        with pytest.raises(http.client.IncompleteRead) as cut:
            answer.read()
        assert cut.value.partial.count(b"piece") == 3


def test_the_next_one_is_answered_after_clients_that_went_away(server: Server) -> None:
    def went_in_the_middle(client: socket.socket) -> None:
        client.sendall(POST + END + BODY[:5])

    def went_from_a_stream(client: socket.socket) -> None:
        stream(client, count=10**6).read1()

    for went in (went_in_the_middle, went_from_a_stream):
        for _ in range(MAX_WAITING + 1):
            with connected(server) as client:
                went(client)
        until(lambda: server.post({"instances": [1]}).status_code == 200, "none of them is counted any more")


def test_sigterm_does_not_wait_for_clients_that_ask_nothing(
    image: Image, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with (
        serving(image, tmp_path_factory.mktemp("ending")) as server,
        connected(server) as idle,
        connected(server) as late,
    ):
        idle.sendall(PING + END)
        assert idle.recv(65536).startswith(b"HTTP/1.1 200")
        late.sendall(POST + END + BODY[:5])
        server.process.send_signal(signal.SIGTERM)
        assert idle.recv(65536) == b""
        late.sendall(BODY[5:])
        answer = http.client.HTTPResponse(late)
        answer.begin()
        assert (answer.status, answer.getheader("connection")) == (200, "close")
        assert server.process.wait(timeout=20) == 0

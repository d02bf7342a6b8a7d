"""A load of so many connections, each asking again as soon as it is answered, by one thread without a library."""

import selectors
import socket
import statistics
import time
from dataclasses import dataclass

HEAD = b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


@dataclass(frozen=True)
class Figures:
    """What was measured."""

    answered: int
    per_second: float
    median_us: float


@dataclass
class Connection:
    """One connection, and the answer that it is reading."""

    socket: socket.socket
    asked: float = 0.0
    answer: bytes = b""


def measure(port: int, body: bytes, connections: int, seconds: float) -> Figures:
    """Ask for so many seconds; raises OSError where nobody listens, ValueError for an answer other than 200."""
    request = HEAD % len(body) + body
    times: list[float] = []
    with selectors.DefaultSelector() as selector:
        opened = [Connection(socket.create_connection(("127.0.0.1", port), timeout=10)) for _ in range(connections)]
        try:
            for connection in opened:
                connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                selector.register(connection.socket, selectors.EVENT_READ, connection)
            began = time.perf_counter()
            for connection in opened:
                ask(connection, request)
            while time.perf_counter() < began + seconds:
                for key, _ in selector.select(seconds):
                    if has_answered(key.data):
                        times.append(time.perf_counter() - key.data.asked)
                        ask(key.data, request)
            took = time.perf_counter() - began
        finally:
            for connection in opened:
                connection.socket.close()
    return Figures(len(times), len(times) / took, statistics.median(times) * 1e6 if times else 0.0)


def ask(connection: Connection, request: bytes) -> None:
    """Send a request."""
    connection.answer, connection.asked = b"", time.perf_counter()
    connection.socket.sendall(request)


def has_answered(connection: Connection) -> bool:
    """Read what has come, and say whether the answer is whole; raises ValueError for another than 200."""
    part = connection.socket.recv(65536)
    connection.answer += part
    head, end, body = connection.answer.partition(b"\r\n\r\n")
    if not end and part:
        return False
    if not head.startswith(b"HTTP/1.1 200"):
        raise ValueError(connection.answer[:500].decode("latin-1"))
    length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
    return len(body) >= int(length)

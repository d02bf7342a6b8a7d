"""A client's HTTP/1.1 connection to the model server: it asks, is answered, and asks again.

httptools reads the requests. There is no framework between it and the model: at a batch of one, a general one takes
more time than all the rest. One request is under way at a time; a client that sends the next one before it has its
answer gets that answer, and has to connect again.
"""

import asyncio
import socket
import sys
import traceback
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Protocol

from training_containers.common.batching import Answer, Batcher, Stream, problem

MAX_BODY_BYTES = 6 * 1024 * 1024
MAX_HEAD_BYTES = 64 * 1024

UNREADABLE = problem(400, "This is no HTTP/1.1 request.")
TOO_LARGE = problem(413, f"The body is larger than {MAX_BODY_BYTES} bytes: send fewer rows per request.")
NO_UPGRADE = problem(400, "Only HTTP/1.1 is spoken here: ask without an Upgrade.")
LONG_HEAD = problem(431, f"The headers are longer than {MAX_HEAD_BYTES} bytes.")
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CLOSE = b"connection: close\r\n"


class Parser(Protocol):
    """What is used of httptools' parser of requests."""

    def feed_data(self, data: bytes, /) -> None: ...
    def get_method(self) -> bytes: ...
    def get_http_version(self) -> str: ...
    def should_keep_alive(self) -> bool: ...
    def should_upgrade(self) -> bool: ...


class Application(Protocol):
    """What is asked of the application."""

    closing: bool
    admitted: int

    @property
    def batcher(self) -> Batcher: ...
    def at_once(self, method: str, path: str) -> Answer | None: ...
    def joined(self, connection: "Connection") -> None: ...
    def left(self, connection: "Connection") -> None: ...


class Unanswered(Exception):
    """A client asks before it has its last answer."""


class Connection(asyncio.Protocol):
    """Called by the event loop, by the parser (`on_...`) and by the batcher with an answer, in one thread."""

    def __init__(self, application: Application, parser: Callable[["Connection"], Parser]) -> None:
        self._application = application
        self._parser = parser(self)
        self._lost = False
        self._ended = False  # the last answer is out; what still comes is not read
        self._ignored = 0
        self._writable = asyncio.Event()
        self._writable.set()
        self._await_request()

    def _await_request(self) -> None:
        self._answering = self._admitted = self._expects = False
        self._in_head, self._head, self._size = True, 0, 0
        self._url, self._media_type, self._body = b"", "", bytearray()

    # ------------------------------------------------------------------------------------------- the event loop

    def connection_made(self, transport: Any) -> None:
        """A client has connected; it may be idle for as long as it is there."""
        self._transport = transport
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._application.joined(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone; what the model is doing for it goes on."""
        self._lost = True
        self._writable.set()
        if not self._answering:
            self._release()
        self._application.left(self)

    def pause_writing(self) -> None:
        """The client is slower than a stream."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """It has caught up."""
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        """Read what has come."""
        if self._ended:
            self._ignored += len(data)
            if self._ignored > MAX_BODY_BYTES:
                self._transport.abort()
            return
        if self._in_head:
            self._head += len(data)
        try:
            self.on_message_begin()
            self._parser.feed_data(data)
        except Exception as error:  # httptools has its own, and puts what a method here raises into them
            self._cannot_read(error)
        if self._in_head and self._head > MAX_HEAD_BYTES and not self._ended:
            self._end(LONG_HEAD)

    def _cannot_read(self, error: Exception) -> None:
        """End after the answer under way, or with one that says so."""
        raised = error.__context__ or error
        self._keep_alive = False
        if error.__context__ and not isinstance(raised, Unanswered):
            traceback.print_exception(raised, file=sys.stderr)
            self._transport.abort()
        elif not self._answering and not self._ended:
            self._end(UNREADABLE)

    def finish(self) -> None:
        """End now if the client is not asking anything, else after the answer."""
        if self._ended or (self._in_head and not self._head):
            self._transport.close()

    # --------------------------------------------------------------------------------------------- the parser

    def on_message_begin(self) -> None:
        """A request begins; raises Unanswered while another is under way."""
        if self._answering:
            raise Unanswered

    def on_url(self, url: bytes) -> None:
        """A part of the request's target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, of which few mean anything here."""
        name = name.lower()
        if name == b"content-type":
            self._media_type = value.decode("latin-1").partition(";")[0].strip().lower()
        elif name == b"expect":
            self._expects = value.lower() == b"100-continue"

    def on_headers_complete(self) -> None:
        """Decide whether the model is asked; only then is the body kept."""
        if self._ended:
            return
        self._in_head = False
        parser = self._parser
        self._method = parser.get_method().decode("latin-1")
        self._chunks = parser.get_http_version() == "1.1"
        self._keep_alive = self._chunks and parser.should_keep_alive()
        self._refusal = self._application.at_once(self._method, self._url.partition(b"?")[0].decode("latin-1"))
        if self._refusal is None:
            self._admitted = True
            self._application.admitted += 1
        if parser.should_upgrade():  # the parser reads no body then
            self._end(NO_UPGRADE)
        elif self._expects and self._refusal:
            self._end(self._refusal)
        elif self._expects:
            self._transport.write(CONTINUE)

    def on_body(self, part: bytes) -> None:
        """A part of the body."""
        if self._ended:
            return
        self._size += len(part)
        if self._size > MAX_BODY_BYTES:
            self._end(TOO_LARGE)
        elif self._refusal is None:
            self._body += part

    def on_message_complete(self) -> None:
        """Answer, or let the model answer."""
        if self._ended:
            return
        self._answering = True
        if self._refusal:
            self._send(self._refusal)
        else:
            self._application.batcher.ask(bytes(self._body), self._media_type, self._answered)

    # --------------------------------------------------------------------------------------------- the answers

    def _answered(self, answer: Answer | Stream) -> None:
        if isinstance(answer, Stream):
            self._streaming = asyncio.get_running_loop().create_task(self._stream(answer))
        else:
            self._send(answer)

    def _send(self, answer: Answer) -> None:
        """Send an answer."""
        body = answer.body if self._method != "HEAD" else b""
        self._over(head(answer, self._keeps()) + body)

    def _end(self, answer: Answer) -> None:
        """Send an answer before the request is read, and read no more.

        The client sends on until it sees the answer: it would lose it if the connection were closed at once.
        """
        self._ended = True
        self._release()
        self._transport.write(head(answer, keeps=False) + answer.body)
        if self._application.closing:
            self._transport.close()
        else:
            self._transport.write_eof()

    def _keeps(self) -> bool:
        return self._keep_alive and not self._application.closing

    def _over(self, written: bytes) -> None:
        """Send the end of an answer, and wait for the next request or close."""
        self._release()
        if not self._lost:
            self._transport.write(written)
            if not self._keeps():
                self._ended = True
                self._transport.close()
        self._await_request()

    def _release(self) -> None:
        if self._admitted:
            self._admitted = False
            self._application.admitted -= 1

    async def _stream(self, stream: Stream) -> None:
        """Send a stream as it is made, until its end or its client's; without its end where making it fails."""
        batcher = self._application.batcher
        coding = b"transfer-encoding: chunked\r\n" if self._chunks else b""
        start = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\n%b%b\r\n"
        try:
            if not self._lost:
                self._transport.write(start % (stream.media_type.encode(), coding, b"" if self._keeps() else CLOSE))
            while (piece := await batcher.piece(stream)) and not self._lost:
                self._transport.write(b"%x\r\n%b\r\n" % (len(piece), piece) if self._chunks else piece)
                await self._writable.wait()
            self._over(b"0\r\n\r\n" if self._chunks else b"")
        except Exception:
            traceback.print_exc(file=sys.stderr)
            self._keep_alive = False
            self._over(b"")
        finally:
            batcher.end(stream)


def head(answer: Answer, keeps: bool) -> bytes:
    """Return an answer's status line and headers."""
    more = answer.more
    if answer.status == 503:
        more += b"retry-after: 1\r\n"
    if not keeps:
        more += CLOSE
    line = b"HTTP/1.1 %d %b\r\n" % (answer.status, HTTPStatus(answer.status).phrase.encode())
    return b"%bcontent-type: application/json\r\ncontent-length: %d\r\n%b\r\n" % (line, len(answer.body), more)

"""AWS's event stream encoding, `application/vnd.amazon.eventstream`: what streamed answers travel in.

A message is its length and that of its headers, their CRC-32, headers, payload, and the CRC-32 of all before.
"""

import struct
from binascii import crc32

CONTENT_TYPE = "application/vnd.amazon.eventstream"
STRING = 7  # the type of a header's value


def event(name: str, payload: bytes) -> bytes:
    """An event of the stream, its payload a blob."""
    return message(
        {":event-type": name, ":content-type": "application/octet-stream", ":message-type": "event"}, payload
    )


def failure(name: str, payload: bytes) -> bytes:
    """The error that ends a stream, its payload JSON."""
    headers = {":exception-type": name, ":content-type": "application/json", ":message-type": "exception"}
    return message(headers, payload)


def message(headers: dict[str, str], payload: bytes) -> bytes:
    """One message."""
    head = b"".join(
        struct.pack("!B", len(name)) + name.encode() + struct.pack("!BH", STRING, len(value)) + value.encode()
        for name, value in headers.items()
    )
    prelude = struct.pack("!II", 16 + len(head) + len(payload), len(head))
    prelude += struct.pack("!I", crc32(prelude))
    return prelude + head + payload + struct.pack("!I", crc32(prelude + head + payload))

"""Bodies of unknown length, sent piece by piece until their end or until the client is gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any


async def send_stream(pieces: AsyncGenerator[bytes], send: Any, receive: Any) -> None:
    """Send bytes as they come, each at once; `pieces` is closed in the end, so that who makes them can stop."""
    gone = asyncio.ensure_future(disconnected(receive))
    try:
        async for piece in pieces:
            if gone.done():
                return
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    finally:
        gone.cancel()
        await pieces.aclose()


async def disconnected(receive: Any) -> None:
    """Wait until the client is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass  # the request itself, which was read or has no body

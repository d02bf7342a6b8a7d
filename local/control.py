"""The platform's own calls on the emulator's port: save everything now, plant or clear faults, move a clock."""

from __future__ import annotations

import json
import os
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from local.faults import BadFault, Faults
from local.state import Snapshots

PREFIX = "/_slipway/"
LOOPBACK = ("127.0.0.1", "::1")


def controlled(app: ASGIApp, snapshots: Snapshots, faults: Faults, move_clock: Callable[[float], None]) -> ASGIApp:
    """`app` with our own paths before it. `move_clock` puts CloudWatch's clock some seconds ahead of real time."""

    async def control(scope: Scope, receive: Receive, send: Send) -> None:
        if not scope["path"].startswith(PREFIX):
            await app(scope, receive, send)
            return
        request = Request(scope, receive)
        await (await answer(request, snapshots, faults, move_clock))(scope, receive, send)

    return control


async def answer(
    request: Request, snapshots: Snapshots, faults: Faults, move_clock: Callable[[float], None]
) -> Response:
    """The answer to one of our own calls."""
    if request.client is None or request.client.host not in LOOPBACK:
        return refused(403, "Only programs on this machine may do this.")
    match request.method, request.url.path.removeprefix(PREFIX):
        case "POST", "save":
            await snapshots.save_all()
        case (("POST" | "DELETE"), ("faults" | "clock")) if os.environ.get("SLIPWAY_FAULTS") != "1":
            return refused(403, "Faults are off; start the platform with SLIPWAY_FAULTS=1.")
        case "POST", "faults":
            try:
                faults.plant(await request.body())
            except BadFault as error:
                return refused(400, str(error))
        case "DELETE", "faults":
            faults.clear()
        case "POST", "clock":
            seconds = ahead(await request.body())
            if seconds is None:
                return refused(400, 'Send {"seconds": n}: how far ahead of real time, 0 or more.')
            move_clock(seconds)
        case _:
            return refused(404, "There is no such call.")
    return Response(status_code=204)


def ahead(body: bytes) -> float | None:
    """The seconds that a body names, None when it names none."""
    try:
        seconds = json.loads(body)["seconds"]
    except (ValueError, KeyError, TypeError):
        return None
    return float(seconds) if isinstance(seconds, int | float) and 0 <= seconds < 1e9 else None


def refused(status: int, detail: str) -> Response:
    return JSONResponse({"detail": detail}, status)

"""The platform's own calls on the emulator's port: save everything now, and plant or clear faults."""

from __future__ import annotations

import os

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from local.faults import BadFault, Faults
from local.state import Snapshots

PREFIX = "/_slipway/"
LOOPBACK = ("127.0.0.1", "::1")


def controlled(app: ASGIApp, snapshots: Snapshots, faults: Faults) -> ASGIApp:
    """`app` with our own paths before it."""

    async def control(scope: Scope, receive: Receive, send: Send) -> None:
        if not scope["path"].startswith(PREFIX):
            await app(scope, receive, send)
            return
        request = Request(scope, receive)
        await (await answer(request, snapshots, faults))(scope, receive, send)

    return control


async def answer(request: Request, snapshots: Snapshots, faults: Faults) -> Response:
    """The answer to one of our own calls."""
    if request.client is None or request.client.host not in LOOPBACK:
        return refused(403, "Only programs on this machine may do this.")
    match request.method, request.url.path.removeprefix(PREFIX):
        case "POST", "save":
            await snapshots.save_all()
        case (("POST" | "DELETE"), "faults") if os.environ.get("SLIPWAY_FAULTS") != "1":
            return refused(403, "Faults are off; start the platform with SLIPWAY_FAULTS=1.")
        case "POST", "faults":
            try:
                faults.plant(await request.body())
            except BadFault as error:
                return refused(400, str(error))
        case "DELETE", "faults":
            faults.clear()
        case _:
            return refused(404, "There is no such call.")
    return Response(status_code=204)


def refused(status: int, detail: str) -> Response:
    return JSONResponse({"detail": detail}, status)

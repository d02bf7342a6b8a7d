"""A bare route of Starlette that does what ours does, on the same event loop and parser."""

# pyright: reportMissingImports=false

import os

import uvicorn
from model import sums  # beside this file
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


async def invocations(request: Request) -> JSONResponse:
    """Sums of rows."""
    return JSONResponse({"predictions": sums((await request.json())["instances"])})


app = Starlette(routes=[Route("/invocations", invocations, methods=["POST"])])
port = int(os.environ["SAGEMAKER_BIND_TO_PORT"])
uvicorn.run(app, port=port, access_log=False, log_level="warning", loop="uvloop", http="httptools")

"""openapi.json, composed of the routers of all nouns. Write it: python -m lambdas.system.openapi

The security of an operation is read off its dependencies, so the document says what the code does.
"""

import importlib
import json
import pkgutil
from typing import Any

from fastapi import APIRouter
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

import lambdas
from lambdas.common.app import create_app
from lambdas.common.dependencies import current_caller, current_metrics_reader
from lambdas.common.errors import STATUS_CODES
from lambdas.system.docs import OPENAPI_FILE

BEARER = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "JWT",
    "description": "The `id_token` of POST /auth/login.",
}
ERROR = {
    "title": "Error",
    "description": "What every answer that is not a success looks like.",
    "type": "object",
    "required": ["detail", "code", "request_id"],
    "properties": {
        "detail": {"type": "string", "description": "One sentence a person can act on."},
        "code": {
            "type": "string",
            "enum": sorted({"internal_error", "method_not_allowed", *(e.code for e in STATUS_CODES)}),
        },
        "request_id": {"type": ["string", "null"], "description": "What to tell an admin."},
        "errors": {
            "type": "array",
            "description": "The wrong fields, when the request was not valid.",
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
}
DEFAULT_RESPONSE = {
    "description": "An error: its status is one of 400, 401, 403, 404, 409, 413, 429, 500, 502, 503.",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
}


def routers() -> list[APIRouter]:
    """Return the routers of all nouns, in the order of the nouns' names; a noun may have more than one."""
    modules = (module.name for module in pkgutil.walk_packages(lambdas.__path__, "lambdas."))
    return [importlib.import_module(name).router for name in sorted(modules) if name.endswith("routes")]


def document(routers: list[APIRouter]) -> dict[str, Any]:
    """Return the OpenAPI document of an API made of these routers."""
    app = create_app(*routers)
    app.servers = [{"url": "/api"}]  # the name of the API's stage
    found = app.openapi()
    found["info"] |= {"version": "1", "description": "Datasets go in, training runs, models come out, endpoints serve."}
    schemas = found["components"]["schemas"]
    # FastAPI's own shape of validation errors, which no answer has.
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    schemas["Error"] = ERROR
    found["components"]["securitySchemes"] = {"bearer": BEARER}
    for route in (route for router in routers for route in router.routes if isinstance(route, APIRoute)):
        for method in route.methods or ():
            operation = found["paths"][route.path][method.lower()]
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = DEFAULT_RESPONSE
            operation["security"] = [{"bearer": []}] if asks_for_caller(route.dependant) else []
    return found


def asks_for_caller(dependant: Dependant) -> bool:
    """Return whether a route, or anything it depends on, asks who is calling."""
    asks = dependant.call in (current_caller, current_metrics_reader)
    return asks or any(map(asks_for_caller, dependant.dependencies))


def text() -> str:
    """Return the text of openapi.json."""
    return json.dumps(document(routers()), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    OPENAPI_FILE.write_text(text(), encoding="utf-8")

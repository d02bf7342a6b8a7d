"""The documentation page, made from openapi.json: one static page without scripts, so it also reads offline."""

import json
from collections import defaultdict
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

OPENAPI_FILE = Path(__file__).parents[2] / "openapi.json"  # the root of the repository, and of the bundle
CONTENT_SECURITY_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1b1f24 }
details { border-bottom: 1px solid #ddd }
summary { cursor: pointer; padding: .3rem 0 } summary code { font-weight: 600 }
table { border-collapse: collapse; margin: .5rem 0 1rem }
td, th { text-align: left; padding: .2rem 1rem .2rem 0; vertical-align: top }
.open { color: #0a6640 } .muted { color: #666 }
"""


@cache
def page() -> str:
    """Return the page's HTML, made once per process."""
    return render(json.loads(OPENAPI_FILE.read_text(encoding="utf-8")))


def render(openapi: dict[str, Any]) -> str:
    """Return an OpenAPI document as HTML: operations by tag, then the shapes they name."""
    tags: dict[str, list[str]] = defaultdict(list)
    for path, operations in openapi["paths"].items():
        for method, operation in operations.items():
            tags[operation.get("tags", ["other"])[0]].append(operation_html(method.upper(), path, operation))
    sections = "".join(f"<h2>{escape(tag)}</h2>{''.join(found)}" for tag, found in sorted(tags.items()))
    shapes = "".join(shape_html(name, shape) for name, shape in sorted(openapi["components"]["schemas"].items()))
    info = openapi["info"]
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(info["title"])} API</title>'
        f"<style>{STYLE}</style><h1>{escape(info['title'])} API</h1><p>{escape(info.get('description', ''))}</p>"
        "<p>Send the <code>id_token</code> of <code>POST /auth/login</code> as <code>Authorization: Bearer</code>. "
        'For programs: <a href="openapi.json">openapi.json</a>.</p>'
        f"{sections}<h2>Shapes</h2>{shapes}</html>"
    )


def operation_html(method: str, path: str, operation: dict[str, Any]) -> str:
    """Return one operation as a fold-out entry."""
    access = "" if operation.get("security") else ' <span class="open">no token</span>'
    body = " ".join(map(media_html, operation.get("requestBody", {}).get("content", {}).values()))
    answers = "".join(
        f"<tr><td>{escape(status)}<td>{' '.join(map(media_html, answer.get('content', {}).values())) or 'no content'}"
        for status, answer in operation["responses"].items()
    )
    parameters = "".join(
        field_html(found["name"], found["schema"] | {"description": found.get("description", "")}, found["required"])
        for found in operation.get("parameters", [])
    )
    table = f"<table><tr><th>Parameter<th>Type<th>{parameters}</table>" if parameters else ""
    return (
        f"<details><summary><code>{method} {escape(path)}</code>{access} "
        f'<span class="muted">{escape(operation.get("description", ""))}</span></summary>'
        f"{table}{f'<p>Body: {body}</p>' if body else ''}"
        f"<table><tr><th>Status<th>Answer{answers}</table></details>"
    )


def shape_html(name: str, shape: dict[str, Any]) -> str:
    """Return one schema as a fold-out entry with a table of its fields."""
    required = shape.get("required", [])
    rows = "".join(field_html(field, found, field in required) for field, found in shape.get("properties", {}).items())
    return (
        f'<details id="{escape(name)}"><summary><code>{escape(name)}</code> '
        f'<span class="muted">{escape(shape.get("description", ""))}</span></summary><table>{rows}</table></details>'
    )


def field_html(name: str, schema: dict[str, Any], required: bool) -> str:
    """Return one field or parameter as a table row."""
    note = "" if required else "optional. "
    return (
        f"<tr><td><code>{escape(name)}</code><td>{type_html(schema)}<td>{note}{escape(schema.get('description', ''))}"
    )


def media_html(media: dict[str, Any]) -> str:
    """Return the shape of a body."""
    return type_html(media.get("schema", {}))


def type_html(schema: dict[str, Any]) -> str:
    """Return a schema in a few words, shapes as links."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return " or ".join(map(type_html, schema[several]))
    if "enum" in schema or "const" in schema:
        return " | ".join(escape(str(value)) for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return f"list of {type_html(schema.get('items', {}))}"
    return escape(str(schema.get("pattern") or schema.get("type", "any")))

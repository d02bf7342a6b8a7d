"""The dashboard's queries as pages of Prometheus itself, for a machine without Grafana."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any
from urllib.parse import urlencode

from operations.grafana import DASHBOARD

PAGE = "index.html"  # under /user/, where Prometheus serves what --web.user-assets names
HEAD = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<title>Slipway</title>
<style>body { font: 16px sans-serif; margin: 2em auto; max-width: 50em; line-height: 1.5 }</style>
<h1>Slipway</h1>
<p>What the dashboard asks for, as Prometheus draws it: a whole row on a page, or one panel.</p>
"""


def rows() -> dict[str, list[dict[str, Any]]]:
    """Return the panels of the dashboard by the title of their row."""
    found: dict[str, list[dict[str, Any]]] = {}
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        if panel["type"] == "row":
            found[panel["title"]] = []
        else:
            found[[*found][-1]].append(panel)
    return found


def expression(query: str, variables: Mapping[str, str]) -> str:
    """Return a query with the dashboard's variables filled in."""
    for name, value in variables.items():
        query = query.replace(name, value)
    return query


def variables_of(stage: str, scrape_interval: int) -> dict[str, str]:
    """Return what the variables stand for: a rate spans four scrapes (of so many seconds), as Grafana has it."""
    return {"$__rate_interval": f"{4 * scrape_interval}s", "$stage": stage}


def graphs_path(queries: Sequence[str]) -> str:
    """Return the path of the page that draws queries, one below the other."""
    fields: dict[str, str] = {}
    for number, query in enumerate(queries):
        fields |= {f"g{number}.expr": query, f"g{number}.tab": "0", f"g{number}.range_input": "30m"}
    return f"/graph?{urlencode(fields)}"


def page(variables: Mapping[str, str]) -> str:
    """Return a page of links: each row, and each of its panels with what it shows."""
    parts = [HEAD]
    for title, panels in rows().items():
        queries = {
            panel["title"]: [expression(target["expr"], variables) for target in panel["targets"]] for panel in panels
        }
        every = [query for asked in queries.values() for query in asked]
        parts.append(f"<h2>{link(graphs_path(every), title)}</h2>\n<ul>\n")
        for panel in panels:
            path = graphs_path(queries[panel["title"]])
            parts.append(f"<li>{link(path, panel['title'])}: {escape(panel['description'])}\n")
        parts.append("</ul>\n")
    return "".join(parts)


def link(path: str, text: str) -> str:
    """Return a link of a page."""
    return f'<a href="{escape(path)}">{escape(text)}</a>'

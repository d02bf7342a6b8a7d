"""Chat templates: Jinja programs that come with language models and run wherever a prompt is built."""

from __future__ import annotations

import re

from lambdas.scanner.report import Examination

# What reaches from a template's values to Python itself. A template that only lays out messages needs none of it.
ESCAPES = re.compile(
    r"__\w+__|\\x5f|\\u005f|\|\s*attr\s*\(|\b(?:lipsum|cycler|joiner|self|request)\s*[.\[]"
    r"|\{%[-+]?\s*(?:import|from|include|extends)\b[^%]*|\b(?:getattr|popen|builtins)\b",
    re.IGNORECASE,
)


def examine_template(template: str, where: str, found: Examination) -> None:
    """Note what in a chat template reaches beyond the messages that it is given."""
    if escape := ESCAPES.search(template):
        found.suspicious(
            "template_escape",
            f"The chat template in {where} uses {escape[0][:60]!r}, which can run Python outside a sandbox.",
        )

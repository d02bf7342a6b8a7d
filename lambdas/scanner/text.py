"""Texts: JSON, YAML, lists of packages, documentation; and sources of programs, which have no place in a model."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from urllib.parse import unquote

from lambdas.scanner.binary import Malformed, noting, parsed_json
from lambdas.scanner.chat_templates import examine_template
from lambdas.scanner.documents import examine_document
from lambdas.scanner.keras import STANDARD, top
from lambdas.scanner.limits import LimitExceeded
from lambdas.scanner.report import Examination
from lambdas.scanner.requirements import examine_requirements, is_requirements, python_version
from lambdas.scanner.source import Source

MOST_TEXT = 256 * 1024 * 1024  # bytes that are read to see whether they are text
MOST_PARSED = 8 * 1024 * 1024  # of a document that is taken apart
OVERLAP = 512  # characters of one piece that are looked at again with the next
MOST_NOTES = 20
PROGRAMS = {"py": "Python", "pyw": "Python", "pyx": "Cython", "ipynb": "a notebook's", "sh": "shell", "bash": "shell"}
PROGRAMS |= {"bat": "Windows shell", "cmd": "Windows shell", "ps1": "PowerShell", "psm1": "PowerShell", "rb": "Ruby"}
PROGRAMS |= {"vbs": "Visual Basic", "js": "JavaScript", "mjs": "JavaScript", "cjs": "JavaScript", "pl": "Perl"}
PROGRAMS |= {"php": "PHP", "lua": "Lua", "r": "R", "c": "C", "cc": "C++", "cpp": "C++", "cu": "CUDA", "jl": "Julia"}
BROWSED = {"html", "htm", "xhtml", "svg"}
TEMPLATES = {"jinja", "jinja2", "j2"}
PROSE = {"md", "txt", "rst", "csv", "tsv", "log", "json", "jsonl", *PROGRAMS, *BROWSED, *TEMPLATES}  # never YAML
TAG = re.compile(r"!<[^>\s]{1,300}|![^\s,\[\]{}\"'>]{2,300}|^%TAG[^\n]{0,300}", re.MULTILINE)
TARGET = re.compile(r"_target_[\"']?\s*:\s*[\"']?([\w.]{1,200})")
UNPARSED = re.compile(
    r"\"(auto_map|__lambda__)\"|\"class_name\"\s*:\s*\"(Lambda)\"|\"chat_template\"\s*:.{0,200}?(__\w+__)"
)


def scan(source: Source, filename: str) -> Examination:
    """Examine a text by its name and what is in it; one that is no text is not scanned."""
    found = Examination("text")
    with noting(found):
        try:
            examine(source, filename.rsplit("/", 1)[-1], found)
        except UnicodeDecodeError:
            found.format = None
            found.unscanned("unknown_format", "It is neither text nor of a format that the scanner knows.")
    return found


def examine(source: Source, name: str, found: Examination) -> None:
    """Examine a text; raises Malformed, UnicodeDecodeError, LimitExceeded."""
    extension = name.rsplit(".", 1)[-1].lower() if "." in name else ""
    head = source.read(0, source.size if source.size <= MOST_PARSED else OVERLAP)
    if kind := PROGRAMS.get(extension):
        found.suspicious("program", f"It is {kind} source, which would run if something imported or called it.")
    elif head.startswith(b"#!"):
        found.suspicious("program", f"It is a script for {first_line(head[2:])}.")
    elif extension in BROWSED:
        found.info("program", "It is a page that can hold scripts, which run in a browser that opens it.")
    may_be_yaml = extension not in PROSE
    for piece in pieces(source):
        if may_be_yaml:
            examine_yaml(piece, found)
    if extension == "json" or head.lstrip()[:1] in (b"{", b"["):
        examine_json(source, head, name, found)
    elif len(head) == source.size:
        examine_whole(head.decode(errors="replace"), name, extension, found)


def pieces(source: Source) -> Iterator[str]:
    """Yield the text, each piece with the end of the one before; raises UnicodeDecodeError for what is none."""
    if source.size > MOST_TEXT:
        raise LimitExceeded("too_much_data", f"It is a text of more than {MOST_TEXT >> 20} MiB.")
    start = source.read(0, 2)
    wide = start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    decoder = codecs.getincrementaldecoder("utf-16" if wide else "utf-8")()
    kept = ""
    for chunk in source.chunks():
        text = decoder.decode(chunk)
        if "\0" in text:
            raise UnicodeDecodeError("utf-8", b"\0", 0, 1, "A text has no NUL.")
        yield kept + text
        kept = text[-OVERLAP:]
    decoder.decode(b"", final=True)


def examine_yaml(text: str, found: Examination) -> None:
    """Note tags that have a YAML loader make any object of its language, and functions that Hydra would call."""
    for match in TAG.finditer(text):
        tag = unquote(match[0])
        if len(found.findings) > MOST_NOTES:
            return
        if re.match(r"!!python/|!<?tag:yaml\.org,2002:python/|%TAG.*python", tag):
            found.malicious("yaml_tag", f"The YAML tag {tag[:150]} has a loader make any object of Python.")
        elif tag.startswith(("%TAG", "!!js/", "!ruby/", "!!java", "!!javax")):
            found.suspicious("yaml_tag", f"The YAML tag {tag[:150]} can have a loader make any object.")
    for match in TARGET.finditer(text):
        if top(match[1]) in STANDARD | {"builtins"}:
            found.malicious("foreign_function", f"It has Hydra import and call {match[1]}.")


def examine_json(source: Source, head: bytes, name: str, found: Examination) -> None:
    """Take a JSON document apart, or look for a few words in one that is too long for that."""
    promised = name.lower().endswith(".json")
    found.format = "json"
    if source.size > MOST_PARSED:
        if head.startswith((b'{"learner":', b'{"version":')) and b'"learner"' in source.read(0, OVERLAP):
            found.format, found.framework = "xgboost", "other"
        return search_json(source, found)
    try:
        document = parsed_json(head.decode("utf-8-sig"))
    except (Malformed, UnicodeDecodeError):
        if promised:
            raise
        found.format = "json" if are_lines(head) else "text"
        return None
    return examine_document(document, name, found)


def search_json(source: Source, found: Examination) -> None:
    """Look for the words in a long document that have a loader run code."""
    for piece in pieces(source):
        for match in UNPARSED.finditer(piece):
            word = next(filter(None, match.groups()))
            if len(found.findings) < MOST_NOTES:
                found.suspicious("remote_code", f"It says {word}, which can have a loader run code.")


def are_lines(head: bytes) -> bool:
    """Tell whether the first line is a document of its own."""
    try:
        json.loads(head.split(b"\n", 1)[0])
    except (ValueError, RecursionError):
        return False
    return True


def examine_whole(text: str, name: str, extension: str, found: Examination) -> None:
    """Take over what a short text says of packages, and look at templates."""
    if is_requirements(name):
        examine_requirements(text, found)
    if extension in TEMPLATES or name == "chat_template":
        examine_template(text, name, found)
    if version := python_version(name, text):
        found.metadata["python_version"] = version


def first_line(data: bytes) -> str:
    return data[:80].split(b"\n")[0].decode(errors="replace").strip()

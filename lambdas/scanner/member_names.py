"""Names of members: what an unpacking program may be led to write, and where."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from lambdas.scanner.report import Examination, shown

DEEPEST_PATH = 64
DRIVE = re.compile(r"^[A-Za-z]:")


def judge(found: Examination, names: Iterable[str]) -> None:
    """Say which names leave the folder that they are unpacked to, or hide one behind another."""
    seen: dict[str, str] = {}
    for name in names:
        text = shown(name, 100)
        parts = name.replace("\\", "/").split("/")
        if ".." in parts or name.startswith(("/", "\\")) or DRIVE.match(name):
            found.malicious("path_escape", f"{text}: the member would be unpacked outside its folder.")
        elif "\\" in name:
            found.suspicious("backslash", f"{text}: the member's name has a backslash, a separator on Windows.")
        if "\0" in name:
            found.malicious("nul_in_name", f"{text}: the member's name goes on after a zero byte.")
        if not name or len(parts) > DEEPEST_PATH:
            found.suspicious("odd_name", f"{text}: the member's name is empty or deeper than {DEEPEST_PATH} folders.")
        same = unicodedata.normalize("NFC", name.rstrip("/")).casefold()
        if same in seen and not name.endswith("/"):
            kind = "duplicate_name" if seen[same] == name else "case_clash"
            found.suspicious(kind, f"{text}: two members have this name, and one hides the other.")
        seen[same] = name


def judge_link(found: Examination, name: str, target: str | None) -> None:
    """Say that a member is a link."""
    towards = f" to {shown(target, 100)}" if target else ""
    out = target is not None and (target.startswith("/") or ".." in target.split("/"))
    message = f"{shown(name, 100)}: the member is a link{towards}."
    if out:
        found.malicious("link_outside", message)
    else:
        found.suspicious("link", message)

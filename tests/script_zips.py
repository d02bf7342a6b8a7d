"""ZIPs of custom scripts: honest ones, and each way in which one is not."""

import io
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "custom_script"


def packed(files: Mapping[str, str | bytes]) -> bytes:
    """A ZIP of files by name; the same files make the same bytes."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in files.items():
            opened.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return archive.getvalue()


def example() -> bytes:
    """The example script as a user packs it."""
    return packed({file.name: file.read_bytes() for file in sorted(EXAMPLE.iterdir()) if file.is_file()})


def entry(name: str, content: bytes = b"x", mode: int = 0) -> bytes:
    """A ZIP with train.py and one more entry of a kind, whatever its name."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("train.py", "")
        info = zipfile.ZipInfo(name)
        info.filename, info.external_attr, info.compress_type = name, mode << 16, zipfile.ZIP_DEFLATED
        opened.writestr(info, content)
    return archive.getvalue()


def encrypted() -> bytes:
    """A ZIP that says it is encrypted, in both headers of its entry."""
    data = bytearray(packed({"train.py": "print(1)"}))
    for magic, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(magic) + flags] |= 1
    return bytes(data)


def damaged() -> bytes:
    """A ZIP of which a byte of data is another."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as opened:
        opened.writestr("train.py", "print(1)")
    return archive.getvalue().replace(b"print(1)", b"print(2)")


def twice() -> bytes:
    """A ZIP with two files of one name."""
    return entry("train.pY").replace(b"train.pY", b"train.py")


# What is dishonest -> the ZIP, and what the platform says of it, to go on after "The ZIP".
HOSTILE: dict[str, tuple[bytes, str]] = {
    "above": (entry("../train.py"), "leaves its folder"),
    "absolute": (entry("/etc/passwd"), "leaves its folder"),
    "backslash": (entry("a\\b.py"), "has a backslash"),
    "link": (entry("link.py", b"/etc/passwd", stat.S_IFLNK | 0o777), "is a symbolic link"),
    "device": (entry("device", b"", stat.S_IFCHR | 0o777), "is neither a plain file nor a folder"),
    "bomb": (entry("zeros.bin", bytes(8 * 1024 * 1024)), "unpacks to more than 200 times its size"),
    "encrypted": (encrypted(), "is encrypted"),
    "twice": (twice(), "is there twice"),
    "no zip": (b"#!/bin/sh\n" * 10, "is no ZIP"),
    "cut off": (packed({"train.py": "x" * 99})[:-30], "is cut off"),
}

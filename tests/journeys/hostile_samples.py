"""Files that a careless reader would fall over, made of good ones."""

import io
import struct
import zipfile
import zlib

from PIL import Image


def encrypted(archive: bytes) -> bytes:
    """Say of every member that it is encrypted."""
    changed = bytearray(archive)
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = archive.find(signature)
        while at >= 0:
            changed[at + flags] |= 1
            at = archive.find(signature, at + 4)
    return bytes(changed)


def slip(archive: bytes) -> bytes:
    """Add a member that a careless program would unpack elsewhere."""
    changed = io.BytesIO(archive)
    with zipfile.ZipFile(changed, "a") as opened:
        opened.writestr("../../etc/cron.d/cat.png", b"")
    return changed.getvalue()


def huge() -> bytes:
    """A PNG that says it has 65,535 x 65,535 pixels."""
    small = io.BytesIO()
    Image.new("RGB", (8, 8)).save(small, "PNG")
    said = b"IHDR" + struct.pack(">2I", 65_535, 65_535) + small.getvalue()[24:29]
    return small.getvalue()[:12] + said + struct.pack(">I", zlib.crc32(said)) + small.getvalue()[33:]


def broken(table: bytes) -> bytes:
    """Overwrite the middle of a Parquet file's footer."""
    (length,) = struct.unpack("<I", table[-8:-4])
    at = len(table) - 8 - length // 2
    return table[:at] + b"\xff" * 64 + table[at + 64 :]

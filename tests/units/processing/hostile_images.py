"""Hostile pictures: what they claim, what they hold, and what they pretend to be."""

import io
import struct
import zlib
from collections.abc import Iterable

from PIL import Image

from tests.units.processing.hostile_case import MIB, Hostile

START = b"\x89PNG\r\n\x1a\n"
END = b"\0\0\0\0IEND\xaeB`\x82"


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def header(width: int, height: int, depth: int = 8, colours: int = 0) -> bytes:
    return START + chunk(b"IHDR", struct.pack(">2I5B", width, height, depth, colours, 0, 0, 0))


def png(width: int, height: int, *extra: bytes) -> bytes:
    """A grey picture, with extra chunks before its data."""
    rows = b"".join(b"\0" + bytes((x * y) % 256 for x in range(width)) for y in range(height))
    return header(width, height) + b"".join(extra) + chunk(b"IDAT", zlib.compress(rows)) + END


def bomb() -> bytes:
    """65535x65535 pixels that are really there: 4 GB of zeros, packed to 4 MB."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(bytes(16 * MIB)) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = struct.pack(">2H", 256 * 16 * MIB % 65521, 1)
    return header(65535, 65535) + chunk(b"IDAT", b"\x78\xda" + block * 256 + b"\x03\0" + checksum) + END


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def photo(**options: object) -> bytes:
    return encoded(Image.radial_gradient("L").convert("RGB"), "JPEG", **options)


def animation() -> bytes:
    """A GIF of 10,000 frames that each cover 5000x5000 pixels of its canvas."""
    still = encoded(Image.new("P", (1, 1)), "GIF")
    frame = b"\x2c" + struct.pack("<4HB", 4999, 4999, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    return still[:6] + struct.pack("<2H", 5000, 5000) + still[10:-1] + frame * 10_000 + b";"


def packed(size: int) -> bytes:
    return zlib.compress(bytes(size), 9)


def huge_text() -> Iterable[bytes]:
    """A text chunk of 100 MB that is really there."""
    data = b"Comment\0" + b"x" * (100 * MIB)
    yield header(8, 8) + chunk(b"tEXt", data) + png(8, 8)[len(header(8, 8)) :]


def wrong_exif() -> bytes:
    """EXIF whose directory of tags is a circle with counts of billions."""
    tags = struct.pack("<H", 1) + struct.pack("<HHII", 0x0112, 3, 0xFFFFFFFF, 8) + struct.pack("<I", 8)
    return photo(exif=b"Exif\0\0II*\0" + struct.pack("<I", 8) + tags)


def pictures() -> list[Hostile]:
    """Pictures as files of their own; those that cannot be read are defects, or refused when nothing is left."""
    polyglot = png(8, 8) + b"<script>alert(1)</script>PK\x05\x06" + bytes(18)
    flat = zlib.compress(bytes(9 * 8))
    colour_profile = chunk(b"iCCP", b"profile\0\0" + packed(200 * MIB))
    text = chunk(b"zTXt", b"Comment\0\0" + packed(200 * MIB))
    unicode_text = chunk(b"iTXt", b"Comment\0\x01\0\0\0" + packed(200 * MIB))
    corrupt = ("corrupt_image",)
    found: dict[str, tuple[object, tuple[str, ...]]] = {
        "PNG header of 65535x65535": (header(65535, 65535) + chunk(b"IDAT", flat) + END, corrupt),
        "PNG header of 2^31 pixels": (header(2**31 - 1, 1, 16, 6) + chunk(b"IDAT", flat) + END, corrupt),
        "PNG bomb of 65535x65535": (bomb, corrupt),
        "PNG of no bytes": (b"", corrupt),
        "PNG truncated": (png(64, 64)[:-40], corrupt),
        "PNG with a wrong checksum": (png(64, 64)[:-20] + b"\0\0\0\0" + png(64, 64)[-16:], corrupt),
        "PNG polyglot with a ZIP and a page": (polyglot, ()),
        "PNG colour profile bomb": (lambda: png(8, 8, colour_profile), corrupt),
        "PNG zTXt bomb": (lambda: png(8, 8, text), corrupt),
        "PNG iTXt bomb": (lambda: png(8, 8, unicode_text), corrupt),
        "PNG text of 100 MB": (huge_text, corrupt),
        "PNG with a million chunks": (lambda: png(8, 8, chunk(b"tIME", bytes(7)) * 1_000_000), ()),
        "SVG named .png": (
            b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
            corrupt,
        ),
        "HTML named .png": (b"<!doctype html><script>alert(1)</script>", corrupt),
        "EPS named .png": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) run\n", corrupt),
        "GIF bomb named .png": (animation, ()),
        "TIFF circle named .png": (b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHIII", 273, 4, 1, 8, 8), corrupt),
    }
    good = png(5, 5)
    jpegs: dict[str, tuple[object, tuple[str, ...]]] = {
        "JPEG truncated": (lambda: photo()[:1000], corrupt),
        "JPEG header of 65535x65535": (lambda: taller(photo()), corrupt),
        "JPEG EXIF in circles": (wrong_exif, ()),
        "JPEG of 1,000 scans": (lambda: scans(photo(progressive=True)), corrupt),
    }
    return [
        *(Hostile(name, "image", "png", {"bad.png": made, "good.png": good}, None, codes)  # type: ignore[dict-item]
          for name, (made, codes) in found.items()),
        *(Hostile(name, "image", "jpg", {"bad.jpg": made, "good.jpg": photo}, None, codes)  # type: ignore[dict-item]
          for name, (made, codes) in jpegs.items()),
        Hostile("PNG alone that is none", "image", "png", {"bad.png": b"GIF89a"}, "no image that can be used"),
    ]  # fmt: skip


def taller(jpeg: bytes) -> bytes:
    """The picture with another size in its frame header."""
    at = jpeg.index(b"\xff\xc0") + 5
    return jpeg[:at] + b"\xff\xff\xff\xff" + jpeg[at + 4 :]


def scans(jpeg: bytes) -> bytes:
    """The picture with its last scan a thousand times."""
    last = jpeg[jpeg.rindex(b"\xff\xda") : -2]
    return jpeg[:-2] + last * 1000 + jpeg[-2:]

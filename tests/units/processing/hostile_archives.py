"""Hostile ZIPs, written byte by byte: no packer makes them."""

import io
import stat
import struct
import zipfile
import zlib
from dataclasses import dataclass, replace

from tests.units.processing.hostile_case import MIB, Hostile
from tests.units.processing.hostile_images import png

CONTENT = png(8, 8)


@dataclass(frozen=True)
class Member:
    """An entry, with what its directory record says of it where that is a lie."""

    name: bytes
    data: bytes = CONTENT
    method: int = 8
    flags: int = 0x800
    mode: int = stat.S_IFREG | 0o644
    local_name: bytes | None = None
    size: int | None = None
    packed_size: int | None = None
    crc: int | None = None
    extra: bytes = b""
    offset: int | None = None
    packed: bytes | None = None


def zip_of(*members: Member, before: bytes = b"", after: bytes = b"", count: int | None = None) -> bytes:
    """Return a ZIP of these entries."""
    body, directory = bytearray(before), bytearray()
    for member in members:
        packed = member.packed if member.packed is not None else deflated(member)
        size = len(member.data) if member.size is None else member.size
        packed_size = len(packed) if member.packed_size is None else member.packed_size
        crc = zlib.crc32(member.data) if member.crc is None else member.crc
        at = len(body) if member.offset is None else member.offset
        local = member.name if member.local_name is None else member.local_name
        told = struct.pack("<5H3I", 20, member.flags, member.method, 0, 0x21, crc, packed_size, size)
        if member.offset is None:
            body += b"PK\x03\x04" + told + struct.pack("<2H", len(local), len(member.extra)) + local + member.extra
            body += packed
        directory += b"PK\x01\x02" + struct.pack("<H", 0x0314) + told
        directory += struct.pack("<5H2I", len(member.name), len(member.extra), 0, 0, 0, member.mode << 16, at)
        directory += member.name + member.extra
    told_count = len(members) if count is None else count
    end = struct.pack("<4H2IH", 0, 0, told_count, told_count, len(directory), len(body), 0)
    return bytes(body + directory + b"PK\x05\x06" + end + after)


def deflated(member: Member) -> bytes:
    if member.method != 8:
        return member.data
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(member.data) + packer.flush()


CAT, DOG = Member(b"cats/1.png"), Member(b"dogs/1.png", png(9, 9))


def with_name(name: bytes) -> bytes:
    """A ZIP of two honest images and one of a name that could leave its folder."""
    return zip_of(CAT, DOG, Member(name))


def overlapping() -> bytes:
    """Two entries with the same bytes, as in 42.zip's successors."""
    return zip_of(CAT, DOG, Member(b"cats/1.png", offset=0), Member(b"cats/2.png", offset=0))


def quoted() -> bytes:
    """An entry whose deflated data begin with a stored block that quotes the next entry, so that both unpack."""
    inner = zip_of(DOG)
    second = inner[: inner.index(b"PK\x01\x02")]
    packed = b"\0" + struct.pack("<HH", len(second), len(second) ^ 0xFFFF) + second + b"\x03\0"
    first = Member(b"cats/1.png", data=second, packed=packed)
    return zip_of(first, replace(DOG, offset=30 + len(first.name) + 5))


def nested() -> bytes:
    """A ZIP in a ZIP in a ZIP, each of ten copies, as 42.zip is."""
    data = zip_of(Member(b"0.png", bytes(MIB)))
    for _ in range(4):
        data = zip_of(*(Member(b"%d.zip" % number, data) for number in range(10)))
    return zip_of(Member(b"cats/all.zip", data), CAT)


def many(count: int) -> bytes:
    """A ZIP of so many empty entries."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        for number in range(count):
            archive.writestr(zipfile.ZipInfo(f"a/{number}.png"), b"")
    return whole.getvalue()


def wide(size: int) -> bytes:
    """An extra field with a 64-bit size."""
    return struct.pack("<HHQQ", 1, 16, size, len(deflated(CAT)))


def honest() -> bytes:
    return zip_of(CAT, DOG)


def damaged() -> bytes:
    data = bytearray(honest())
    data[60] ^= 0xFF
    return bytes(data)


def archives() -> list[Hostile]:
    """ZIPs of images."""
    link = Member(b"cats/2.png", b"/etc/passwd", mode=stat.S_IFLNK | 0o777)
    through = Member(b"cats/2.png/passwd")
    liar = replace(CAT, data=CONTENT + bytes(20 * MIB), size=len(CONTENT))
    second_name = struct.pack("<HHBI", 0x7075, 5 + 9, 1, zlib.crc32(b"cats/1.png")) + b"../../etc"
    found: dict[str, tuple[object, str | None]] = {
        "ZIP slip": (with_name(b"../../etc/passwd.png"), "leaves its folder"),
        "ZIP slip inside": (with_name(b"cats/../../x.png"), "leaves its folder"),
        "ZIP absolute name": (with_name(b"/etc/x.png"), "leaves its folder"),
        "ZIP backslash": (with_name(b"..\\..\\x.png"), "backslash"),
        "ZIP drive letter": (with_name(b"C:/x.png"), "leaves its folder"),
        "ZIP NUL in a name": (with_name(b"cats/x.png\0.exe"), "control character"),
        "ZIP line break in a name": (with_name(b"cats/x\n.png"), "control character"),
        "ZIP name that is no text": (with_name(b"cats/\xff\xfe.png"), "not UTF-8"),
        "ZIP symlink": (zip_of(CAT, DOG, link), "symbolic link"),
        "ZIP symlink, then through it": (zip_of(CAT, link, through), "symbolic link"),
        "ZIP device": (zip_of(CAT, replace(link, mode=stat.S_IFCHR)), "neither a plain file nor a folder"),
        "ZIP encrypted": (zip_of(CAT, replace(DOG, flags=0x801)), "encrypted"),
        "ZIP duplicate names": (zip_of(CAT, DOG, CAT), "there twice"),
        "ZIP case clash": (zip_of(CAT, DOG, Member(b"Cats/1.PNG")), "there twice"),
        "ZIP accents clash": (zip_of(CAT, Member("é.png".encode()), Member("é.png".encode())), "there twice"),
        "ZIP overlapping entries": (overlapping, "overlaps another one"),
        "ZIP quoted overlap": (quoted, "overlaps"),
        "ZIP lying sizes": (zip_of(liar, DOG), "another size than it says"),
        "ZIP lying sizes, larger": (zip_of(replace(CAT, size=200), DOG), "another size than it says"),
        "ZIP bad checksum": (zip_of(replace(CAT, crc=1), DOG), "checksum is wrong"),
        "ZIP damaged data": (damaged, "is damaged"),
        "ZIP of ZIPs (42)": (nested, None),
        "ZIP bomb 1000:1": (lambda: zip_of(CAT, DOG, Member(b"cats/2.png", bytes(100 * MIB))), "times its size"),
        "ZIP of 100,001 entries": (lambda: many(100_001), "100,001 entries"),
        "ZIP 500 folders deep": (with_name(b"a/" * 500 + b"x.png"), "deeper than"),
        "ZIP64 lie": (
            zip_of(replace(CAT, size=0xFFFFFFFF, packed_size=0xFFFFFFFF, extra=wide(2**62))),
            "bytes unpacked",
        ),
        "ZIP64 lie, size": (zip_of(replace(CAT, size=0xFFFFFFFF, extra=wide(200)), DOG), "another size than it says"),
        "ZIP data before": (zip_of(CAT, DOG, before=b"%PDF-1.4\n"), "bytes before"),
        "ZIP data after": (zip_of(CAT, DOG, after=b"GIF89a" + bytes(50)), "bytes behind"),
        "ZIP other local name": (zip_of(replace(CAT, local_name=b"../../x.pn"), DOG), "differs from the directory"),
        "ZIP second name": (zip_of(replace(CAT, extra=second_name), DOG), "second name"),
        "ZIP two directories": (honest() + honest(), "not where it says"),
        "ZIP lying count": (zip_of(CAT, DOG, count=1), "longer than it says"),
        "ZIP empty": (zip_of(), "no image that can be used"),
        "ZIP of no bytes": (b"", "is no ZIP"),
        "ZIP truncated": (lambda: honest()[:-40], "cut off"),
        "ZIP method 99": (zip_of(CAT, replace(DOG, method=99)), "method 99"),
    }
    cases = [Hostile(name, "image", "zip", {"data.zip": made}, refused=said) for name, (made, said) in found.items()]  # type: ignore[dict-item]
    slip = with_name(b"../../etc/passwd.wav")
    return [
        *cases,
        Hostile("ZIP slip of recordings", "audio", "zip", {"data.zip": slip}, refused="leaves its folder"),
        Hostile("ZIP slip of videos", "video", "zip", {"data.zip": slip}, refused="leaves its folder"),
        Hostile("COCO with ZIP slip", "image", "coco", {"data.zip": slip}, refused="leaves its folder"),
    ]

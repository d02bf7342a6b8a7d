"""Hostile recordings and videos: sizes that are not there, and boxes in each other."""

import struct

from tests.units.processing.hostile_case import MIB, Hostile, repeated


def wav(said: int, there: int, rate: int = 8000, channels: int = 1) -> bytes:
    """A WAV that says another number of bytes of samples than it has."""
    form = struct.pack("<HHIIHH", 1, channels, rate, rate * channels * 2 % 2**32, channels * 2 % 65536, 16)
    return (
        struct.pack("<4sI4s4sI", b"RIFF", min(said + 36, 2**32 - 1), b"WAVE", b"fmt ", 16)
        + form
        + struct.pack("<4sI", b"data", said)
        + bytes(there)
    )


def box(kind: bytes, content: bytes, size: int | None = None) -> bytes:
    """A box of an MP4."""
    return struct.pack(">I4s", len(content) + 8 if size is None else size, kind) + content


FTYP = box(b"ftyp", b"isom\0\0\2\0isomiso2mp41")


def deep(depth: int) -> bytes:
    content = b""
    for _ in range(depth):
        content = box(b"moov", content)
    return FTYP + content


def flac(samples: int) -> bytes:
    """A FLAC of one block that says so many samples and has none."""
    info = struct.pack(">HH", 4096, 4096) + bytes(6) + struct.pack(">Q", 44100 << 44 | 15 << 36 | samples) + bytes(16)
    return b"fLaC" + bytes([0x80]) + len(info).to_bytes(3, "big") + info


def tagged(size: int) -> bytes:
    """An ID3 tag's header of so many bytes."""
    return b"ID3\4\0\0" + bytes(size >> shift & 127 for shift in (21, 14, 7, 0))


def recordings() -> list[Hostile]:
    """Recordings, each alone: when it cannot be read, nothing is left."""
    good = wav(1600, 1600)
    frames = (b"\xff\xfb\x90\x00" + bytes(413)) * 20
    table = box(b"stsz", bytes(8) + struct.pack(">I", 2**32 - 1))
    track = box(b"trak", box(b"mdia", box(b"minf", box(b"stbl", table))))
    bad = "no recording that can be used"
    wavs: dict[str, tuple[object, str | None]] = {
        "WAV that says 4 GB": (wav(2**32 - 9, 100), bad),
        "WAV of 65,535 channels": (wav(1600, 1600, channels=65535), bad),
        "WAV of no samples a second": (wav(1600, 1600, rate=0), bad),
        "WAV of a million chunks": (good[:12] + (b"JUNK\0\0\0\0" * 1_000_000) + good[12:], bad),
        "WAV of no bytes": (b"", bad),
        "MP3 named .wav": (frames, bad),
    }
    mp4s: dict[str, tuple[object, str | None]] = {
        "MP4 of boxes 10,000 deep": (deep(10_000), bad),
        "MP4 with a box of 2^63 bytes": (FTYP + struct.pack(">I4sQ", 1, b"moov", 2**63), bad),
        "MP4 with a box of 4 bytes": (FTYP + box(b"moov", b"", 4), bad),
        "MP4 with a table of 4 billion": (FTYP + box(b"moov", track), bad),
        "MP4 of a million boxes": (FTYP + box(b"free", b"") * 1_000_000, bad),
        "MP4 with a moov of 1 GB": (repeated(bytes(MIB), 1024, FTYP + struct.pack(">I4s", 2**30 + 8, b"moov")), bad),
        "MP4 that is a page": (b"<!doctype html>", bad),
    }
    flacs: dict[str, tuple[object, str | None]] = {
        "FLAC that says 2^36 samples": (flac(2**36 - 1), bad),
        "FLAC of a block of 16 MB that is not there": (b"fLaC\0\xff\xff\xff" + bytes(50), bad),
    }
    mp3s: dict[str, tuple[object, str | None]] = {
        "MP3 with a tag of 256 MB": (repeated(bytes(MIB), 256, tagged(2**28 - 1), frames), None),
        "MP3 with a tag that is not there": (tagged(2**28 - 1) + frames, bad),
        "MP3 of zeros": (bytes(5 * MIB), bad),
    }
    heavy = {"MP4 with a moov of 1 GB"}
    return [
        Hostile(name, "video" if end == "mp4" else "audio", end, {f"bad.{end}": made}, said, (), name in heavy)  # type: ignore[dict-item]
        for end, group in (("wav", wavs), ("mp4", mp4s), ("flac", flacs), ("mp3", mp3s))
        for name, (made, said) in group.items()
    ]

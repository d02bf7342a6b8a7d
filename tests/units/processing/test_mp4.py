"""MP4 files against FFmpeg, and files that are not what they say.

Run: python -m pytest tests/units/processing/test_mp4.py
"""

import io
import struct
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from lambdas.processing import mp4
from lambdas.processing.recording import Damaged, Stream
from tests.units.processing.recordings import box, examined, video

FRAGMENTS = "frag_keyframe+empty_moov+default_base_moof"


@pytest.mark.parametrize(
    "made",
    [
        {},
        {"rate": "30000/1001", "size": (320, 180)},
        {"rate": "24000/1001", "layout": "stereo"},
        {"codec": "libx264", "rate": "60", "layout": "mono", "sample_rate": 48000},
        {"codec": "libx264", "layout": "5.1", "sample_rate": 96000, "flags": "faststart"},
        {"codec": "libx264", "layout": "stereo", "flags": "frag_keyframe+empty_moov"},
        {"codec": "mpeg4", "rate": "15", "layout": "mono", "sample_rate": 8000, "flags": FRAGMENTS},
        {"frames": 1},
        {"rate": "1", "frames": 3},
        {"rate": "120", "frames": 500, "size": (16, 16)},
    ],
    ids=str,
)
def test_figures_are_those_of_ffmpeg(tmp_path: Path, made: dict[str, Any]) -> None:
    data = video(tmp_path, **made)
    found = examined(mp4, data)
    with av.open(io.BytesIO(data), "r") as file:
        stream = file.streams.video[0]
        frames = sum(1 for _ in file.decode(video=0))
        assert stream.duration and stream.time_base and stream.average_rate
        assert found.seconds == pytest.approx(float(stream.duration * stream.time_base), rel=1e-12)
        assert found.frame_rate is not None
        assert float(found.frame_rate) == pytest.approx(float(stream.average_rate), abs=0.005)
        assert round(found.seconds * float(stream.average_rate)) == frames
        assert found.size == f"{stream.width}x{stream.height}"
        assert found.sample_rate == (file.streams.audio[0].rate if file.streams.audio else None)


@pytest.mark.parametrize("flags", [None, "faststart", FRAGMENTS])
def test_a_file_cut_off_anywhere_is_damaged(tmp_path: Path, flags: str | None) -> None:
    data = video(tmp_path, layout="stereo", flags=flags)
    ends = {len(data)} | set(box_ends(data))  # a fragmented file that ends between two boxes is a shorter one
    for length in [*range(0, 200, 3), *range(200, len(data), len(data) // 53), len(data) - 1]:
        if flags == FRAGMENTS and length in ends:
            continue
        with pytest.raises(Damaged):
            examined(mp4, data[:length])


def box_ends(data: bytes) -> Iterator[int]:
    at = 0
    while at < len(data):
        at += struct.unpack_from(">I", data, at)[0]
        yield at


def test_variable_frame_rates_are_averaged() -> None:
    found = examined(mp4, movie(stts=[(10, 1000), (5, 2000)], sizes=[10] * 15))
    assert (found.seconds, found.frame_rate) == (20.0, "0.75")


def full(name: bytes, *content: bytes) -> bytes:
    """A box with version and flags."""
    return box(name, bytes(4), *content)


def movie(
    stts: list[tuple[int, int]] | None = None,
    sizes: list[int] | None = None,
    told: int | None = None,
    size: tuple[int, int] = (64, 48),
    timescale: int = 1000,
    kind: bytes = b"vide",
    entry: bytes = b"mp4v",
    chunks: tuple[int, ...] = (40,),
    media: int = 150,
    in_table: bytes = b"",
) -> bytes:
    """An MP4 file of one track that says what a test wants it to."""
    stts = [(15, 40)] if stts is None else stts
    sizes = [10] * 15 if sizes is None else sizes
    picture = box(entry, bytes(24), struct.pack(">HH", *size), bytes(50))
    count = len(sizes) if told is None else told
    table = box(
        b"stbl",
        full(b"stsd", struct.pack(">I", 1), picture),
        full(b"stts", struct.pack(">I", len(stts)), *(struct.pack(">II", *run) for run in stts)),
        full(b"stsz", struct.pack(">II", 0, count), *(struct.pack(">I", one) for one in sizes)),
        full(b"stco", struct.pack(">I", len(chunks)), *(struct.pack(">I", one) for one in chunks)),
        in_table,
    )
    mdia = box(
        b"mdia",
        full(b"mdhd", bytes(8), struct.pack(">I", timescale), bytes(8)),
        full(b"hdlr", bytes(4), kind, bytes(13)),
        box(b"minf", table),
    )
    track = box(b"trak", full(b"tkhd", bytes(8), struct.pack(">I", 1), bytes(68)), mdia)
    return box(b"ftyp", b"isom", bytes(4)) + box(b"mdat", bytes(media)) + box(b"moov", track)


def fragmented(trun: bytes, number: int = 1) -> bytes:
    """A movie without samples of its own, and one fragment."""
    return (
        movie(stts=[], sizes=[], chunks=())
        + box(b"moof", box(b"traf", full(b"tfhd", struct.pack(">I", number)), trun))
        + box(b"mdat", bytes(100))
    )


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "it is no MP4 file"),
        (b"RIFF" + bytes(100), "it is no MP4 file"),
        (box(b"ftyp", b"isom"), "it has no moov box: it was cut off, or never finished"),
        (box(b"ftyp", b"isom") + struct.pack(">I4s", 0, b"mdat") + bytes(99), "it has no moov box"),
        (box(b"ftyp", b"isom") + struct.pack(">I4s", 4, b"free"), "its free box at byte 12 says a size of 4 bytes"),
        (box(b"ftyp") + struct.pack(">I4sQ", 1, b"mdat", 3) + bytes(99), "says a size of 3 bytes"),
        (box(b"ftyp") + struct.pack(">I4sQ", 1, b"mdat", 1 << 62) + bytes(99), "it is cut off: .* 99 are there"),
        (box(b"ftyp") + box(b"moov", struct.pack(">I4s", 900, b"trak")), "its trak box at byte 16 says a size of 900"),
        (box(b"ftyp") + box(b"moov", struct.pack(">I4s", 0, b"trak")), "its trak box at byte 16 says a size of 0"),
        (box(b"ftyp") + box(b"moov", box(b"trak") * 101), "it has more than 100 tracks"),
        (box(b"ftyp") + box(b"moov", box(b"trak", box(b"tkhd"))) + bytes(99), "its tkhd box is too short"),
        (box(b"free") * 200_001, "it has more than 200,000 boxes"),
        (movie(kind=b"soun"), "it has no video"),
        (movie(entry=b"encv"), "it is encrypted"),
        (movie(stts=[]), "it holds no pictures"),
        (movie(stts=[(15, 0)]), "it holds no pictures"),
        (movie(timescale=0), "it holds no pictures"),
        (movie(size=(0, 48)), "its header says pictures of 0x48"),
        (movie(stts=[(16, 40)]), "its header says 16 pictures in one place and 15 in another"),
        (movie(sizes=[11] * 15), "its header says more pictures and sound than it holds"),
        (movie(chunks=(40, 100_000)), "its header says more pictures and sound than it holds"),
        (movie(told=4_000_000_000), "its stsz box says 4,000,000,000 entries and has room for 15"),
        (movie(in_table=full(b"stts", b"\xff" * 4)), "its stts box says 4,294,967,295 entries and has room for 0"),
        (fragmented(full(b"trun", struct.pack(">I", 5)), number=7), "a fragment of a track that it does not have"),
        (fragmented(box(b"trun", struct.pack(">II", 0x100, 1 << 31))), "its trun box says 2,147,483,648 entries"),
        (fragmented(full(b"trun", struct.pack(">I", 1 << 31))), "it holds no pictures"),  # of no duration
    ],
)
def test_what_is_wrong_is_told(data: bytes, problem: str) -> None:
    with pytest.raises(Damaged, match=problem):
        examined(mp4, data)


def test_the_movie_that_tests_make_is_sound_without_a_defect() -> None:
    found = examined(mp4, movie())
    assert (found.seconds, found.frame_rate, found.size) == (0.6, "25", "64x48")
    trun = box(b"trun", struct.pack(">II", 0x300, 2), struct.pack(">IIII", 500, 40, 1500, 60))
    assert examined(mp4, fragmented(trun)).seconds == 2.0


def test_any_bytes_are_a_recording_or_damaged(tmp_path: Path) -> None:
    honest = [video(tmp_path, layout="mono", frames=5, flags=flags) for flags in (None, FRAGMENTS)]
    choose, damaged = np.random.default_rng(5), 0
    for seed in range(600):
        data = bytearray(honest[seed % 2])
        start = data.index(b"moov")
        for _ in range(int(choose.integers(1, 5))):
            at = start + int(choose.integers(0, min(1500, len(data) - start)))
            data[at : at + 4] = choose.choice([b"\xff" * 4, bytes(4), choose.bytes(4)])
        try:
            assert examined(mp4, bytes(data), seed).seconds > 0
        except Damaged:
            damaged += 1
    assert damaged > 100


def test_memory_does_not_grow_with_tables_or_pictures() -> None:
    count, piece = 5_000_000, struct.pack(">I", 10) * 50_000
    sized = full(b"stsz", struct.pack(">II", 0, count))
    head = movie(stts=[(count, 40)], media=0, in_table=sized)
    # Every box around the table grows by what the table is to hold.
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl"):
        head = grown(head, name, 4 * count)
    head = grown(head, b"stsz", 4 * count, last=True)

    def large() -> Iterator[bytes]:
        yield head
        for _ in range(count // 50_000):
            yield piece
        yield struct.pack(">I4sQ", 1, b"mdat", 16 + 10 * count)
        for _ in range(count // 10_000):
            yield bytes(100_000)

    tracemalloc.start()
    assert mp4.read(Stream(large())).seconds == count * 0.04
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 1024 * 1024


def grown(data: bytes, name: bytes, bytes_more: int, last: bool = False) -> bytes:
    """A file whose box of a name says that it is so much larger."""
    at = (data.rindex(name) if last else data.index(name)) - 4
    size = struct.unpack_from(">I", data, at)[0] + bytes_more
    return data[:at] + struct.pack(">I", size) + data[at + 4 :]

"""MP4 files: length, frames, size and sound of the movie, from its boxes; of the pictures nothing is read.

The boxes are gone through in order, so that it does not matter where `moov` stands. Sources: ISO/IEC 14496-12 and 14.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from lambdas.processing.recording import Damaged, Recording, Stream

MAX_BOXES = 200_000
MAX_TRACKS = 100
ENTRIES = 64 * 1024  # of a table, read at once
FIRST = {b"ftyp", b"styp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"}
PARENTS = {  # boxes that hold others -> where they may stand
    b"moov": None,
    b"trak": b"moov",
    b"mdia": b"trak",
    b"minf": b"mdia",
    b"stbl": b"minf",
    b"mvex": b"moov",
    b"moof": None,
    b"traf": b"moof",
}


@dataclass
class Track:
    """One track: its samples are pictures or pieces of sound; durations in `timescale` units a second."""

    kind: bytes = b""
    number: int = 0
    timescale: int = 0
    samples: int = 0
    duration: int = 0
    sized: int | None = None  # samples whose sizes are told
    total: int = 0  # bytes of all samples
    last_chunk: int = 0
    entry: bytes = b""
    width: int = 0
    height: int = 0
    sample_rate: int = 0


@dataclass
class Movie:
    """What was found up to here. `defaults` are duration and size of a sample in fragments, by the track's number."""

    tracks: list[Track] = field(default_factory=list)
    defaults: dict[int, tuple[int, int]] = field(default_factory=dict)
    fragment: Track | None = None
    fragment_defaults: tuple[int, int] = (0, 0)
    media: int = 0
    boxes: int = 0


def read(stream: Stream) -> Recording:
    """Read a whole file; raises Damaged."""
    if stream.peek(8)[4:] not in FIRST:
        raise Damaged("it is no MP4 file")
    movie = Movie()
    walk(stream, movie, None, None)
    return recording(movie, stream.position)


def walk(stream: Stream, movie: Movie, parent: bytes | None, end: int | None) -> None:
    """Go through the boxes up to `end`, that of the file when None."""
    for name, stop in boxes(stream, movie, end):
        if name == b"mdat" and parent is None:
            start = stream.position
            if stop is None:
                stream.to_end()
            elif (there := stream.skip(stop - start)) < stop - start:
                raise Damaged(
                    f"it is cut off: {stop - start:,} bytes of pictures and sound were due, {there:,} are there"
                )
            movie.media += stream.position - start
        elif name in PARENTS and PARENTS[name] == parent:
            if name == b"trak":
                if len(movie.tracks) == MAX_TRACKS:
                    raise Damaged(f"it has more than {MAX_TRACKS} tracks")
                movie.tracks.append(Track())
            walk(stream, movie, name, stop)
        elif (parent, name) in READERS and stop is not None:
            READERS[parent, name](stream, movie, stop - stream.position)
        if stop is None:
            stream.to_end()
        elif stop < stream.position:
            raise Damaged(f"its {shown(name)} box is too short")
        else:
            stream.skip_all(stop - stream.position)


def boxes(stream: Stream, movie: Movie, end: int | None) -> Iterator[tuple[bytes, int | None]]:
    """Yield name and end of the boxes up to `end`; one at the end of the file may have no end of its own."""
    while end is None or stream.position < end:
        start = stream.position
        header = stream.up_to(8)
        if not header and end is None:
            return
        if len(header) < 8:
            raise stream.cut_off()
        movie.boxes += 1
        if movie.boxes > MAX_BOXES:
            raise Damaged(f"it has more than {MAX_BOXES:,} boxes")
        size, name = struct.unpack(">I4s", header)
        if size == 1:
            size = int.from_bytes(stream.read(8), "big")
        stop = None if size == 0 and end is None else start + size
        if stop is not None and (stop < stream.position or (end is not None and stop > end)):
            raise Damaged(f"its {shown(name)} box at byte {start:,} says a size of {size:,} bytes")
        yield name, stop


def shown(name: bytes) -> str:
    """Return a box's name as text."""
    return name.decode("latin-1") if name.isalnum() else repr(name)


def read_tkhd(stream: Stream, movie: Movie, length: int) -> None:
    """Read the number of a track."""
    wide = stream.read(4)[0] == 1
    stream.skip_all(16 if wide else 8)  # when it was made and changed
    movie.tracks[-1].number = int.from_bytes(stream.read(4), "big")


def read_mdhd(stream: Stream, movie: Movie, length: int) -> None:
    """Read in which units of time a track counts."""
    wide = stream.read(4)[0] == 1
    stream.skip_all(16 if wide else 8)
    movie.tracks[-1].timescale = int.from_bytes(stream.read(4), "big")


def read_hdlr(stream: Stream, movie: Movie, length: int) -> None:
    """Read whether a track is video or sound."""
    movie.tracks[-1].kind = stream.read(12)[8:]


def read_stsd(stream: Stream, movie: Movie, length: int) -> None:
    """Read how the first kind of sample is coded."""
    track = movie.tracks[-1]
    data = stream.read(min(length, 44))
    track.entry = data[12:16]
    if track.kind == b"vide" and len(data) == 44:
        track.width, track.height = struct.unpack_from(">HH", data, 40)
    if track.kind == b"soun" and len(data) == 44:
        track.sample_rate = struct.unpack_from(">I", data, 40)[0] >> 16


def read_stts(stream: Stream, movie: Movie, length: int) -> None:
    """Read how long samples last: runs of samples with the same duration."""
    track = movie.tracks[-1]
    for count, duration in table(stream, length, "stts", ">II"):
        track.samples += count
        track.duration += count * duration


def read_stsz(stream: Stream, movie: Movie, length: int) -> None:
    """Read the sizes of samples: all have one, or each its own."""
    track = movie.tracks[-1]
    head = stream.peek(12)
    size, count = struct.unpack_from(">II", head, 4) if len(head) == 12 else (0, 0)
    track.sized, track.total = count, size * count
    if not size:
        stream.skip_all(4)
        track.total = sum(value for (value,) in table(stream, length - 4, "stsz", ">I"))


def read_stco(stream: Stream, movie: Movie, length: int) -> None:
    """Read where the last chunk of samples begins, in 32 bits."""
    movie.tracks[-1].last_chunk = max((place for (place,) in table(stream, length, "stco", ">I")), default=0)


def read_co64(stream: Stream, movie: Movie, length: int) -> None:
    """Read where the last chunk of samples begins, in 64 bits."""
    movie.tracks[-1].last_chunk = max((place for (place,) in table(stream, length, "co64", ">Q")), default=0)


def table(stream: Stream, length: int, name: str, layout: str) -> Iterator[tuple[int, ...]]:
    """Yield the rows of a table that fills its box."""
    stream.skip_all(4)
    left, width = int.from_bytes(stream.read(4), "big"), struct.calcsize(layout)
    if 8 + left * width > length:
        raise Damaged(f"its {name} box says {left:,} entries and has room for {max(length - 8, 0) // width:,}")
    while left:
        count = min(left, ENTRIES)
        yield from struct.iter_unpack(layout, stream.read(count * width))
        left -= count


def read_trex(stream: Stream, movie: Movie, length: int) -> None:
    """Read duration and size that a track's samples in fragments have."""
    number, _, duration, size = struct.unpack_from(">IIII", stream.read(20), 4)
    if len(movie.defaults) < MAX_TRACKS:
        movie.defaults[number] = (duration, size)


def read_tfhd(stream: Stream, movie: Movie, length: int) -> None:
    """Read whose fragment begins, and what its samples have in common."""
    flags, number = struct.unpack(">II", stream.read(8))
    stream.skip_all((8 if flags & 0x1 else 0) + (4 if flags & 0x2 else 0))
    duration, size = movie.defaults.get(number, (0, 0))
    if flags & 0x8:
        duration = int.from_bytes(stream.read(4), "big")
    if flags & 0x10:
        size = int.from_bytes(stream.read(4), "big")
    movie.fragment = next((track for track in movie.tracks if track.number == number), None)
    movie.fragment_defaults = duration, size


def read_trun(stream: Stream, movie: Movie, length: int) -> None:
    """Read the samples of a fragment."""
    flags, count = struct.unpack(">II", stream.read(8))
    stream.skip_all((4 if flags & 0x1 else 0) + (4 if flags & 0x4 else 0))
    fields = [bit for bit in (0x100, 0x200, 0x400, 0x800) if flags & bit]
    duration, size = movie.fragment_defaults
    track = movie.fragment
    if track is None:
        raise Damaged("it has a fragment of a track that it does not have")
    if count * len(fields) * 4 > length:
        raise Damaged(f"its trun box says {count:,} entries and has room for fewer")
    track.samples += count
    if track.sized is not None:
        track.sized += count
    row = struct.Struct(f">{len(fields)}I")
    durations, sizes = 0, 0
    for done in range(0, count if fields else 0, ENTRIES):
        rows = row.iter_unpack(stream.read(row.size * min(ENTRIES, count - done)))
        for values in rows:
            found = dict(zip(fields, values, strict=True))
            durations += found.get(0x100, 0)
            sizes += found.get(0x200, 0)
    track.duration += durations if flags & 0x100 else count * duration
    track.total += sizes if flags & 0x200 else count * size


READERS: dict[tuple[bytes | None, bytes], Callable[[Stream, Movie, int], None]] = {
    (b"trak", b"tkhd"): read_tkhd,
    (b"mdia", b"mdhd"): read_mdhd,
    (b"mdia", b"hdlr"): read_hdlr,
    (b"stbl", b"stsd"): read_stsd,
    (b"stbl", b"stts"): read_stts,
    (b"stbl", b"stsz"): read_stsz,
    (b"stbl", b"stco"): read_stco,
    (b"stbl", b"co64"): read_co64,
    (b"mvex", b"trex"): read_trex,
    (b"traf", b"tfhd"): read_tfhd,
    (b"traf", b"trun"): read_trun,
}


def recording(movie: Movie, size: int) -> Recording:
    """Return what the movie is; raises Damaged unless its tracks agree with themselves and with the file."""
    if not movie.tracks:
        raise Damaged("it has no moov box: it was cut off, or never finished")
    video = next((track for track in movie.tracks if track.kind == b"vide"), None)
    if video is None:
        raise Damaged("it has no video")
    if video.entry == b"encv":
        raise Damaged("it is encrypted")
    if not (video.samples and video.duration and video.timescale):
        raise Damaged("it holds no pictures")
    if not (video.width and video.height):
        raise Damaged(f"its header says pictures of {video.width}x{video.height}")
    if video.sized not in (None, video.samples):
        raise Damaged(f"its header says {video.samples:,} pictures in one place and {video.sized:,} in another")
    if sum(track.total for track in movie.tracks) > movie.media or any(t.last_chunk >= size for t in movie.tracks):
        raise Damaged("its header says more pictures and sound than it holds")
    sound = next((track for track in movie.tracks if track.kind == b"soun"), None)
    rate = video.samples * video.timescale / video.duration
    return Recording(
        video.duration / video.timescale,
        sample_rate=(sound.sample_rate or sound.timescale) if sound else None,
        frame_rate=f"{rate:.2f}".rstrip("0").rstrip("."),
        size=f"{video.width}x{video.height}",
    )

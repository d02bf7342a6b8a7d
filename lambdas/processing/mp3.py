"""MP3 files: every frame's header from the first to the last, without what the encoder added at both ends.

Source: ISO/IEC 11172-3 and 13818-3; for the first frame's figures "Mp3 Info Tag rev 1" of LAME.
"""

from dataclasses import dataclass

from lambdas.processing.flac import skip_id3
from lambdas.processing.recording import Damaged, Recording, Stream

RATES = [44100, 48000, 32000]
KILOBITS_1 = [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320]
KILOBITS_2 = [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160]
SMALLEST_FRAME = 24
DECODER_DELAY = 529  # samples that decoding shifts by


@dataclass(frozen=True, slots=True)
class Frame:
    """The header of a frame; `length` in bytes, `side` those between header and sound."""

    length: int
    samples: int
    rate: int
    channels: int
    side: int


def read(stream: Stream) -> Recording:
    """Read a whole file; raises Damaged."""
    while stream.peek(3) == b"ID3":
        skip_id3(stream)
    skip_zeros(stream)
    start = stream.peek(4)
    first = frame_of(start)
    if first is None:
        raise Damaged("it is no MP3 file" if start else "it holds no sound")
    told, trimmed = read_info(stream.peek(first.length), first)
    if told is not None:
        stream.skip_all(first.length)
    frames = count_frames(stream, first)
    if told and frames < told:
        raise Damaged(f"it is cut off: its header says {told:,} frames, and it has {frames:,}")
    samples = frames * first.samples - trimmed
    if samples <= 0:
        raise Damaged("it holds no sound")
    return Recording(samples / first.rate, first.rate, first.channels)


def skip_zeros(stream: Stream) -> None:
    """Go past zeros, with which some tags are padded."""
    while (data := stream.peek(4096)) and not data.startswith(b"\xff"):
        zeros = len(data) - len(data.lstrip(b"\0"))
        stream.skip(zeros)
        if zeros < len(data):
            break


def frame_of(header: bytes) -> Frame | None:
    """Return the frame of layer III that begins with four bytes, or None when none does."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE6 != 0xE2:
        return None
    version, bits, rate = header[1] >> 3 & 3, header[2] >> 4, header[2] >> 2 & 3  # version 3 is MPEG 1
    if version == 1 or bits in (0, 15) or rate == 3:
        return None
    mono = header[3] >> 6 == 3
    hertz = RATES[rate] >> {3: 0, 2: 1, 0: 2}[version]
    if version == 3:
        samples, kilobits, side = 1152, KILOBITS_1[bits], 17 if mono else 32
    else:
        samples, kilobits, side = 576, KILOBITS_2[bits], 9 if mono else 17
    length = samples // 8 * kilobits * 1000 // hertz + (header[2] >> 1 & 1)
    return Frame(length, samples, hertz, 1 if mono else 2, side)


def read_info(data: bytes, frame: Frame) -> tuple[int | None, int]:
    """Return how many frames follow the first, which holds no sound, and the samples that the encoder added.

    None when the first frame is a frame as any other; 0 frames when it does not say how many.
    """
    at = 4 + frame.side
    if data[at : at + 4] not in (b"Xing", b"Info"):
        return None, 0
    flags = int.from_bytes(data[at + 4 : at + 8], "big")
    told = int.from_bytes(data[at + 8 : at + 12], "big") if flags & 1 else 0
    lame = at + 8 + sum(size for bit, size in ((1, 4), (2, 4), (4, 100), (8, 4)) if flags & bit)
    if len(data) < lame + 24 or not data[lame : lame + 4].strip(b"\0"):
        return told, 0
    delay, padding = divmod(int.from_bytes(data[lame + 21 : lame + 24], "big"), 1 << 12)
    return told, delay + padding


def count_frames(stream: Stream, first: Frame) -> int:
    """Go through all frames and the tags behind them; return how many frames there are."""
    frames, known = 0, {}
    while len(header := stream.up_to(4)) == 4:
        frame = known.get(header)
        if frame is None:
            frame = known[header] = frame_of(header)
            if frame is None:
                if not is_tag(stream, header):
                    raise Damaged(f"there is no frame where one is due, at byte {stream.position - 4:,}")
                break
            if (frame.rate, frame.samples) != (first.rate, first.samples):
                raise Damaged(f"its samples a second change from {first.rate:,} to {frame.rate:,}")
        if stream.skip(frame.length - 4) < frame.length - 4:
            raise Damaged(f"it is cut off inside its frame {frames + 1:,}")
        frames += 1
    return frames


def is_tag(stream: Stream, start: bytes) -> bool:
    """Say whether what follows the last frame is a tag (ID3v1, APE, Lyrics3, ID3v2), zeros, or a few stray bytes."""
    known = (b"TAG", b"APET", b"LYRI", b"ID3", b"\0\0\0\0")
    return start.startswith(known) or len(stream.peek(SMALLEST_FRAME)) < SMALLEST_FRAME - 4

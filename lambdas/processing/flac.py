"""FLAC files: STREAMINFO, a first frame that agrees with it, and a last one that is whole and ends where it says.

Source: RFC 9639.
"""

from dataclasses import dataclass

from lambdas.processing.recording import Damaged, Recording, Stream

MAX_BLOCKS = 1_000
LARGEST_FRAME = 256 * 1024  # bytes; a frame of 4,608 samples, eight channels and 32 bits has 150,000
HEADER = 16  # bytes that a frame's header takes at most
CANDIDATES = 3  # what looks like a header inside the last frame is rare: one in 1,000 files has one
RATES = {
    1: 88200,
    2: 176400,
    3: 192000,
    4: 8000,
    5: 16000,
    6: 22050,
    7: 24000,
    8: 32000,
    9: 44100,
    10: 48000,
    11: 96000,
}
BLOCK_SIZES = (
    {1: 192} | {code: 576 << code - 2 for code in range(2, 6)} | {code: 256 << code - 8 for code in range(8, 16)}
)


@dataclass(frozen=True)
class Info:
    """STREAMINFO; `samples` is 0 when whoever wrote the file did not know."""

    block_size: int
    rate: int
    channels: int
    samples: int


@dataclass(frozen=True)
class Frame:
    """The header of a frame: `first` is its first sample's number. None where STREAMINFO tells."""

    first: int
    samples: int
    rate: int | None
    channels: int


def read(stream: Stream) -> Recording:
    """Read a whole file; raises Damaged."""
    if stream.peek(3) == b"ID3":
        skip_id3(stream)
    if stream.read(4) != b"fLaC":
        raise Damaged("it is no FLAC file")
    info = read_metadata(stream)
    first = frame_at(stream.peek(HEADER), info)
    if first is None or first.first:
        raise Damaged("it holds no sound" if not stream.peek(1) else "no frame follows its header")
    if first.rate not in (None, info.rate) or first.channels != info.channels:
        raise Damaged(
            f"its header says {info.rate:,} Hz and {info.channels} channels, its first frame "
            f"{first.rate or info.rate:,} Hz and {first.channels} channels"
        )
    samples = last_sample(stream.to_end(keep=LARGEST_FRAME), info)
    if info.samples and samples != info.samples:
        raise Damaged(
            f"it is cut off: its header says {info.samples:,} samples, and its last frame ends at {samples:,}"
        )
    return Recording(samples / info.rate, info.rate, info.channels)


def skip_id3(stream: Stream) -> None:
    """Go past an ID3v2 tag, with which the bytes to come begin."""
    header = stream.read(10)
    size = sum((byte & 0x7F) << shift for byte, shift in zip(header[6:], (21, 14, 7, 0), strict=True))
    stream.skip_all(size + (10 if header[5] & 0x10 else 0))


def read_metadata(stream: Stream) -> Info:
    """Read STREAMINFO and go past the other blocks, to the first frame."""
    info = None
    for _ in range(MAX_BLOCKS):
        header = stream.read(4)
        kind, size = header[0] & 0x7F, int.from_bytes(header[1:], "big")
        if info is None:
            if kind != 0 or size != 34:
                raise Damaged("it does not begin with its STREAMINFO")
            info = read_info(stream.read(34))
        else:
            stream.skip_all(size)
        if header[0] & 0x80:
            return info
    raise Damaged(f"it has more than {MAX_BLOCKS:,} blocks of metadata")


def read_info(block: bytes) -> Info:
    """Return what STREAMINFO says."""
    packed = int.from_bytes(block[10:18], "big")  # 20 bits rate, 3 channels - 1, 5 bits a sample - 1, 36 samples
    info = Info(int.from_bytes(block[2:4], "big"), packed >> 44, (packed >> 41 & 7) + 1, packed & (1 << 36) - 1)
    if not info.rate or int.from_bytes(block[:2], "big") < 16:
        raise Damaged(f"its header says {info.rate} samples a second in blocks of {int.from_bytes(block[:2], 'big')}")
    return info


def last_sample(tail: bytes, info: Info) -> int:
    """Return the number of samples up to the end of the last frame; raises Damaged unless that is whole."""
    if tail[-128:].startswith(b"TAG"):  # ID3v1
        tail = tail[:-128]
    at, tries = len(tail), 0
    while tries < CANDIDATES and (at := tail.rfind(b"\xff", 0, at)) >= 0:
        frame = frame_at(tail[at : at + HEADER], info)
        if frame is not None:
            tries += 1
            if crc(tail[at:], CRC_16, 16) == 0:
                return frame.first + frame.samples
    raise Damaged("it is cut off or damaged: its last frame is not whole")


def frame_at(header: bytes, info: Info) -> Frame | None:
    """Return the frame that begins with some bytes, or None when no frame does."""
    if len(header) < 6 or header[0] != 0xFF or header[1] & 0xFE != 0xF8 or header[3] & 1:
        return None
    size_code, rate_code, channel_code = header[2] >> 4, header[2] & 15, header[3] >> 4
    if not size_code or rate_code == 15 or channel_code > 10:
        return None
    length = coded_length(header[4])
    at = 4 + length
    size_bytes = {6: 1, 7: 2}.get(size_code, 0)
    rate_bytes = {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    stop = at + size_bytes + rate_bytes
    if not length or len(header) <= stop or crc(header[: stop + 1], CRC_8, 8):
        return None
    number = header[4] & 0xFF >> (length + 1 if length > 1 else 1)
    for byte in header[5:at]:
        number = number << 6 | byte & 0x3F
    samples = BLOCK_SIZES.get(size_code) or int.from_bytes(header[at : at + size_bytes], "big") + 1
    rate = RATES.get(rate_code)
    if rate_bytes:
        rate = int.from_bytes(header[at + size_bytes : stop], "big") * {12: 1000, 13: 1, 14: 10}[rate_code]
    first = number if header[1] & 1 else number * info.block_size
    return Frame(first, samples, rate, channel_code + 1 if channel_code < 8 else 2)


def coded_length(first: int) -> int:
    """Return how many bytes a number takes that is coded as UTF-8 codes characters; 0 for none."""
    ones = 8 - (first ^ 0xFF).bit_length()
    return {0: 1, 1: 0, 8: 0}.get(ones, ones)


def crc_table(polynomial: int, bits: int) -> list[int]:
    """Return the checksum of each byte."""
    top, mask, table = 1 << bits - 1, (1 << bits) - 1, []
    for value in range(256):
        value <<= bits - 8
        for _ in range(8):
            value = (value << 1 ^ polynomial if value & top else value << 1) & mask
        table.append(value)
    return table


CRC_8, CRC_16 = crc_table(0x07, 8), crc_table(0x8005, 16)


def crc(data: bytes, table: list[int], bits: int) -> int:
    """Return a checksum; that of data with their checksum behind them is 0."""
    value, shift, mask = 0, bits - 8, (1 << bits) - 1
    for byte in data:
        value = (value << 8 & mask) ^ table[value >> shift ^ byte]
    return value

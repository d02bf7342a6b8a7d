"""WAV files: the fmt chunk, and as many samples as the data chunk really has. RF64 holds those over 4 GiB.

Source: Microsoft, "Multimedia Programming Interface and Data Specifications 1.0"; EBU Tech 3306 (RF64).
"""

import struct

from lambdas.processing.recording import Damaged, Recording, Stream

PCM, FLOAT, ALAW, MULAW, EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
BITS = {PCM: {8, 16, 24, 32}, FLOAT: {32, 64}, ALAW: {8}, MULAW: {8}}
MAX_CHUNKS = 10_000
MAX_CHANNELS = 1024
UNKNOWN = 0xFFFFFFFF  # a size that whoever wrote into a pipe did not know


def read(stream: Stream) -> Recording:
    """Read a file up to the end of its samples; raises Damaged."""
    magic, _, kind = struct.unpack("<4sI4s", stream.read(12))
    if magic not in (b"RIFF", b"RF64") or kind != b"WAVE":
        raise Damaged("it is no WAV file")
    large_size, form = None, None
    for _ in range(MAX_CHUNKS):
        header = stream.up_to(8)
        if len(header) < 8:
            break
        name, size = struct.unpack("<4sI", header)
        if name == b"data":
            if form is None:
                raise Damaged("it has no fmt chunk before its samples")
            return recording(stream, form, large_size if magic == b"RF64" and size == UNKNOWN else size)
        content = stream.read(min(size, 40)) if name in (b"fmt ", b"ds64") else b""
        stream.skip_all(size - len(content) + size % 2)
        if name == b"fmt " and form is None:
            form = read_form(content)
        if name == b"ds64" and len(content) >= 16:
            large_size = struct.unpack_from("<Q", content, 8)[0]
    raise Damaged("it has no data chunk")


def read_form(content: bytes) -> tuple[int, int, int]:
    """Return rate, channels and bytes per sample of all channels, which the fmt chunk says."""
    if len(content) < 16:
        raise Damaged("its fmt chunk is too short")
    tag, channels, rate, _, align, bits = struct.unpack_from("<HHIIHH", content)
    if tag == EXTENSIBLE and len(content) >= 40:
        tag = struct.unpack_from("<H", content, 24)[0]
    if tag not in BITS:
        raise Damaged(f"its samples are compressed (format {tag}): save it as PCM")
    if bits not in BITS[tag]:
        raise Damaged(f"its header says {bits} bits a sample")
    if not 1 <= channels <= MAX_CHANNELS or not rate:
        raise Damaged(f"its header says {channels:,} channels and {rate:,} samples a second")
    if align != channels * bits // 8:
        raise Damaged(f"its header says {align} bytes for {channels:,} channels of {bits} bits")
    return rate, channels, align


def recording(stream: Stream, form: tuple[int, int, int], size: int | None) -> Recording:
    """Go through the samples, whose size in bytes the header says."""
    rate, channels, align = form
    if size is None or size == UNKNOWN:
        start = stream.position
        stream.to_end()
        size = stream.position - start
    elif (there := stream.skip(size)) < size:
        raise Damaged(f"it is cut off: its header says {size:,} bytes of samples, and it has {there:,}")
    if size < align:
        raise Damaged("it holds no sound")
    return Recording(size // align / rate, rate, channels)

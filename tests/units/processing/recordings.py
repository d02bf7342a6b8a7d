"""Recordings made by the libraries of their formats, from seeds, and defects to put into them."""

import io
import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile

from lambdas.processing.recording import Recording, Stream


def sound(seconds: float, rate: int = 16000, channels: int = 1, seed: int = 0) -> np.ndarray:
    """Noise over a tone, a little longer than whole frames of any format."""
    count = int(seconds * rate) + 37
    noise = np.random.default_rng(seed).standard_normal((count, channels)) * 0.05
    return noise + 0.3 * np.sin(np.arange(count) * 440 * 2 * np.pi / rate)[:, None]


def audio(format: str, samples: np.ndarray, rate: int = 16000, **options: Any) -> bytes:
    """A file as libsndfile writes it."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=format, **options)
    return file.getvalue()


def wav(
    samples: bytes, tag: int = 1, channels: int = 1, rate: int = 8000, bits: int = 16, align: int | None = None
) -> bytes:
    """A WAV file whose header says what a test wants it to."""
    align = channels * bits // 8 if align is None else align
    form = struct.pack("<HHIIHH", tag, channels, rate, rate * align & 0xFFFFFFFF, align, bits)
    return riff(chunk(b"fmt ", form), chunk(b"data", samples))


def riff(*chunks: bytes) -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return chunk(b"RIFF", body)


def chunk(name: bytes, content: bytes, size: int | None = None) -> bytes:
    """A chunk, which may lie about its size."""
    return name + struct.pack("<I", len(content) if size is None else size) + content + b"\0" * (len(content) % 2)


def video(
    folder: Path,
    codec: str = "mpeg4",
    rate: str = "25",
    size: tuple[int, int] = (64, 48),
    frames: int = 30,
    layout: str | None = None,
    sample_rate: int = 44100,
    flags: str | None = None,
) -> bytes:
    """An MP4 file as FFmpeg writes it: noise for a picture, silence for sound."""
    path = folder / "made.mp4"
    options = {"movflags": flags} if flags else {}
    noise = np.random.default_rng(0)
    with av.open(str(path), "w", container_options=options) as file:
        pictures: Any = file.add_stream(codec, rate=Fraction(rate))
        pictures.width, pictures.height, pictures.pix_fmt = *size, "yuv420p"
        heard: Any = file.add_stream("aac", rate=sample_rate, layout=layout) if layout else None
        for _ in range(frames):
            shown = noise.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
            file.mux(pictures.encode(av.VideoFrame.from_ndarray(shown, format="rgb24")))
        file.mux(pictures.encode())
        if heard:
            channels, count = heard.layout.nb_channels, int(sample_rate * frames / Fraction(rate))
            for start in range(0, count, 1024):
                silence = np.zeros((channels, min(1024, count - start)), np.float32)
                frame = av.AudioFrame.from_ndarray(silence, format="fltp", layout=layout or "")
                frame.sample_rate, frame.pts = sample_rate, start
                file.mux(heard.encode(frame))
            file.mux(heard.encode())
    return path.read_bytes()


def box(name: bytes, *content: bytes) -> bytes:
    """A box of an MP4 file."""
    body = b"".join(content)
    return struct.pack(">I4s", len(body) + 8, name) + body


def pieces(data: bytes, seed: int = 0) -> Iterator[bytes]:
    """The bytes of a file in pieces of any size, some of them empty."""
    choose, at = np.random.default_rng(seed), 0
    while at < len(data):
        size = int(choose.choice([0, 1, 5, 300, 9_000, 100_000]))
        yield data[at : at + size]
        at += size


def examined(module: Any, data: bytes, seed: int = 0) -> Recording:
    """What a format's module says of a file."""
    return module.read(Stream(pieces(data, seed)))

"""WAV, FLAC and MP3 files against libsndfile, and files that are not what they say.

Run: python -m pytest tests/units/processing/test_recordings.py
"""

import io
import itertools
import struct
import tracemalloc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import soundfile

from lambdas.processing import flac, mp3, wav
from lambdas.processing.recording import LARGEST_READ, Damaged, Stream
from tests.units.processing import recordings
from tests.units.processing.recordings import audio, chunk, examined, riff, sound

pytestmark = pytest.mark.thorough

MODULES = {"WAV": wav, "WAVEX": wav, "RF64": wav, "FLAC": flac, "MP3": mp3}
KINDS: list[tuple[str, dict[str, Any]]] = [
    ("WAV", {"subtype": "PCM_U8"}),
    ("WAV", {"subtype": "PCM_16"}),
    ("WAV", {"subtype": "PCM_24"}),
    ("WAV", {"subtype": "PCM_32"}),
    ("WAV", {"subtype": "FLOAT"}),
    ("WAV", {"subtype": "DOUBLE"}),
    ("WAV", {"subtype": "ULAW"}),
    ("WAV", {"subtype": "ALAW"}),
    ("WAVEX", {"subtype": "PCM_24"}),
    ("RF64", {"subtype": "PCM_16"}),
    ("FLAC", {"subtype": "PCM_S8"}),
    ("FLAC", {"subtype": "PCM_16"}),
    ("FLAC", {"subtype": "PCM_24"}),
    ("MP3", {"bitrate_mode": "CONSTANT", "compression_level": 0.2}),
    ("MP3", {"bitrate_mode": "VARIABLE", "compression_level": 0.5}),
    ("MP3", {"bitrate_mode": "AVERAGE", "compression_level": 0.7}),
]


@pytest.mark.parametrize(("format", "options"), KINDS, ids=lambda value: value if isinstance(value, str) else "")
@pytest.mark.parametrize("silent", [False, True], ids=["noise", "silence"])
def test_figures_are_those_of_libsndfile(format: str, options: dict[str, Any], silent: bool) -> None:
    rates = [8000, 11025, 22050, 32000, 44100, 48000] + ([] if format == "MP3" else [96000, 12345])
    compared = 0
    for rate, channels, seconds in itertools.product(rates, (1, 2, 6), (0.01, 1.3)):
        if format == "MP3" and channels > 2:
            continue
        data = audio(format, sound(seconds, rate, channels) * (not silent), rate, **options)
        truth = soundfile.info(io.BytesIO(data))
        found = examined(MODULES[format], data, seed=compared)
        assert (found.seconds, found.sample_rate, found.channels) == (
            truth.frames / truth.samplerate,
            truth.samplerate,
            truth.channels,
        )
        compared += 1
    assert compared >= 24


@pytest.mark.parametrize(("format", "options"), KINDS, ids=lambda value: value if isinstance(value, str) else "")
def test_a_file_cut_off_anywhere_is_damaged(format: str, options: dict[str, Any]) -> None:
    data = audio(format, sound(1.3, 44100, 2), 44100, **options)
    for length in [*range(0, 120, 7), *range(200, len(data) - 2, len(data) // 23), len(data) - 2]:
        with pytest.raises(Damaged):
            examined(MODULES[format], data[:length])


def test_an_mp3_without_a_count_of_frames_has_those_that_it_decodes_to() -> None:
    # At its lowest rate LAME has no room for its own frame, and libsndfile estimates the length until it decodes.
    data = audio("MP3", sound(2, 11025), 11025, bitrate_mode="CONSTANT", compression_level=0.99)
    assert b"Info" not in data[:200]
    decoded, _ = soundfile.read(io.BytesIO(data))
    assert examined(mp3, data).seconds == len(decoded) / 11025
    with pytest.raises(Damaged, match="cut off inside its frame"):
        examined(mp3, data[:-1])


@pytest.mark.parametrize("format", ["FLAC", "MP3"])
def test_tags_around_the_sound_are_gone_past(format: str) -> None:
    data = audio(format, sound(1))
    seconds = examined(MODULES[format], data).seconds
    front = b"ID3\x04\0\0\0\0\x01\x0a" + bytes(128 + 10)
    behind = [b"TAG" + bytes(125)]
    if format == "MP3":
        behind += [b"APETAGEX" + bytes(3000), b"LYRICSBEGIN" + bytes(300), bytes(5000), b"\1\2\3", front]
    for tag in behind:
        assert examined(MODULES[format], front + data + tag).seconds == seconds


def test_a_wav_written_into_a_pipe_reaches_to_the_end_of_the_file() -> None:
    data = audio("WAV", sound(1))
    at = data.index(b"data") + 4
    piped = data[:at] + b"\xff" * 4 + data[at + 4 :]
    assert examined(wav, piped).seconds == examined(wav, data).seconds == soundfile.info(io.BytesIO(piped)).duration


def test_chunks_that_nobody_knows_are_gone_past() -> None:
    inner = recordings.wav(bytes(1600))[12:]
    listed = chunk(b"LIST", b"odd") + chunk(b"bext", bytes(700_000))
    assert examined(wav, riff(listed, inner, chunk(b"id3 ", bytes(9)))).seconds == 0.1


def test_a_flac_whose_length_is_not_told_is_read_to_its_last_frame() -> None:
    data = bytearray(audio("FLAC", sound(2)))
    seconds = examined(flac, bytes(data)).seconds
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    assert examined(flac, bytes(data)).seconds == seconds


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "it is empty"),
        (b"RIFF", "it is cut off: it ends after 4 bytes"),
        (b"OggS" + bytes(100), "it is no WAV file"),
        (riff(chunk(b"fmt ", bytes(16))), "its samples are compressed \\(format 0\\)"),
        (riff(chunk(b"data", bytes(16))), "no fmt chunk before its samples"),
        (riff(chunk(b"fmt ", bytes(15))), "its fmt chunk is too short"),
        (riff(chunk(b"LIST", bytes(16))), "it has no data chunk"),
        (riff(*[chunk(b"LIST", b"")] * 10_001), "it has no data chunk"),
        (riff(chunk(b"LIST", b"", size=0xFFFFFFF0)), "it is cut off"),
        (recordings.wav(b""), "it holds no sound"),
        (recordings.wav(b"\0"), "it holds no sound"),
        (recordings.wav(bytes(100), tag=2, bits=4), "compressed \\(format 2\\): save it as PCM"),
        (recordings.wav(bytes(100), channels=0), "0 channels"),
        (recordings.wav(bytes(100), channels=2000), "2,000 channels"),
        (recordings.wav(bytes(100), rate=0), "0 samples a second"),
        (recordings.wav(bytes(100), bits=12), "12 bits a sample"),
        (recordings.wav(bytes(100), align=7), "7 bytes for 1 channels of 16 bits"),
        (recordings.wav(bytes(100))[:-1], "its header says 100 bytes of samples, and it has 99"),
    ],
)
def test_what_is_wrong_with_a_wav_is_told(data: bytes, problem: str) -> None:
    with pytest.raises(Damaged, match=problem):
        examined(wav, data)


def flac_with(rate: int | None = None, samples: int | None = None, channels: int | None = None) -> bytes:
    """A FLAC of two seconds at 16 kHz whose header says something else."""
    data = bytearray(audio("FLAC", sound(2)))
    packed = int.from_bytes(data[18:26], "big")
    if rate is not None:
        packed = packed & (1 << 44) - 1 | rate << 44
    if channels is not None:
        packed = packed & ~(7 << 41) | channels - 1 << 41
    if samples is not None:
        packed = packed & ~((1 << 36) - 1) | samples
    data[18:26] = packed.to_bytes(8, "big")
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"RIFF" + bytes(100), "it is no FLAC file"),
        (b"fLaC\x01\0\0\x22" + bytes(100), "it does not begin with its STREAMINFO"),
        (b"fLaC\x80\0\0\x22" + bytes(34), "its header says 0 samples a second in blocks of 0"),
        (b"fLaC\0\0\0\x22\x10\0\x10\0" + bytes(6) + b"\x0a\xc4\x42\xf0" + bytes(20) + bytes(4) * 1000, "1,000 blocks"),
        (b"fLaC\x80\0\0\x22\x10\0\x10\0" + bytes(6) + b"\x0a\xc4\x42\xf0" + bytes(20), "it holds no sound"),
        (b"fLaC\x80\0\0\x22\x10\0\x10\0" + bytes(6) + b"\x0a\xc4\x42\xf0" + bytes(99), "no frame follows its header"),
        (b"ID3\x04\0\0\x7f\x7f\x7f\x7f", "it is cut off"),
        (flac_with(rate=44100), "its header says 44,100 Hz and 1 channels, its first frame 16,000 Hz and 1 channels"),
        (flac_with(channels=2), "16,000 Hz and 2 channels, its first frame 16,000 Hz and 1"),
        (flac_with(samples=32_038), "its header says 32,038 samples, and its last frame ends at 32,037"),
        (flac_with(samples=5), "its header says 5 samples"),
        (flac_with()[:-2] + b"\xff\xf8", "its last frame is not whole"),
        (flac_with() + b"junk", "its last frame is not whole"),
    ],
)
def test_what_is_wrong_with_a_flac_is_told(data: bytes, problem: str) -> None:
    with pytest.raises(Damaged, match=problem):
        examined(flac, data)


def lying_mp3(frames: int) -> bytes:
    data = bytearray(audio("MP3", sound(1)))
    at = data.index(b"Xing")
    data[at + 8 : at + 12] = struct.pack(">I", frames)
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "it holds no sound"),
        (bytes(9000), "it holds no sound"),
        (b"ID3\x04\0\0\0\0\0\0", "it holds no sound"),
        (b"RIFF" + bytes(100), "it is no MP3 file"),
        (b"\xff\xfd\x90\0" + bytes(500), "it is no MP3 file"),  # layer II
        (b"\xff\xfb\0\0" + bytes(500), "it is no MP3 file"),  # a frame of any length
        (lying_mp3(1_000_000), "its header says 1,000,000 frames, and it has"),
        (
            audio("MP3", sound(1)) + audio("MP3", sound(1, 22050), 22050),
            "samples a second change from 16,000 to 22,050",
        ),
        (audio("MP3", sound(1)) + b"junk" * 100, "there is no frame where one is due, at byte"),
        (audio("MP3", sound(1))[:300], "it is cut off"),
    ],
)
def test_what_is_wrong_with_an_mp3_is_told(data: bytes, problem: str) -> None:
    with pytest.raises(Damaged, match=problem):
        examined(mp3, data)


@pytest.mark.parametrize("module", [wav, flac, mp3])
def test_any_bytes_are_a_recording_or_damaged(module: Any) -> None:
    choose = np.random.default_rng(5)
    format = {wav: "WAV", flac: "FLAC", mp3: "MP3"}[module]
    honest = audio(format, sound(0.4, channels=2), subtype="PCM_16" if format != "MP3" else None)
    damaged = 0
    for seed in range(400):
        data = bytearray(honest)
        for _ in range(int(choose.integers(1, 5))):
            at = int(choose.integers(0, len(data) if seed % 2 else 64))
            data[at : at + 4] = choose.choice([b"\xff" * 4, bytes(4), choose.bytes(4)])
        try:
            assert examined(module, bytes(data), seed).seconds > 0
        except Damaged:
            damaged += 1
    assert damaged > 50


def test_memory_does_not_grow_with_the_recording() -> None:
    size = 256 * 1024 * 1024
    head = recordings.wav(b"")[:-4] + struct.pack("<I", size)
    piece = bytes(256 * 1024)

    def large() -> Iterator[bytes]:
        yield head
        yield from itertools.repeat(piece, size // len(piece))

    tracemalloc.start()
    assert wav.read(Stream(large())).seconds == size / 2 / 8000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * 1024 * 1024


def test_a_stream_gives_the_bytes_in_any_pieces() -> None:
    data = np.random.default_rng(1).bytes(50_000)
    choose = np.random.default_rng(2)
    for seed in range(20):
        stream, at = Stream(recordings.pieces(data, seed)), 0
        while at < len(data):
            step, length = choose.choice(["read", "peek", "skip"]), int(choose.integers(0, 3000))
            expected = data[at : at + length]
            if step == "peek":
                assert stream.peek(length) == expected
                continue
            assert (stream.up_to(length) if step == "read" else stream.skip(length)) in (expected, len(expected))
            at += len(expected)
            assert stream.position == at
        assert stream.up_to(1) == b""
    stream = Stream(recordings.pieces(data))
    stream.skip(7)
    assert stream.to_end(keep=1000) == data[-1000:]
    with pytest.raises(ValueError):
        stream.up_to(LARGEST_READ + 1)
